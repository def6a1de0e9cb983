package snapshot

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
)

func TestASnapshotIsHandedOutWhenItIsComplete(t *testing.T) {
	steps := map[string]func(w *world){
		"registration": func(w *world) { w.register(db()) },
		"leaf":         func(w *world) { w.leaf("1") },
		"roots": func(w *world) {
			w.s.set(rootsQuery(), &api.CARoots{TrustDomain: "td.consul", Roots: []api.CARoot{{RootCert: "ROOT"}}})
		},
		"own defaults":     func(w *world) { w.central(&configentry.Defaults{}) },
		"upstream's chain": func(w *world) { w.chain("db") },
		"policy":           func(w *world) { w.policy(true) },
		"instances":        func(w *world) { w.instances("db") },
	}
	for last := range steps {
		t.Run("all but "+last, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				s := w.subscribe("")
				for name, step := range steps {
					if name != last {
						step(w)
					}
				}
				w.none(s)
				steps[last](w)
				w.next(s)
			})
		})
	}
}

func TestASnapshotSaysWhatIsKnown(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.fill()
		got := w.next(w.subscribe(""))
		target := dc1("db")
		want := &Snapshot{
			ProxyID: proxyID, Proxy: got.Proxy, Datacenter: "dc1", Service: "web", Protocol: "tcp",
			LocalApp: Address{"127.0.0.1", 8080}, Public: Address{"0.0.0.0", 21000},
			TrustDomain: "td.consul", Roots: "ROOT\n", Leaf: api.Leaf{SerialNumber: "1", CertPEM: "cert 1", PrivateKeyPEM: "key"},
			Policy:    Policy{TrustDomain: "td.consul", Rules: []Rule{{ID: "a", Source: "api", Allow: true}}},
			Upstreams: []Upstream{{ID: "db", Name: "db", Local: Address{"127.0.0.1", 9191}, Chain: got.Upstreams[0].Chain}},
			Endpoints: map[string]*Endpoints{target.ID: {
				Target: target, SNI: "db.default.dc1.internal.td.consul", SPIFFE: []string{"spiffe://td.consul/ns/default/dc/dc1/svc/db"},
				Instances: []Instance{{Node: "node-0", ID: "db-0", Address: Address{"10.0.0.1", 20000}, Health: api.Passing, Weight: 1}},
			}},
		}
		got.Policy.DefaultWhy = ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if got.Proxy.ModifyIndex != 0 {
			t.Error("the hash would change at a restart")
		}
	})
}

func TestTheHashOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hashes []string
		for range 2 {
			w := newWorld(t)
			w.fill()
			hashes = append(hashes, w.next(w.subscribe("")).Hash())
			w.end()
			time.Sleep(time.Hour)
		}
		if hashes[0] != hashes[1] {
			t.Error(hashes)
		}
	})
}

func TestChangesArriveAndNothingElseDoes(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, before *Snapshot) {
		w.instances("db", "10.0.0.1") // the same again
		w.register(db())
		w.none(s)

		w.leaf("2")
		if got := w.next(s); got.Leaf.SerialNumber != "2" || got.Endpoints[dc1("db").ID] != before.Endpoints[dc1("db").ID] {
			t.Errorf("got %+v", got)
		}
		w.policy(true)
		if got := w.next(s); !got.Policy.DefaultAllow || len(got.Policy.Rules) != 0 || got.Policy.TrustDomain != "td.consul" {
			t.Errorf("got %+v", got.Policy)
		}
		w.instances("db", "10.0.0.2", "10.0.0.1")
		if got := hosts(w.next(s).Endpoints[dc1("db").ID]); got != "[10.0.0.1:20000 passing 1 10.0.0.2:20000 passing 1]" {
			t.Error(got)
		}
	})
}

func TestABurstIsOneChange(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		w.leaf("2")
		w.policy(true)
		w.instances("db")
		got := w.next(s)
		if got.Leaf.SerialNumber != "2" || !got.Policy.DefaultAllow || len(got.Endpoints[dc1("db").ID].Instances) != 0 {
			t.Errorf("got %+v", got)
		}
		w.none(s)
	})
}

func TestWhatIsKnownOutlivesFailures(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		w.s.fail(errors.New("no leader"))
		w.none(s)
		w.leaf("2") // what does not need the servers goes on
		if got := w.next(s); len(got.Endpoints[dc1("db").ID].Instances) != 1 {
			t.Errorf("got %+v", got)
		}
		w.policy(true)
		w.none(s)
		w.s.fail(nil)
		if got := w.next(s); !got.Policy.DefaultAllow {
			t.Errorf("got %+v", got)
		}
		w.host.change(func() { delete(w.host.services, proxyID) }) // deregistered
		w.none(s)
	})
}

// A new upstream that is not known yet must not hold back a rule that takes something away.
func TestARevocationDoesNotWaitForANewUpstream(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		cache := api.Upstream{DestinationName: "cache", LocalBindPort: 9192}
		w.register(db(), cache)
		w.none(s)
		w.policy(false)
		w.instances("db", "10.0.0.9")
		got := w.next(s)
		if len(got.Policy.Rules) != 0 || len(got.Upstreams) != 1 || hosts(got.Endpoints[dc1("db").ID]) != "[10.0.0.9:20000 passing 1]" {
			t.Errorf("got %+v", got)
		}
		w.chain("cache")
		w.none(s)
		w.instances("cache", "10.0.1.1")
		if got := w.next(s); len(got.Upstreams) != 2 || len(got.Endpoints) != 2 {
			t.Errorf("got %+v", got)
		}
		w.register(cache)
		if got := w.next(s); len(got.Upstreams) != 1 || len(got.Endpoints) != 1 {
			t.Errorf("got %+v", got)
		}
		synctest.Wait()
		if n := w.s.watches(); n != 5 { // roots, web's defaults and policy, cache's chain and instances
			t.Errorf("%d watches", n)
		}
	})
}

func TestChainsLeadToTheirTargets(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		w.chain("db", dc1("db"), dc1("db-new"))
		w.none(s)
		w.instances("db-new", "10.0.2.1")
		if got := w.next(s); len(got.Endpoints) != 2 || got.Endpoints[dc1("db-new").ID].SPIFFE[0] != "spiffe://td.consul/ns/default/dc/dc1/svc/db-new" {
			t.Errorf("got %+v", got.Endpoints)
		}
		w.chain("db", dc1("db-new"))
		if got := w.next(s); len(got.Endpoints) != 1 {
			t.Errorf("got %+v", got.Endpoints)
		}
	})
}

func TestInstancesCountByTheirHealthAndWeight(t *testing.T) {
	known(t, func(t *testing.T, w *world, s Stream, _ *Snapshot) {
		entry := func(host string, weights api.Weights, statuses ...string) any {
			e := &api.ServiceEntry{Node: api.Node{Node: "n" + host, Address: "192.0.2.1"}, Service: api.Service{ID: "db", Address: host, Port: 1, Weights: weights}}
			for _, status := range statuses {
				e.Checks = append(e.Checks, api.Check{CheckID: status, Status: status})
			}
			return e
		}
		w.entries("db",
			entry("10.0.0.5", api.Weights{Passing: 10, Warning: 3}, api.Passing, api.Passing),
			entry("10.0.0.4", api.Weights{Passing: 10, Warning: 3}, api.Passing, api.Warning),
			entry("10.0.0.3", api.Weights{Passing: 10}, api.Warning),
			entry("10.0.0.2", api.Weights{}, api.Critical, api.Passing),
			entry("10.0.0.1", api.Weights{}, api.NodeMaintenance),
			entry("", api.Weights{}),
			&api.ServiceEntry{Service: api.Service{ID: "no port", Address: "10.0.0.9"}},
		)
		want := "[10.0.0.1:1 critical 0 10.0.0.2:1 critical 0 10.0.0.3:1 warning 0 10.0.0.4:1 warning 3 10.0.0.5:1 passing 10 192.0.2.1:1 passing 1]"
		if got := hosts(w.next(s).Endpoints[dc1("db").ID]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		only := dc1("db")
		only.Subset.OnlyPassing = true
		w.chain("db", only)
		if got := hosts(w.next(s).Endpoints[only.ID]); !strings.Contains(got, "10.0.0.4:1 critical 0") {
			t.Error(got)
		}
	})
}

func TestAnUpstreamThatCannotBeCarriedOutHoldsUpNobody(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.fill()
		subset := dc1("filtered")
		subset.Subset.Filter = "Service.Meta.v =="
		w.chain("filtered", subset)
		elsewhere := dc1("elsewhere")
		elsewhere.Datacenter = "dc2"
		w.chain("elsewhere", elsewhere)
		w.register(db(),
			api.Upstream{DestinationType: api.UpstreamPreparedQuery, DestinationName: "q", LocalBindPort: 1},
			api.Upstream{DestinationName: "far", Datacenter: "dc2", LocalBindPort: 2},
			api.Upstream{DestinationName: "friend", DestinationPeer: "cloud", LocalBindPort: 3},
			api.Upstream{DestinationName: "nowhere"},
			api.Upstream{DestinationName: "socket", LocalBindSocketPath: "/run/x"},
			api.Upstream{LocalBindPort: 4},
			api.Upstream{DestinationName: "filtered", LocalBindPort: 5},
			api.Upstream{DestinationName: "elsewhere", LocalBindPort: 6},
		)
		got := w.next(w.subscribe(""))
		for i, u := range got.Upstreams {
			if (u.Unsupported == "") != (i == 0) {
				t.Errorf("%s: %q", u.ID, u.Unsupported)
			}
		}
		if len(got.Upstreams) != 9 || len(got.Endpoints) != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSubscribersShareWatches(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.fill()
		a, b := w.subscribe(""), w.subscribe("")
		if w.next(a) != w.next(b) {
			t.Error("two subscribers have two snapshots")
		}
		for key, n := range w.s.opened {
			if n != 1 {
				t.Errorf("%s is watched %d times", key, n)
			}
		}
		// Another proxy that calls the same shares its endpoints.
		other := *w.host.services[proxyID]
		other.ID, other.Proxy = "other", &api.Proxy{DestinationServiceName: "web", LocalServicePort: 1, Upstreams: []api.Upstream{db()}}
		w.host.change(func() { w.host.services["other"] = &other })
		o, err := w.a.Subscribe(context.Background(), "other", "")
		if err != nil {
			t.Fatal(err)
		}
		id := dc1("db").ID
		w.leaf("2")
		if w.next(o).Endpoints[id] != w.next(a).Endpoints[id] {
			t.Error("endpoints are not shared")
		}
		if n := w.s.watches(); n != 5 {
			t.Errorf("%d watches", n)
		}
		a.Close()
		b.Close()
		o.Close()
		time.Sleep(linger / 2)
		if n := w.s.watches(); n != 5 {
			t.Errorf("%d watches are left for an Envoy that comes back soon", n)
		}
		again := w.subscribe("")
		w.next(again)
		time.Sleep(2 * linger)
		again.Close()
		again.Close()
		time.Sleep(2 * linger)
		synctest.Wait()
		if n := w.s.watches(); n != 0 {
			t.Errorf("%d watches are left for nobody", n)
		}
		if len(w.a.feeds)+len(w.a.proxies)+w.a.lingering != 0 {
			t.Errorf("left: %d feeds, %d proxies, %d lingering", len(w.a.feeds), len(w.a.proxies), w.a.lingering)
		}
	})
}

func TestATokenThatDoesNotSufficeIsDenied(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.host.denied["bad"] = true
		early := w.subscribe("bad") // nothing is known of the proxy yet
		w.none(early)
		w.fill()
		if _, err := early.Next(context.Background()); !errors.Is(err, ErrDenied) || api.StatusOf(err) != 403 {
			t.Errorf("got %v", err)
		}
		if w.host.signed > 0 {
			t.Error("a certificate was signed")
		}
		if _, err := w.a.Subscribe(context.Background(), proxyID, "bad"); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
		s := w.subscribe("good")
		w.next(s)
		w.host.change(func() { w.host.denied["good"] = true })
		time.Sleep(2 * judgeEvery)
		if _, err := s.Next(context.Background()); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
		s.Close()
		w.host.change(func() { delete(w.host.denied, "good") })
		time.Sleep(2 * maxRetry)
		w.next(w.subscribe("good"))
	})
}

func TestARegistrationThatIsNoSidecarIsNone(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.fill()
		plain := &api.Service{ID: proxyID, Service: "web"}
		w.host.change(func() { w.host.services[proxyID] = plain })
		s := w.subscribe("")
		w.none(s)
		w.register()
		w.next(s)
	})
}

func TestTheProxyListensWhereItIsTold(t *testing.T) {
	for want, s := range map[Address]*api.Service{
		{"0.0.0.0", 21000}:     {Port: 21000},
		{"10.0.0.1", 21000}:    {Address: "10.0.0.1", Port: 21000},
		{"0.0.0.0", 21001}:     {Address: "web.example.org", Port: 21001},
		{"127.0.0.1", 21002}:   {Address: "10.0.0.1", Port: 1, Proxy: &api.Proxy{Config: map[string]any{"bind_address": "127.0.0.1", "bind_port": 21002.0}}},
		{"2001:db8::1", 21000}: {Address: "2001:db8::1", Port: 21000, Proxy: &api.Proxy{Config: map[string]any{"bind_address": "", "bind_port": "x"}}},
		{"0.0.0.0", 21003}:     {Port: 21003, Proxy: &api.Proxy{Config: map[string]any{"bind_port": 70000}}},
	} {
		if s.Proxy == nil {
			s.Proxy = &api.Proxy{}
		}
		if got := publicAddress(s); got != want {
			t.Errorf("%+v: got %s, want %s", s, got, want)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		s := w.subscribe("")
		w.next(s)
		other := w.subscribe("x")
		w.next(other)
		other.Close()
		done := make(chan error)
		go func() {
			_, err := s.Next(context.Background())
			done <- err
		}()
		synctest.Wait()
		w.end()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := w.a.Subscribe(context.Background(), proxyID, ""); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		s.Close()
	})
}
