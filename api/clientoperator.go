package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
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

// Autopilot returns how the leader looks after the servers.
func (o Operator) Autopilot(ctx context.Context, q *QueryOptions) (AutopilotConfiguration, Meta, error) {
	return read[AutopilotConfiguration](ctx, o.c, "/v1/operator/autopilot/configuration", q, nil)
}

// SetAutopilot changes that.
func (o Operator) SetAutopilot(ctx context.Context, config *AutopilotConfiguration, w *WriteOptions) error {
	return o.c.write(ctx, http.MethodPut, "/v1/operator/autopilot/configuration", w, nil, config, nil)
}

// SetAutopilotCAS changes it if its modify index is still that of config. It tells whether it did.
func (o Operator) SetAutopilotCAS(ctx context.Context, config *AutopilotConfiguration, w *WriteOptions) (bool, error) {
	var done bool
	params := url.Values{"cas": {strconv.FormatUint(config.ModifyIndex, 10)}}
	err := o.c.write(ctx, http.MethodPut, "/v1/operator/autopilot/configuration", w, params, config, &done)
	return done, err
}

// AutopilotState returns how the servers are.
func (o Operator) AutopilotState(ctx context.Context, q *QueryOptions) (AutopilotState, Meta, error) {
	return read[AutopilotState](ctx, o.c, "/v1/operator/autopilot/state", q, nil)
}

// AutopilotHealth returns the same in fewer words. That a server is not healthy is no error.
func (o Operator) AutopilotHealth(ctx context.Context, q *QueryOptions) (AutopilotHealth, Meta, error) {
	var out AutopilotHealth
	meta, err := o.c.do(ctx, request{
		method: http.MethodGet, path: "/v1/operator/autopilot/health", params: o.c.queryParams(q, nil), token: q.token(), fine: http.StatusTooManyRequests,
	}, &out)
	return out, meta, err
}

// Usage returns how much is in the catalog; with global, that of all datacenters.
func (o Operator) Usage(ctx context.Context, global bool, q *QueryOptions) (Usage, Meta, error) {
	params := url.Values{}
	if global {
		params.Set("global", "")
	}
	return read[Usage](ctx, o.c, "/v1/operator/usage", q, params)
}

// Keys returns which keys encrypt gossip. Relay is through how many others each member's answer is sent once more, up to 5.
func (o Operator) Keys(ctx context.Context, relay int, q *QueryOptions) ([]KeyringResponse, error) {
	found, _, err := read[[]KeyringResponse](ctx, o.c, "/v1/operator/keyring", q, relayed(relay))
	return found, err
}

// InstallKey has all members learn a key, in base64.
func (o Operator) InstallKey(ctx context.Context, key string, relay int, w *WriteOptions) error {
	return o.changeKey(ctx, http.MethodPost, key, relay, w)
}

// UseKey has all members encrypt by a key that they know.
func (o Operator) UseKey(ctx context.Context, key string, relay int, w *WriteOptions) error {
	return o.changeKey(ctx, http.MethodPut, key, relay, w)
}

// RemoveKey has all members forget a key that is not used.
func (o Operator) RemoveKey(ctx context.Context, key string, relay int, w *WriteOptions) error {
	return o.changeKey(ctx, http.MethodDelete, key, relay, w)
}

func (o Operator) changeKey(ctx context.Context, method, key string, relay int, w *WriteOptions) error {
	return o.c.write(ctx, method, "/v1/operator/keyring", w, relayed(relay), struct{ Key string }{key}, nil)
}

func relayed(n int) url.Values {
	params := url.Values{}
	if n != 0 {
		params.Set("relay-factor", strconv.Itoa(n))
	}
	return params
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
