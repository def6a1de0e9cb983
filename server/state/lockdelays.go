package state

import (
	"iter"
	"time"
)

// LockDelay keeps a key from being locked: the session that held it ended without having given it up, and its owner may not
// know yet. It tells how long, but not from when: no server's clock says when it is over, the leader does, by removing it.
type LockDelay struct {
	Key   string
	Delay time.Duration
	Index uint64 // at which it began
}

// maxLockDelay is the longest that a session can ask for.
const maxLockDelay = time.Minute

var lockDelays = &table[LockDelay]{
	name: "lock-delays", version: 1,
	key: func(tx *Tx, d *LockDelay) string { return tx.openKey(d.Key) },
	by2: func(_ *Tx, d *LockDelay) string { return seqKey(d.Index) },
}

const topicLockDelays Kind = "lock-delays"

// LockDelayed tells whether a key may not be locked yet.
func LockDelayed(tx *Tx, key string) bool { return lockDelays.get(tx, tx.openKey(key)) != nil }

// LockDelaysSince yields the delays that began after an index, of all tenants, in the order in which they began.
func LockDelaysSince(tx *Tx, index uint64) iter.Seq[*LockDelay] {
	tx.saw(topicLockDelays, "")
	return lockDelays.fromBy2(tx, seqKey(index+1))
}

// FindLockDelay returns the delay of a key, or nil.
func FindLockDelay(tx *Tx, key string) *LockDelay { return lockDelays.get(tx, tx.openKey(key)) }

// putLockDelay begins a delay, anew if the key has one.
func putLockDelay(tx *Tx, key string, delay time.Duration) {
	lockDelays.put(tx, &LockDelay{Key: key, Delay: min(delay, maxLockDelay), Index: tx.index})
	tx.touch(topicLockDelays, "")
}

// EndLockDelay ends the delay that began at an index, unless another has begun since.
func EndLockDelay(tx *Tx, key string, index uint64) {
	if d := lockDelays.get(tx, tx.openKey(key)); d != nil && d.Index == index {
		lockDelays.remove(tx, tx.openKey(key))
	}
}
