package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Agent groups the calls that concern the agent itself and what is registered with it.
type Agent struct{ c *Client }

// Agent returns the calls that concern the agent.
func (c *Client) Agent() Agent { return Agent{c} }

// Self returns the agent's account of itself.
func (a Agent) Self(ctx context.Context, q *QueryOptions) (Self, Meta, error) {
	return read[Self](ctx, a.c, "/v1/agent/self", q, nil)
}

// Members returns the gossip pool as the agent sees it: of the datacenter or, with wan, of all servers everywhere.
func (a Agent) Members(ctx context.Context, wan bool, q *QueryOptions) ([]Member, Meta, error) {
	return read[[]Member](ctx, a.c, "/v1/agent/members", q, flag("wan", wan))
}

// ExplainMember asks all members what happened to one of them of late.
func (a Agent) ExplainMember(ctx context.Context, node string, wan bool, q *QueryOptions) (MemberExplanation, Meta, error) {
	return read[MemberExplanation](ctx, a.c, "/v1/agent/members/explain/"+url.PathEscape(node), q, flag("wan", wan))
}

// Join makes the agent join the pool that the address belongs to.
func (a Agent) Join(ctx context.Context, address string, wan bool, w *WriteOptions) error {
	return a.put(ctx, "join/"+url.PathEscape(address), w, flag("wan", wan), nil)
}

// Leave makes the agent leave the pool in good order and stop.
func (a Agent) Leave(ctx context.Context, w *WriteOptions) error {
	return a.put(ctx, "leave", w, nil, nil)
}

// ForceLeave makes a failed member count as left, with prune it is forgotten altogether.
func (a Agent) ForceLeave(ctx context.Context, node string, prune, wan bool, w *WriteOptions) error {
	params := flag("wan", wan)
	if prune {
		params.Set("prune", "1")
	}
	return a.put(ctx, "force-leave/"+url.PathEscape(node), w, params, nil)
}

// Reload makes the agent read its configuration again.
func (a Agent) Reload(ctx context.Context, w *WriteOptions) error {
	return a.put(ctx, "reload", w, nil, nil)
}

// Services returns the services registered with the agent by id.
func (a Agent) Services(ctx context.Context, q *QueryOptions) (map[string]AgentService, Meta, error) {
	return read[map[string]AgentService](ctx, a.c, "/v1/agent/services", q, nil)
}

// Service returns one service registered with the agent.
func (a Agent) Service(ctx context.Context, id string, q *QueryOptions) (AgentService, Meta, error) {
	return read[AgentService](ctx, a.c, "/v1/agent/service/"+url.PathEscape(id), q, nil)
}

// RegisterService registers a service with the agent, or replaces the one of its id. With replaceChecks, checks that the
// definition does not name are removed.
func (a Agent) RegisterService(ctx context.Context, d *ServiceDefinition, replaceChecks bool, w *WriteOptions) error {
	var params url.Values
	if replaceChecks {
		params = url.Values{"replace-existing-checks": {"true"}}
	}
	return a.put(ctx, "service/register", w, params, d)
}

// DeregisterService removes a service, with its checks and sidecar, from the agent.
func (a Agent) DeregisterService(ctx context.Context, id string, w *WriteOptions) error {
	return a.put(ctx, "service/deregister/"+url.PathEscape(id), w, nil, nil)
}

// NodeMaintenance takes the agent's host out of service, or back, with the reason for those who see it.
func (a Agent) NodeMaintenance(ctx context.Context, enable bool, reason string, w *WriteOptions) error {
	return a.put(ctx, "maintenance", w, maintenance(enable, reason), nil)
}

// ServiceMaintenance takes one service of the agent's host out of service, or back.
func (a Agent) ServiceMaintenance(ctx context.Context, id string, enable bool, reason string, w *WriteOptions) error {
	return a.put(ctx, "service/maintenance/"+url.PathEscape(id), w, maintenance(enable, reason), nil)
}

func maintenance(enable bool, reason string) url.Values {
	params := url.Values{"enable": {strconv.FormatBool(enable)}}
	setIf(params, "reason", reason)
	return params
}

// Checks returns the checks registered with the agent by id.
func (a Agent) Checks(ctx context.Context, q *QueryOptions) (map[string]Check, Meta, error) {
	return read[map[string]Check](ctx, a.c, "/v1/agent/checks", q, nil)
}

// RegisterCheck registers a check with the agent, or replaces the one of its id.
func (a Agent) RegisterCheck(ctx context.Context, d *CheckDefinition, w *WriteOptions) error {
	return a.put(ctx, "check/register", w, nil, d)
}

// DeregisterCheck removes a check from the agent.
func (a Agent) DeregisterCheck(ctx context.Context, id string, w *WriteOptions) error {
	return a.put(ctx, "check/deregister/"+url.PathEscape(id), w, nil, nil)
}

// UpdateTTL reports a TTL check's status, Passing, Warning or Critical, and output.
func (a Agent) UpdateTTL(ctx context.Context, checkID, status, output string, w *WriteOptions) error {
	return a.put(ctx, "check/update/"+url.PathEscape(checkID), w, nil, CheckUpdate{Status: status, Output: output})
}

// Roots returns the CA roots as the agent holds them.
func (a Agent) Roots(ctx context.Context, q *QueryOptions) (CARoots, Meta, error) {
	return read[CARoots](ctx, a.c, "/v1/agent/connect/ca/roots", q, nil)
}

// Leaf returns a service's certificate and key, signed when there is none yet.
func (a Agent) Leaf(ctx context.Context, service string, q *QueryOptions) (Leaf, Meta, error) {
	return read[Leaf](ctx, a.c, "/v1/agent/connect/ca/leaf/"+url.PathEscape(service), q, nil)
}

// Authorize asks whether the owner of a client certificate may connect to a service.
func (a Agent) Authorize(ctx context.Context, r AuthorizeRequest, w *WriteOptions) (AuthorizeReply, error) {
	var reply AuthorizeReply
	err := a.c.write(ctx, http.MethodPost, "/v1/agent/connect/authorize", w, nil, r, &reply)
	return reply, err
}

func (a Agent) put(ctx context.Context, path string, w *WriteOptions, params url.Values, body any) error {
	return a.c.write(ctx, http.MethodPut, "/v1/agent/"+path, w, params, body, nil)
}

// flag returns parameters with one switched on, or none.
func flag(name string, set bool) url.Values {
	params := url.Values{}
	if set {
		params.Set(name, "1")
	}
	return params
}

// Monitor copies what the agent logs, of the level ("debug", "info", ...) or above, as text or JSON, to w as it comes. It
// ends with ctx, with an error when w takes no more, and without one when the agent stops.
func (a Agent) Monitor(ctx context.Context, level string, asJSON bool, w io.Writer, q *QueryOptions) error {
	params := flag("logjson", asJSON)
	setIf(params, "loglevel", level)
	return a.c.stream(ctx, request{
		method: http.MethodGet, path: "/v1/agent/monitor", params: a.c.queryParams(q, params), token: q.token(),
	}, w)
}
