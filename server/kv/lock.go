package kv

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// What is refused of a lock is worded as in the public API: clients tell by it that they need another session.
var errNoSession = &api.Error{Status: http.StatusInternalServerError, Message: "raft apply failed: missing session"}

// lock writes a key and locks it for the session that it names. It reports whether it did: it does not when another session
// has it, or lost it a moment ago.
func lock(tx *state.Tx, next api.KVPair) (bool, error) {
	if next.Session == "" {
		return false, errNoSession
	}
	if !state.SessionExists(tx, next.Session) {
		return false, api.Errorf(http.StatusInternalServerError, "raft apply failed: invalid session %q", next.Session)
	}
	old := state.Key(tx, next.Key)
	switch {
	case old != nil && old.Session == next.Session:
		next.LockIndex = old.LockIndex
	case old != nil && old.Session != "", state.LockDelayed(tx, next.Key):
		return false, nil
	case old != nil:
		next.LockIndex = old.LockIndex + 1
	default:
		next.LockIndex = 1
	}
	state.PutKey(tx, next)
	return true, nil
}

// unlock writes a key and unlocks it. It reports whether it did: it does only if the session that the pair names has it.
func unlock(tx *state.Tx, next api.KVPair) bool {
	old := state.Key(tx, next.Key)
	if old == nil || old.Session != next.Session || next.Session == "" {
		return false
	}
	next.Session, next.LockIndex = "", old.LockIndex
	state.PutKey(tx, next)
	return true
}
