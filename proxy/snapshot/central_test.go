package snapshot

import (
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
)

func TestConfigEntriesAreMergedIntoTheRegistration(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, first *Snapshot) {
		if first.Protocol != "tcp" || len(first.Proxy.Proxy.Config) > 0 {
			t.Errorf("got %+v", first)
		}
		limit := 7
		w.central(&configentry.Defaults{
			Proxies: &api.ProxyDefaults{Config: map[string]any{"local_connect_timeout_ms": 250}, AccessLogs: api.AccessLogs{Enabled: true}},
			Service: &api.ServiceDefaults{Protocol: "http", UpstreamConfig: &api.UpstreamConfig{
				Defaults:  &api.UpstreamSettings{ConnectTimeoutMs: 300},
				Overrides: []api.UpstreamSettings{{Name: "db", Limits: &api.UpstreamLimits{MaxConnections: &limit}}},
			}},
			Mesh: &api.MeshEntry{HTTP: &api.MeshHTTP{SanitizeXForwardedClientCert: true}, EntryCommon: api.EntryCommon{ModifyIndex: 9}},
		})
		got := w.next(s)
		if got.Protocol != "http" || got.LocalConnectTimeout() != 250*time.Millisecond || !got.Proxy.Proxy.AccessLogs.Enabled || !got.Mesh.HTTP.SanitizeXForwardedClientCert {
			t.Errorf("got %+v", got)
		}
		u := got.Upstreams[0]
		if n, _ := u.Config.Section("limits").Number("max_connections"); n != 7 || u.ConnectTimeout(0) != 300*time.Millisecond {
			t.Errorf("got %+v", u.Config)
		}
		if got.Endpoints[dc1("db").ID] != first.Endpoints[dc1("db").ID] {
			t.Error("the endpoints were read again")
		}
		if len(w.host.services[proxyID].Proxy.Config) > 0 {
			t.Error("the registration was changed")
		}
		w.central(&configentry.Defaults{Service: &api.ServiceDefaults{Protocol: "udp"}})
		if got := w.next(s); got.Protocol != "tcp" {
			t.Errorf("a protocol that is not known is taken for %q", got.Protocol)
		}
	})
}

func TestAnUpstreamMayBeTakenForAnotherProtocol(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		db := db()
		db.Config = map[string]any{"protocol": "http"}
		w.register(db)
		w.none(s) // its chain is another one
		c := &api.DiscoveryChain{ServiceName: "db", Protocol: "http", Targets: map[string]api.Target{dc1("db").ID: dc1("db")}}
		w.s.set(chainQuery("db", "http", "dc1"), c)
		if got := w.next(s); got.Upstreams[0].Chain.Protocol != "http" {
			t.Errorf("got %+v", got.Upstreams[0])
		}
	})
}

func TestSubsetsSelectAmongTheSameRows(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		entry := func(host, version string) any {
			return &api.ServiceEntry{Service: api.Service{ID: host, Address: host, Port: 1, Meta: map[string]string{"version": version}}}
		}
		w.entries("db", entry("10.0.0.1", "1"), entry("10.0.0.2", "2"), entry("10.0.0.3", ""))
		w.next(s)
		subset := func(name, filter string) api.Target {
			target := dc1("db")
			target.ID, target.ServiceSubset, target.Subset.Filter = name+"."+target.ID, name, filter
			return target
		}
		one, two := subset("one", "Service.Meta.version == 1"), subset("two", "Service.Meta.version == 2")
		w.chain("db", one, two)
		got := w.next(s)
		if a, b := hosts(got.Endpoints[one.ID]), hosts(got.Endpoints[two.ID]); a != "[10.0.0.1:1 passing 1]" || b != "[10.0.0.2:1 passing 1]" {
			t.Errorf("got %s and %s", a, b)
		}
		if sni := got.Endpoints[two.ID].SNI; sni != "two.db.default.dc1.internal.td.consul" {
			t.Error(sni)
		}
		w.entries("db", entry("10.0.0.1", "1"), entry("10.0.0.2", "2"), entry("10.0.0.4", "2"))
		next := w.next(s)
		if hosts(next.Endpoints[two.ID]) != "[10.0.0.2:1 passing 1 10.0.0.4:1 passing 1]" || next.Endpoints[one.ID] != got.Endpoints[one.ID] {
			t.Errorf("got %+v", next.Endpoints)
		}
		// How they are called is not who they are.
		slow := two
		slow.ConnectTimeout, slow.PrioritizeByLocality = api.Duration(time.Minute), &api.PrioritizeByLocality{Mode: "failover"}
		w.chain("db", slow)
		if again := w.next(s); again.Endpoints[two.ID] != next.Endpoints[two.ID] {
			t.Error("the endpoints were read again")
		}
	})
}
