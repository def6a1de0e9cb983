package agent

import (
	"context"
	"runtime"
	"strconv"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

// self is the agent's account of itself, for /v1/agent/self and `parley info`.
func (a *Agent) self(ctx context.Context) (api.Self, error) {
	c := a.cfg
	node := a.node()
	return api.Self{
		Config: api.SelfConfig{
			Datacenter: c.Datacenter, PrimaryDatacenter: c.PrimaryDatacenter, NodeName: c.NodeName, NodeID: a.nodeID,
			Revision: a.opts.Build.Commit, Server: c.Server, Version: api.CompatibleWith,
			BuildDate: a.opts.Build.Date.Format("2006-01-02T15:04:05Z07:00"),
		},
		Coord:  a.gossip.Coordinate(),
		Member: a.gossip.APILocal(),
		Meta:   node.Meta,
		Stats:  a.stats(ctx),
		XDS: &api.SelfXDS{
			SupportedProxies: map[string][]string{"envoy": {"1.40.0", "1.39.3", "1.38.3", "1.36.4"}},
			Port:             a.listen.grpcN,
			Ports:            api.SelfXDSPorts{Plaintext: a.listen.grpcN, TLS: a.listen.tlsN},
		},
	}, nil
}

// stats are figures for people.
func (a *Agent) stats(ctx context.Context) map[string]map[string]string {
	ttls := 0
	checks := a.local.Checks()
	for _, c := range checks {
		if c.Type == check.KindTTL {
			ttls++
		}
	}
	members := a.gossip.Members()
	stats := map[string]map[string]string{
		"agent": {
			"services": strconv.Itoa(len(a.local.Services())), "checks": strconv.Itoa(len(checks)),
			"check_ttls": strconv.Itoa(ttls), "check_monitors": strconv.Itoa(a.local.Scripts()),
		},
		"build": {"version": a.opts.Build.Version, "revision": a.opts.Build.Commit, "api": api.CompatibleWith},
		"runtime": {
			"arch": runtime.GOARCH, "os": runtime.GOOS, "version": runtime.Version(),
			"cpu_count": strconv.Itoa(runtime.NumCPU()), "goroutines": strconv.Itoa(runtime.NumGoroutine()),
		},
		"serf_lan": {"members": strconv.Itoa(len(members))},
		"consul": {
			"server": strconv.FormatBool(a.cfg.Server), "known_servers": strconv.Itoa(len(a.gossip.Servers())),
			"known_datacenters": a.knownDatacenters(),
		},
	}
	if a.wan != nil {
		stats["serf_wan"] = map[string]string{"members": strconv.Itoa(len(a.wan.Members()))}
	}
	if a.server != nil {
		stats["raft"] = a.server.Raft().Stats()
		// The peer's meaning: to have been told to lead alone, which development mode is not.
		stats["consul"]["bootstrap"] = strconv.FormatBool(a.cfg.Bootstrap && !a.cfg.Dev)
		stats["consul"]["leader"] = strconv.FormatBool(a.server.Ready())
		stats["consul"]["leader_addr"] = a.server.LeaderAddr()
		return stats
	}
	if answer, err := a.client.Query(ctx, verb.Options{Mode: verb.Stale}, operator.Leader{}); err == nil && len(answer.Rows) > 0 {
		stats["consul"]["leader_addr"] = answer.Rows[0].Value.(*operator.Address).Addr
	}
	return stats
}
