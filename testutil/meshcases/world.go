package meshcases

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// The proxies of every world.
const (
	WebProxy = "web-sidecar-proxy"
	DBProxy  = "db-sidecar-proxy"
)

// Patience bounds every wait. It is far above what anything takes.
const Patience = 30 * time.Second

// World is two services, web, which calls, and db, which is called, and their sidecars. Web may call db.
type World struct {
	T         testing.TB
	Dataplane Dataplane
	Source    *Source
	Authority *Authority
	DB        *App
	Upstream  string // where web finds db
	Public    string // where db's sidecar takes calls from the mesh

	snapshots map[string]*snapshot.Snapshot
}

// NewWorld returns a world whose sidecars are not started yet.
func NewWorld(t testing.TB, d Dataplane) *World {
	t.Helper()
	app := NewApp(t, "")
	w := newWorld(t, d, "tcp", app.Addr.Port)
	w.DB = app
	return w
}

// newWorld returns a world in which everything speaks a protocol, and in which db is on a port of this host.
func newWorld(t testing.TB, d Dataplane, protocol string, app int) *World {
	t.Helper()
	w := &World{T: t, Dataplane: d, Source: NewSource(), Authority: NewAuthority(t), snapshots: map[string]*snapshot.Snapshot{}}
	ports := FreePorts(t, 4)
	local, public := address(ports[0]), address(ports[1])
	w.Upstream, w.Public = local.String(), public.String()
	web := w.sidecar(WebProxy, "web", protocol, address(ports[2]), address(ports[3]))
	db := w.sidecar(DBProxy, "db", protocol, public, address(app))
	db.Policy.Rules = []snapshot.Rule{Allow("web")}
	AddUpstream(web, "db", "db", local, snapshot.Instance{
		Node: "node-1", ID: DBProxy, Address: public, Health: api.Passing, Weight: 1,
	})
	w.snapshots[WebProxy], w.snapshots[DBProxy] = web, db
	w.Source.Set(web)
	w.Source.Set(db)
	return w
}

// Start starts both sidecars and waits until both listen.
func (w *World) Start() {
	w.T.Helper()
	w.Dataplane.Start(w.T, w.Source, DBProxy)
	w.Dataplane.Start(w.T, w.Source, WebProxy)
	w.Listens(w.Public)
	w.Listens(w.Upstream)
}

// Running starts both sidecars and waits until a call passes.
func (w *World) Running() {
	w.T.Helper()
	w.Start()
	w.Eventually("a call to pass", w.Call)
}

// Listens waits until something listens on an address.
func (w *World) Listens(addr string) {
	w.T.Helper()
	w.Eventually("a listener on "+addr, func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Change hands out a changed snapshot. What the snapshot refers to is copied only as far as change replaces it: maps and
// slices are cloned, values behind pointers are not to be written.
func (w *World) Change(proxyID string, change func(s *snapshot.Snapshot)) {
	next := *w.snapshots[proxyID]
	next.Policy.Rules = slices.Clone(next.Policy.Rules)
	next.Upstreams = slices.Clone(next.Upstreams)
	next.Endpoints = maps.Clone(next.Endpoints)
	change(&next)
	w.snapshots[proxyID] = &next
	w.Source.Set(&next)
}

// Rules replaces db's rules.
func (w *World) Rules(rules ...snapshot.Rule) {
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Policy.Rules = rules })
}

// Instances replaces where db is found.
func (w *World) Instances(instances ...snapshot.Instance) {
	w.Change(WebProxy, func(s *snapshot.Snapshot) {
		id := target("db", "").ID
		e := *s.Endpoints[id]
		e.Instances = instances
		s.Endpoints[id] = &e
	})
}

// DBInstance is db's true instance.
func (w *World) DBInstance() snapshot.Instance {
	return w.snapshots[WebProxy].Endpoints[target("db", "").ID].Instances[0]
}

// Eventually waits for something to succeed.
func (w *World) Eventually(what string, try func() error) {
	w.T.Helper()
	w.Within(Patience, what, try)
}

// Within waits for something to succeed, but not for long.
func (w *World) Within(d time.Duration, what string, try func() error) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			w.T.Fatalf("waited %s for %s in vain: %v", d, what, err)
		}
	}
}

// Allow is a rule that lets a service call.
func Allow(source string) snapshot.Rule {
	return snapshot.Rule{ID: "allow-" + source, Why: source + " may call", Source: source, Allow: true}
}

// Deny is a rule that refuses a service.
func Deny(source string) snapshot.Rule {
	return snapshot.Rule{ID: "deny-" + source, Why: source + " may not call", Source: source}
}

// sidecar returns the snapshot of a sidecar without upstreams whom nobody may call.
func (w *World) sidecar(id, service, protocol string, public, app snapshot.Address) *snapshot.Snapshot {
	return &snapshot.Snapshot{
		ProxyID: id, Datacenter: Datacenter, Service: service, Protocol: protocol, LocalApp: app, Public: public,
		Proxy: api.Service{
			Kind: api.KindConnectProxy, ID: id, Service: service + "-sidecar-proxy", Port: public.Port,
			Proxy: &api.Proxy{DestinationServiceName: service},
		},
		TrustDomain: w.Authority.TrustDomain, Roots: w.Authority.Root, Leaf: w.Authority.Leaf(w.T, service),
		Policy:    snapshot.Policy{TrustDomain: w.Authority.TrustDomain},
		Endpoints: map[string]*snapshot.Endpoints{},
	}
}

// AddUpstream adds an upstream, whose target is a subset (or, if that is the service's own name, all) of a service.
func AddUpstream(s *snapshot.Snapshot, service, subset string, local snapshot.Address, instances ...snapshot.Instance) {
	if subset == service {
		subset = ""
	}
	t := target(service, subset)
	s.Upstreams = append(s.Upstreams, snapshot.Upstream{ID: service + subset, Name: service, Local: local, Chain: plainChain(s.Protocol, t)})
	AddTarget(s, t, instances...)
}

// AddTarget adds the endpoints of a target.
func AddTarget(s *snapshot.Snapshot, t api.Target, instances ...snapshot.Instance) {
	s.Endpoints[t.ID] = &snapshot.Endpoints{
		Target: t, SNI: snapshot.SNI(t, s.TrustDomain), Instances: instances,
		SPIFFE: []string{snapshot.Identity{TrustDomain: s.TrustDomain, Datacenter: Datacenter, Service: t.Service}.String()},
	}
}

func target(service, subset string) api.Target {
	id := api.TargetID(service, subset, "", "", Datacenter, "")
	return api.Target{ID: id, Name: id, Service: service, ServiceSubset: subset, Namespace: "default", Partition: "default", Datacenter: Datacenter}
}

// plainChain leads to one target.
func plainChain(protocol string, t api.Target) *api.DiscoveryChain {
	start := "resolver:" + t.ID
	return &api.DiscoveryChain{
		ServiceName: t.Service, Namespace: "default", Partition: "default", Datacenter: Datacenter, Protocol: protocol, StartNode: start,
		Nodes: map[string]api.DiscoveryNode{start: {Type: api.DiscoveryNodeResolver, Name: t.ID, Resolver: &api.DiscoveryResolver{
			Target: t.ID, ConnectTimeout: api.Duration(5 * time.Second),
		}}},
		Targets: map[string]api.Target{t.ID: t},
	}
}

// FreePorts returns ports of 127.0.0.1 on which nothing listens. They are below those that the system gives to outgoing connections,
// one of which would take a port in the moment before its sidecar does.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	const from, below = 12000, 32000
	var ports []int
	for range 1000 {
		l, err := net.Listen("tcp", address(from+rand.IntN(below-from)).String())
		if err != nil {
			continue
		}
		defer l.Close() // not before all are found, so that no two are the same
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

func address(port int) snapshot.Address { return snapshot.Address{Host: "127.0.0.1", Port: port} }
