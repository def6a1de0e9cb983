package http

import (
	"context"
	"net/http"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

// Members is the gossip pool of the datacenter or, with wan, that of all servers everywhere.
type Members interface {
	// Members lists those of the datacenter.
	Members() []api.Member
	// Join joins the pool that one of the addresses belongs to.
	Join(ctx context.Context, addrs []string, wan bool) error
	// ForceLeave makes a failed member count as left; with prune it is forgotten. An unknown name is an error.
	ForceLeave(ctx context.Context, node string, prune, wan bool) error
	// Explain asks all members what happened to one of them. An unknown name is an error.
	Explain(ctx context.Context, node string, wan bool) (api.MemberExplanation, error)
}

// Version is what the agent was built from.
type Version struct {
	SHA          string
	BuildDate    string
	HumanVersion string
	FIPS         string
}

var agentRoutes = []route{
	on("/v1/agent/self", get(agentSelf)),
	on("/v1/agent/version", get(agentVersion)),
	on("/v1/agent/members", get(agentMembers)),
	on("/v1/agent/members/explain/", get(agentExplain)),
	on("/v1/agent/join/", put(agentJoin)),
	on("/v1/agent/leave", put(agentLeave)),
	on("/v1/agent/force-leave/", put(agentForceLeave)),
	on("/v1/agent/reload", put(agentReload)),
	on("/v1/agent/metrics", get(agentMetrics)),
	on("/v1/agent/monitor", get(agentMonitor)),
	on("/v1/agent/maintenance", put(agentMaintenance)),
	on("/v1/agent/host", get(agentHost)),
	on("/v1/agent/token/", put(agentToken)),
}

func agentSelf(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Read); err != nil {
		return nil, err
	}
	return orError(r.s.opts.Self(r.Context()))
}

func agentVersion(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Read); err != nil {
		return nil, err
	}
	return r.s.opts.Version, nil
}

func agentMembers(r *request) (any, error) {
	if r.param("segment") != "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Network segments are not supported in this version of Parley")
	}
	wanted, err := chooser[api.Member](r)
	if err != nil {
		return nil, err
	}
	all, err := r.allMembers()
	if err != nil {
		return nil, err
	}
	members := []api.Member{}
	for _, m := range all {
		name := strings.TrimSuffix(m.Name, "."+m.Tags["dc"])
		if shown, err := r.may("node", name, api.Read); err != nil {
			return nil, err
		} else if shown && wanted(m) {
			members = append(members, m)
		}
	}
	return members, nil
}

func agentExplain(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "the name of a member is missing: /v1/agent/members/explain/NODE")
	}
	if err := r.need("node", strings.TrimSuffix(r.name, "."+r.s.opts.Datacenter), api.Read); err != nil {
		return nil, err
	}
	return orError(r.s.opts.Members.Explain(r.Context(), r.name, r.wan()))
}

// allMembers are those of the pool that is meant. Of the servers everywhere, a server knows.
func (r *request) allMembers() ([]api.Member, error) {
	if !r.wan() {
		return r.s.opts.Members.Members(), nil
	}
	return about[api.Member](r, operator.ServersEverywhere{})
}

// about asks the nearest server what it knows of others.
func about[T any](r *request, q verb.Query) ([]T, error) {
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	o.Mode = verb.Stale
	a, err := r.s.opts.Client.Query(r.Context(), o, q)
	if err != nil {
		return nil, err
	}
	out := []T{}
	for _, v := range verb.Values[*T](a) {
		out = append(out, *v)
	}
	return out, nil
}

// wan tells whether the pool of all servers is meant: the parameter has a value, whatever that is.
func (r *request) wan() bool { return r.param("wan") != "" }

func agentJoin(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Write); err != nil {
		return nil, err
	}
	if r.name == "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Missing the address to join")
	}
	return nil, r.s.opts.Members.Join(r.Context(), []string{r.name}, r.wan())
}

func agentForceLeave(r *request) (any, error) {
	if err := r.need("operator", "", api.Write); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Members.ForceLeave(r.Context(), r.name, r.flag("prune"), r.wan())
}

func agentLeave(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Write); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Leave(r.Context())
}

// agentToken would give the agent another token of its own. There is nothing that it would open: ACLs are off.
func agentToken(*request) (any, error) {
	return nil, api.Errorf(http.StatusUnauthorized, "ACL support disabled")
}

func agentReload(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Write); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Reload(r.Context())
}
