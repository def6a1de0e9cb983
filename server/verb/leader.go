package verb

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// AtLeader is a Command that changes nothing of what is replicated, but only what the leader keeps in memory for as long as it
// leads. It is routed and authorised like any other, and answered once the leader has proved that it led after the change: whoever
// leads later has come to lead after it.
type AtLeader interface {
	Command
	// ApplyAtLeader is called in place of Apply, with the leader's state.
	ApplyAtLeader(tx *state.Tx, l Leader) (any, error)
}

// Leader is what a leader keeps in memory.
type Leader interface {
	// RenewSession gives a session its whole time to live from now on. It reports false for one that is ending.
	RenewSession(s *api.Session) bool
}
