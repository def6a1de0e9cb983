package envoy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// example is a snapshot of web's sidecar, which calls db.
func example() *snapshot.Snapshot {
	target := api.Target{ID: "db.default.default.dc1", Service: "db", Namespace: "default", Partition: "default", Datacenter: "dc1"}
	return &snapshot.Snapshot{
		ProxyID: "web-sidecar-proxy", Datacenter: "dc1", Service: "web", Protocol: "tcp",
		Proxy:    api.Service{ID: "web-sidecar-proxy", Proxy: &api.Proxy{DestinationServiceName: "web"}},
		LocalApp: snapshot.Address{Host: "127.0.0.1", Port: 8080}, Public: snapshot.Address{Host: "0.0.0.0", Port: 21000},
		TrustDomain: "td.consul", Roots: "roots", Leaf: api.Leaf{CertPEM: "cert", PrivateKeyPEM: "key"},
		Policy: snapshot.Policy{TrustDomain: "td.consul", Rules: []snapshot.Rule{{ID: "a", Source: "api", Allow: true}}},
		Upstreams: []snapshot.Upstream{{ID: "db", Name: "db", Local: snapshot.Address{Host: "127.0.0.1", Port: 9191}, Chain: &api.DiscoveryChain{
			StartNode: "resolver:" + target.ID,
			Nodes: map[string]api.DiscoveryNode{"resolver:" + target.ID: {Type: api.DiscoveryNodeResolver, Resolver: &api.DiscoveryResolver{
				Target: target.ID, ConnectTimeout: api.Duration(3 * time.Second),
			}}},
		}}},
		Endpoints: map[string]*snapshot.Endpoints{target.ID: {
			Target: target, SNI: "db.default.dc1.internal.td.consul", SPIFFE: []string{"spiffe://td.consul/ns/default/dc/dc1/svc/db"},
			Instances: []snapshot.Instance{
				{ID: "1", Address: snapshot.Address{Host: "10.0.0.1", Port: 1}, Health: api.Passing, Weight: 10},
				{ID: "2", Address: snapshot.Address{Host: "10.0.0.2", Port: 1}, Health: api.Warning, Weight: 200},
				{ID: "3", Address: snapshot.Address{Host: "10.0.0.3", Port: 1}, Health: api.Critical},
				{ID: "4", Address: snapshot.Address{Host: "db.example.org", Port: 1}, Health: api.Passing, Weight: 1},
				{ID: "5", Address: snapshot.Address{Host: "2001:db8::1", Port: 1}, Health: api.Passing, Weight: 0},
			},
		}},
	}
}

// read decodes the resource of a type whose name begins so.
func read[T proto.Message](t *testing.T, r *Resources, typeURL, prefix string, into T) T {
	t.Helper()
	for _, name := range r.Names(typeURL) {
		if strings.HasPrefix(name, prefix) {
			if err := r.ByType[typeURL][name].Body.UnmarshalTo(into); err != nil {
				t.Fatal(err)
			}
			return into
		}
	}
	t.Fatalf("no %s %s among %v", typeURL, prefix, r.Names(typeURL))
	return into
}

func TestTheSameSnapshotGivesTheSameResources(t *testing.T) {
	one, other := example(), example()
	for i := range 20 { // which stand in a map
		for _, s := range []*snapshot.Snapshot{one, other} {
			s.Policy.Rules = append(s.Policy.Rules, snapshot.Rule{ID: fmt.Sprint("rule-", i), Source: fmt.Sprint("source-", i), Allow: true})
		}
	}
	a, b := NewBuilder().Build(one, "g"), NewBuilder().Build(other, "g")
	validate(t, a)
	n := 0
	for typeURL := range a.ByType {
		for _, name := range a.Names(typeURL) {
			n++
			x, y := a.ByType[typeURL][name], b.ByType[typeURL][name]
			if y == nil || x.Version != y.Version || string(x.Body.GetValue()) != string(y.Body.GetValue()) {
				t.Errorf("%s %s differs", typeURL, name)
			}
		}
	}
	if n != 11 || len(a.Problems) > 0 { // two clusters, two listeners, one load assignment, three secrets, three filters
		t.Errorf("%d resources, problems %v", n, a.Problems)
	}
}

func TestEndpointsAreWeightedByHealth(t *testing.T) {
	r := NewBuilder().Build(example(), "g")
	got := read(t, r, EndpointType, "db.", &endpointv3.ClusterLoadAssignment{})
	var lines []string
	for _, e := range got.GetEndpoints()[0].GetLbEndpoints() {
		lines = append(lines, strings.Join([]string{
			e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress(), e.GetHealthStatus().String(), e.GetLoadBalancingWeight().String(),
		}, " "))
	}
	want := "10.0.0.1 HEALTHY value:10; 10.0.0.2 HEALTHY value:128; 10.0.0.3 UNHEALTHY value:1; 2001:db8::1 UNHEALTHY value:1"
	if joined := strings.Join(lines, "; "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}

func TestEndpointsAreBuiltOnceForAllWhoShareThem(t *testing.T) {
	b := NewBuilder()
	one, other := example(), example()
	other.Endpoints = one.Endpoints
	name := "db.default.dc1.internal.td.consul"
	first := b.Build(one, "g").ByType[EndpointType][name]
	if b.Build(other, "h").ByType[EndpointType][name] != first {
		t.Error("they were built twice")
	}
	if b.Build(example(), "g").ByType[EndpointType][name] == first {
		t.Error("others are taken for the same")
	}
	runtime.KeepAlive(one)
	one, other = nil, nil
	for range 100 {
		runtime.GC()
		left := 0
		b.assignments.Range(func(any, any) bool { left++; return true })
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond) // cleanups run in a goroutine of the runtime's
	}
	t.Error("what nobody refers to is kept")
}

func TestNothingOfAListenerDependsOnPolicyCertificateOrInstances(t *testing.T) {
	b, before := NewBuilder(), example()
	after := example()
	after.Policy.Rules = append(after.Policy.Rules, snapshot.Rule{ID: "b", Source: "batch", Allow: true})
	after.Leaf, after.Roots = api.Leaf{CertPEM: "new", PrivateKeyPEM: "new"}, "new"
	after.Endpoints["db.default.default.dc1"].Instances = nil
	x, y := b.Build(before, "g"), b.Build(after, "g")
	for _, typeURL := range []string{ListenerType, ClusterType} {
		for _, name := range x.Names(typeURL) {
			if string(x.ByType[typeURL][name].Body.GetValue()) != string(y.ByType[typeURL][name].Body.GetValue()) {
				t.Errorf("%s has changed", name)
			}
		}
	}
}

func TestWhatCannotBeCarriedOutIsSaidAndLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *snapshot.Snapshot)
		want   string
	}{
		"unsupported":  {func(s *snapshot.Snapshot) { s.Upstreams[0].Unsupported = "it is elsewhere" }, "upstream db: it is elsewhere"},
		"no chain":     {func(s *snapshot.Snapshot) { s.Upstreams[0].Chain = nil }, "no discovery chain"},
		"no endpoints": {func(s *snapshot.Snapshot) { s.Endpoints = nil }, "no endpoints of target"},
		"other chain": {func(s *snapshot.Snapshot) {
			s.Upstreams[0].Chain = &api.DiscoveryChain{StartNode: "router:db", Nodes: map[string]api.DiscoveryNode{"router:db": {Type: "router"}}}
		}, "of type \"router\", where a resolver must be"},
		"bad port": {func(s *snapshot.Snapshot) { s.Upstreams[0].Local.Port = 70000 }, "not valid for Envoy"},
		"bad log": {func(s *snapshot.Snapshot) {
			s.Proxy.Proxy.AccessLogs = api.AccessLogs{Enabled: true, JSONFormat: "no"}
		}, "JSONFormat"},
	} {
		s := example()
		c.change(s)
		r := NewBuilder().Build(s, "g")
		if len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
			t.Errorf("%s: problems are %q, want %q", name, r.Problems, c.want)
		}
		if n := len(r.Names(ListenerType)); name != "bad log" && n != 1 {
			t.Errorf("%s: %d listeners, want the public one", name, n)
		}
	}
}

func TestOldGenerationsAreJudgedByTheNewestRules(t *testing.T) {
	r := NewBuilder().Build(example(), "new")
	for typeURL, stem := range map[string]string{SecretType: "policy", FilterType: "rbac"} {
		old, current := r.Lookup(typeURL, stem+":old"), r.Lookup(typeURL, stem+":new")
		if old == nil || current == nil || old.Name != stem+":old" || current.Name != stem+":new" {
			t.Fatalf("%s: %v, %v", stem, old, current)
		}
		if typeURL == SecretType {
			x, y := &tlsv3.Secret{}, &tlsv3.Secret{}
			if old.Body.UnmarshalTo(x) != nil || current.Body.UnmarshalTo(y) != nil || x.GetName() != stem+":old" ||
				!proto.Equal(x.GetValidationContext(), y.GetValidationContext()) {
				t.Errorf("%v is not %v", x, y)
			}
		}
		for _, absent := range []string{stem, stem + ":", "leaf:old", "nothing"} {
			if r.Lookup(typeURL, absent) != nil {
				t.Errorf("%s is there", absent)
			}
		}
	}
}

func TestAnUpstreamsCertificateMustBeItsOwn(t *testing.T) {
	s := example()
	s.Endpoints["db.default.default.dc1"].SPIFFE = nil // nobody can be it
	cluster := read(t, NewBuilder().Build(s, "g"), ClusterType, "db.", &clusterv3.Cluster{})
	tls := &tlsv3.UpstreamTlsContext{}
	if err := cluster.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil {
		t.Fatal(err)
	}
	names := tls.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()
	if len(names) != 1 || names[0].GetMatcher().GetExact() != nobody {
		t.Errorf("%v", names)
	}
}

func TestGenerationsChangeWhenSomebodyLosesSomething(t *testing.T) {
	policy := func(sources ...string) *snapshot.Policy {
		p := &snapshot.Policy{TrustDomain: "td"}
		for _, s := range sources {
			p.Rules = append(p.Rules, snapshot.Rule{ID: s, Source: s, Allow: true})
		}
		return p
	}
	g := Generation{}.Next(policy("a"))
	if wider := g.Next(policy("a", "b")); wider.Name != g.Name {
		t.Error("more callers made a new generation")
	}
	narrower := g.Next(policy("b"))
	if narrower.Name == g.Name {
		t.Error("a caller less made none")
	}
	if back := narrower.Next(policy("a")); back.Name == g.Name || back.Name == narrower.Name {
		t.Error("a policy that comes back has the generation of before, whose connections are not drained")
	}
	s := example()
	g = Generation{}.Next(&s.Policy)
	r := NewBuilder().Build(s, g.Name)
	for _, name := range r.Names(ListenerType) {
		read, ok := ReadGeneration(name, r.ByType[ListenerType][name].Version)
		if public := strings.HasPrefix(name, publicListener); ok != public {
			t.Errorf("%s: read %t", name, ok)
		} else if public && (read.Name != g.Name || read.Next(&s.Policy).Name != g.Name || read.Next(policy("x")).Name == g.Name) {
			t.Errorf("read %+v, want %+v", read, g)
		}
	}
}

func FuzzReadGeneration(f *testing.F) {
	f.Add("public_listener:1.2.3.4:1", "a.b.c")
	f.Fuzz(func(t *testing.T, listener, version string) {
		if g, ok := ReadGeneration(listener, version); ok && !strings.HasPrefix(version, g.Name+"."+g.hash+".") {
			t.Errorf("%+v of %q", g, version)
		}
	})
}
