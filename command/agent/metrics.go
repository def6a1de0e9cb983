package agent

import (
	"context"
	"time"

	"github.com/parleymesh/parley/agent/config"
	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/agent/telemetry"
	"github.com/parleymesh/parley/api"
)

// startMetrics makes the process's metrics the agent's: there is one set for each process. What the parts tell is added once
// they are there.
func (a *Agent) startMetrics() (err error) {
	t := a.cfg.Telemetry
	a.metrics, err = telemetry.Open(telemetry.Options{
		Prefix: t.MetricsPrefix, Hostname: !t.DisableHostname, Hidden: !t.FilterDefault, Filter: t.PrefixFilter,
		Retention: t.PrometheusRetentionTime, Push: destinations(t), Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.undo.push("metrics", func(context.Context) error { a.metrics.Close(); return nil })
	return nil
}

// destinations are where figures are sent to.
func destinations(t config.Telemetry) []telemetry.Destination {
	var out []telemetry.Destination
	for _, to := range []telemetry.Destination{
		{Network: "udp", Addr: t.StatsdAddress},
		{Network: "tcp", Addr: t.StatsiteAddress},
		{Network: "udp", Addr: t.DogstatsdAddr, Tagged: true, Tags: t.DogstatsdTags},
	} {
		if to.Addr != "" {
			out = append(out, to)
		}
	}
	return out
}

// tellMetrics has everything told that somebody who reads the metrics may want to know.
func (a *Agent) tellMetrics(s *agenthttp.Server) {
	a.metrics.Add(a.agentFigures)
	a.metrics.Add(a.dnsFigures)
	a.metrics.Add(func(r *telemetry.Reading) { httpFigures(r, s) })
	if a.server != nil {
		a.metrics.Add(a.serverFigures)
	}
}

func (a *Agent) agentFigures(r *telemetry.Reading) {
	r.Gauge("version", 1, telemetry.Label{Name: "version", Value: a.opts.Build.Version})
	r.Gauge("xds.server.streams", float64(a.xds.Streams()))
	servers, clients := 0, 0
	for _, m := range a.gossip.Members() {
		switch {
		case m.Status != api.MemberAlive:
		case m.Server:
			servers++
		default:
			clients++
		}
	}
	r.Gauge("members.servers", float64(servers), a.datacenterLabel())
	r.Gauge("members.clients", float64(clients), a.datacenterLabel())
}

// dnsFigures has the names that are known of the public interface, and names of ours for what that does not count.
func (a *Agent) dnsFigures(r *telemetry.Reading) {
	f, node := a.dns.Figures(), telemetry.Label{Name: "node", Value: a.cfg.NodeName}
	r.Sample("dns.domain_query", f.Domain, node)
	r.Sample("dns.ptr_query", f.PTR, node)
	r.Counter("dns.stale_queries", f.Stale)
	r.Counter("dns.failed_queries", f.Failed)
	r.Sample("dns.recursor_query", f.Recursors)
	r.Counter("dns.recursor_unanswered", f.Unanswered)
}

func httpFigures(r *telemetry.Reading, s *agenthttp.Server) {
	r.Gauge("rpc.queries_blocking", float64(s.Blocking()))
	for _, t := range s.Timings() {
		r.Sample("api.http", t.Sample, telemetry.Label{Name: "method", Value: t.Method}, telemetry.Label{Name: "path", Value: t.Path})
	}
}

// serverFigures counts the replicated state as it stands on this server.
func (a *Agent) serverFigures(r *telemetry.Reading) {
	for name, value := range a.server.Figures() {
		r.Gauge(name, value)
	}
	u, dc := a.server.Usage(), a.datacenterLabel()
	for name, n := range map[string]int{
		"state.nodes": u.Nodes, "state.services": u.Services, "state.service_instances": u.Instances, "state.kv_entries": u.Keys,
	} {
		r.Gauge(name, float64(n), dc)
	}
	for kind, n := range u.Mesh {
		r.Gauge("state.connect_instances", float64(n), dc, telemetry.Label{Name: "kind", Value: kind})
	}
	for kind, n := range u.Entries {
		r.Gauge("state.config_entries", float64(n), dc, telemetry.Label{Name: "kind", Value: kind})
	}
	if !u.RootExpires.IsZero() {
		r.Gauge("mesh.active-root-ca.expiry", time.Until(u.RootExpires).Seconds())
	}
}

func (a *Agent) datacenterLabel() telemetry.Label {
	return telemetry.Label{Name: "datacenter", Value: a.cfg.Datacenter}
}
