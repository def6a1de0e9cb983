package http

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

var operatorRoutes = []route{
	on("/v1/operator/raft/configuration", get(raftConfiguration)),
	on("/v1/operator/raft/peer", del(removePeer)),
	on("/v1/operator/raft/transfer-leader", post(transferLeader)),
	on("/v1/operator/autopilot/configuration", get(autopilot), put(setAutopilot)),
	on("/v1/operator/autopilot/state", get(autopilotState)),
	on("/v1/operator/autopilot/health", get(autopilotHealth)),
	on("/v1/operator/usage", get(usage)),
}

func raftConfiguration(r *request) (any, error) {
	a, err := r.peek(operator.RaftConfiguration{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}

func removePeer(r *request) (any, error) {
	_, err := r.apply(operator.RemovePeer{ID: r.param("id"), Address: r.param("address")})
	return nil, err
}

func transferLeader(r *request) (any, error) {
	_, err := r.apply(operator.TransferLeader{ID: r.param("id")})
	return struct{ Success bool }{true}, err
}

func autopilot(r *request) (any, error) {
	a, err := r.peek(operator.Autopilot{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}

func setAutopilot(r *request) (any, error) {
	c := operator.SetAutopilot{Config: api.DefaultAutopilot()}
	if err := r.decodeAs(http.StatusBadRequest, "Error parsing autopilot config", &c.Config); err != nil {
		return nil, err
	}
	if r.flag("cas") {
		index, err := strconv.ParseUint(r.param("cas"), 10, 64)
		if err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "Error parsing cas value: %v", err)
		}
		c.CAS = &index
	}
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	return r.did(o, c)
}

// servers asks the leader how the servers are, whatever mode the request names: nobody else knows.
func (r *request) servers() (*api.AutopilotState, error) {
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	o.MinIndex, o.Mode = 0, verb.Default
	a, err := r.s.opts.Client.Query(r.Context(), o, operator.AutopilotState{})
	if err != nil {
		return nil, err
	}
	row, err := only(a)
	if err != nil {
		return nil, err
	}
	return row.Value.(*api.AutopilotState), nil
}

func autopilotState(r *request) (any, error) { return orError(r.servers()) }

// autopilotHealth has the status 429 when a server is not healthy, so that a probe need not read the answer.
func autopilotHealth(r *request) (any, error) {
	state, err := r.servers()
	if err != nil {
		return nil, err
	}
	out := api.AutopilotHealth{Healthy: state.Healthy, FailureTolerance: state.FailureTolerance, Servers: []api.ServerHealth{}}
	for _, s := range state.Servers {
		out.Servers = append(out.Servers, api.ServerHealth{
			ID: s.ID, Name: s.Name, Address: s.Address, SerfStatus: s.NodeStatus, Version: s.Version, Leader: s.ID == state.Leader,
			LastContact: s.LastContact, LastTerm: s.LastTerm, LastIndex: s.LastIndex, Healthy: s.Healthy,
			Voter: slices.Contains(state.Voters, s.ID), StableSince: s.StableSince,
		})
	}
	slices.SortFunc(out.Servers, func(a, b api.ServerHealth) int { return strings.Compare(a.ID, b.ID) })
	status := http.StatusOK
	if !out.Healthy {
		status = http.StatusTooManyRequests
	}
	return &reply{status: status, body: out}, nil
}

// usage repeats in its body what the headers of other answers tell, as the public API does.
func usage(r *request) (any, error) {
	a, err := r.ask(operator.Usage{})
	if err != nil {
		return nil, err
	}
	row, err := only(a)
	if err != nil {
		return nil, err
	}
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	level := levelOf(o.Mode)
	r.w.Header().Set("X-Consul-Effective-Consistency", level)
	return struct {
		api.Usage
		Index                 uint64
		LastContact           int64
		KnownLeader           bool
		ConsistencyLevel      string
		NotModified           bool
		Backend               int
		ResultsFilteredByACLs bool
	}{
		Usage: api.Usage{Usage: map[string]api.ServiceUsage{r.datacenter(): *row.Value.(*api.ServiceUsage)}},
		Index: a.Index, LastContact: a.LastContact.Milliseconds(), KnownLeader: a.KnownLeader, ConsistencyLevel: level,
	}, nil
}
