package operator

import (
	"context"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// mayWrite is what actions and changes of an operator need.
func mayWrite() []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Write}}
}

// RemovePeer takes a server that does not come back out of Raft's configuration. One of the two names it.
type RemovePeer struct{ ID, Address string }

// CommandType implements verb.Command.
func (RemovePeer) CommandType() string { return "operator.remove-peer" }

// Validate implements verb.Command, in the words of the public API.
func (r RemovePeer) Validate() error {
	switch {
	case r.ID == "" && r.Address == "":
		return api.Errorf(http.StatusBadRequest, "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case r.ID != "" && r.Address != "":
		return api.Errorf(http.StatusBadRequest, "Must specify only one of ?id or ?address")
	}
	return nil
}

// Needs implements verb.Command.
func (RemovePeer) Needs(*state.Tx) []api.Permission { return mayWrite() }

// Apply implements verb.Command.
func (RemovePeer) Apply(*state.Tx) (any, error) { return nil, verb.ErrAction }

// Act implements verb.Action.
func (r RemovePeer) Act(ctx context.Context, _ *state.Tx, a verb.Actor) (any, error) {
	return nil, a.RemovePeer(ctx, r.ID, r.Address)
}

// TransferLeader has the leader hand over to the server of the id or, without one, to the one that suits best.
type TransferLeader struct{ ID string }

// CommandType implements verb.Command.
func (TransferLeader) CommandType() string { return "operator.transfer-leader" }

// Validate implements verb.Command.
func (TransferLeader) Validate() error { return nil }

// Needs implements verb.Command.
func (TransferLeader) Needs(*state.Tx) []api.Permission { return mayWrite() }

// Apply implements verb.Command.
func (TransferLeader) Apply(*state.Tx) (any, error) { return nil, verb.ErrAction }

// Act implements verb.Action.
func (t TransferLeader) Act(ctx context.Context, _ *state.Tx, a verb.Actor) (any, error) {
	return nil, a.TransferLeadership(ctx, t.ID)
}
