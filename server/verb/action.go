package verb

import (
	"context"
	"errors"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Action is a Command that changes nothing of the state: the leader does something that only the leader can, such as handing over.
// It is validated, routed, forwarded and authorised like every command, but it is never appended to the log. Who does not hear the
// answer may send it again: it must be such that a second time does no harm.
type Action interface {
	Command
	// Act is called in place of Apply, on the leader, whose state tx sees. The context ends with its leadership at the latest. The
	// result must have an encoding; nil is fine.
	Act(ctx context.Context, tx *state.Tx, a Actor) (any, error)
}

// Actor is what actions can have the leader do.
type Actor interface {
	// RemovePeer takes a server out of Raft's configuration, named by its id or, where that is empty, its address.
	RemovePeer(ctx context.Context, id, address string) error
	// TransferLeadership hands over to the server of the id or, where that is empty, to the one that suits best. It returns when
	// the other has taken over.
	TransferLeadership(ctx context.Context, id string) error
	// Keyring asks the members of a pool of gossip for their keys, or changes them.
	Keyring(q KeyringRequest) KeyringReply
	// Fire tells all agents of the datacenter an event, and returns it with its id.
	Fire(e api.UserEvent) (api.UserEvent, error)
}

// ErrAction is what an Action returns from Apply, which nobody calls: an action in the log is a fault.
var ErrAction = errors.New("this is an action of the leader, not a change of the state")
