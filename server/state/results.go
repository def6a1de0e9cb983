package state

import "fmt"

// RememberedResults is how many of the last commands a repetition is recognised among. A client that retries does so
// within seconds; at ten thousand writes a second this is one and a half.
const RememberedResults = 16384

// rememberedBytes bounds the results that are remembered, beyond the last one. Most take a byte; those of transactions may
// be large.
const rememberedBytes = 32 << 20

// Remembered is the first result of a command, by the id of its envelope.
type Remembered struct {
	ID      string
	Index   uint64
	Seq     uint64 // counts the commands, to forget the oldest
	Sum     uint64 // of the bytes of this result and of all before it
	Raw     []byte
	Status  int    // of a refusal
	Refusal string // its message
}

var results = &table[Remembered]{
	name: "results", version: 1,
	key: func(_ *Tx, r *Remembered) string { return r.ID },
	by1: func(_ *Tx, r *Remembered) string { return seqKey(r.Seq) },
}

func seqKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// Result returns what a command with the id has been answered, or nil.
func Result(tx *Tx, id string) *Remembered { return results.get(tx, id) }

// Remember keeps the result of a command and forgets the oldest beyond RememberedResults, or beyond so many bytes.
func Remember(tx *Tx, r Remembered) {
	r.Seq, r.Sum = 1, uint64(len(r.Raw))
	if last, err := tx.mem.Last(results.name, indexBy1+"_prefix", ""); err == nil && last != nil {
		before := last.(*row).value.(*Remembered)
		r.Seq, r.Sum = before.Seq+1, before.Sum+r.Sum
	}
	results.put(tx, &r)
	for old := oldestResult(tx); old.Seq+RememberedResults <= r.Seq || r.Sum-old.Sum > rememberedBytes; old = oldestResult(tx) {
		results.remove(tx, old.ID)
	}
}

func oldestResult(tx *Tx) *Remembered {
	for old := range results.listBy1(tx, "") {
		return old
	}
	return nil
}
