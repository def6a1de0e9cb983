package api

import (
	"context"
	"net/http"
	"net/url"
)

// Operator groups the calls for running the servers.
type Operator struct{ c *Client }

// Operator returns the calls for running the servers.
func (c *Client) Operator() Operator { return Operator{c} }

// RaftConfiguration returns the servers that replicate the state.
func (o Operator) RaftConfiguration(ctx context.Context, q *QueryOptions) (RaftConfiguration, Meta, error) {
	return read[RaftConfiguration](ctx, o.c, "/v1/operator/raft/configuration", q, nil)
}

// RemovePeer takes a server out of the Raft configuration, named by either its id or its address.
func (o Operator) RemovePeer(ctx context.Context, id, address string, w *WriteOptions) error {
	params := url.Values{}
	setIf(params, "id", id)
	setIf(params, "address", address)
	return o.c.write(ctx, http.MethodDelete, "/v1/operator/raft/peer", w, params, nil, nil)
}

// TransferLeader makes the leader hand over to the server of the id, or to any when it is empty.
func (o Operator) TransferLeader(ctx context.Context, id string, w *WriteOptions) error {
	params := url.Values{}
	setIf(params, "id", id)
	return o.c.write(ctx, http.MethodPost, "/v1/operator/raft/transfer-leader", w, params, nil, nil)
}

// Status groups the calls that tell who leads. They need no permission.
type Status struct{ c *Client }

// Status returns the calls that tell who leads.
func (c *Client) Status() Status { return Status{c} }

// Leader returns the leader's address, empty when there is none.
func (s Status) Leader(ctx context.Context, q *QueryOptions) (string, error) {
	leader, _, err := read[string](ctx, s.c, "/v1/status/leader", q, nil)
	return leader, err
}

// Peers returns the addresses of the servers that replicate the state.
func (s Status) Peers(ctx context.Context, q *QueryOptions) ([]string, error) {
	peers, _, err := read[[]string](ctx, s.c, "/v1/status/peers", q, nil)
	return peers, err
}
