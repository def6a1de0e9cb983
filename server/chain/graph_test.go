package chain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

const speakHTTP = `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"}}` + "\n"

// draw writes a chain's graph: a line for each node with what it leads to, the first one first. Of a resolver only failovers are
// worth a line. What is always the same in a name is left out.
func draw(c *api.DiscoveryChain) string {
	short := strings.NewReplacer("resolver:", "", ".default.default.dc1", "", ".default.default", "")
	lines := []string{"start = " + c.StartNode}
	for _, name := range slices.Sorted(maps.Keys(c.Nodes)) {
		n := c.Nodes[name]
		var to []string
		for _, r := range n.Routes {
			to = append(to, r.NextNode)
		}
		for _, s := range n.Splits {
			to = append(to, fmt.Sprintf("%v %s", s.Weight, s.NextNode))
		}
		if n.Resolver != nil && n.Resolver.Failover != nil {
			to = append(to, "else "+strings.Join(n.Resolver.Failover.Targets, " else "))
		}
		if len(to) > 0 {
			lines = append(lines, name+" = "+strings.Join(to, ", "))
		}
	}
	return short.Replace(strings.Join(lines, "\n"))
}

func TestGraph(t *testing.T) {
	for _, c := range []struct{ name, entries, want string }{
		{"nothing", "", `start = web`},
		{"a resolver alone", `{"Kind":"service-resolver","Name":"web"}`, `start = web`},
		{"default subset", `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{}}}`, `start = v1.web`},

		{"a router ends with the service itself", speakHTTP + `{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"Service":"a"}},{}]}`, `
			start = router:web
			router:web = a, web, web`},
		{"a router without routes", speakHTTP + `{"Kind":"service-router","Name":"web"}`, `
			start = router:web
			router:web = web`},
		{"a route to a subset passes the splitter by", speakHTTP + `
			{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"ServiceSubset":"v2"}},{"Destination":{"Service":"web"}}]}
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100,"ServiceSubset":"v1"}]}
			{"Kind":"service-resolver","Name":"web","Subsets":{"v1":{},"v2":{}}}`, `
			start = router:web
			router:web = v2.web, splitter:web, splitter:web
			splitter:web = 100 v1.web`},
		{"only the service's own router counts", speakHTTP + `
			{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"Service":"a"}}]}
			{"Kind":"service-router","Name":"a","Routes":[{"Destination":{"Service":"web"}}]}`, `
			start = router:web
			router:web = a, web`},

		{"splitters become one", speakHTTP + `
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":50},{"Weight":30,"Service":"a"},{"Weight":20,"Service":"b"}]}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":50,"Service":"b"},{"Weight":50,"Service":"c"}]}
			{"Kind":"service-splitter","Name":"b","Splits":[{"Weight":90,"Service":"d"},{"Weight":10}]}`, `
			start = splitter:web
			splitter:web = 50 web, 13.5 d, 1.5 b, 15 c, 18 d, 2 b`},
		{"rounding loses nothing", speakHTTP + `
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":0.01},{"Weight":99.99,"Service":"a"}]}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":33.33,"Service":"b"},{"Weight":33.33,"Service":"c"},{"Weight":33.34}]}`, `
			start = splitter:web
			splitter:web = 0.01 web, 33.33 b, 33.33 c, 33.33 a`},
		{"a split to its own service goes no round", speakHTTP + `{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100,"Service":"web"}]}`, `
			start = splitter:web
			splitter:web = 100 web`},
		{"a split to another's subset passes its splitter by", speakHTTP + `
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100,"Service":"a","ServiceSubset":"v1"}]}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100,"Service":"web"}]}
			{"Kind":"service-resolver","Name":"a","Subsets":{"v1":{}}}`, `
			start = splitter:web
			splitter:web = 100 v1.a`},

		{"redirects", `
			{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a"}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b","Datacenter":"dc2"}}
			{"Kind":"service-resolver","Name":"b","DefaultSubset":"v1","Subsets":{"v1":{}}}`, `start = v1.b.dc2`},
		{"a redirect elsewhere is applied once", `{"Kind":"service-resolver","Name":"web","Redirect":{"Datacenter":"dc2"}}`, `start = web.dc2`},
		{"a redirect keeps a subset of the same service", speakHTTP + `
			{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"ServiceSubset":"v1"}}]}
			{"Kind":"service-resolver","Name":"web","Subsets":{"v1":{}},"Redirect":{"Datacenter":"dc2"}}`, `
			start = router:web
			router:web = v1.web.dc2, web.dc2`},
		{"a redirect to a subset", `{"Kind":"service-resolver","Name":"web","Subsets":{"v1":{}},"Redirect":{"Service":"web","ServiceSubset":"v1"}}`, `start = v1.web`},
		{"a redirect to a peer", `{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a","Peer":"p"}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"web"}}`, `start = a.external.p`},
		{"a redirect does not go back to a splitter", speakHTTP + `
			{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a"}}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100,"Service":"b"}]}`, `start = a`},

		{"failover by service", `{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Service":"a"}}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b"},"Failover":{"*":{"Service":"c"}}}`, `
			start = web
			web = else b`},
		{"failover by datacenter keeps the subset", `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{},"v2":{}},
			"Failover":{"v2":{"Service":"a"},"*":{"Datacenters":["dc1","dc3","dc2","dc3"]}}}`, `
			start = v1.web
			v1.web = else v1.web.dc3 else v1.web.dc2`},
		{"a subset's own failover", `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v2","Subsets":{"v1":{},"v2":{}},
			"Failover":{"v2":{"ServiceSubset":"v1"},"*":{"Datacenters":["dc2"]}}}`, `
			start = v2.web
			v2.web = else v1.web`},
		{"failover by targets", `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{}},
			"Failover":{"v1":{"Targets":[{"Service":"a"},{"Datacenter":"dc2"},{"Peer":"p"},{"Service":"b","Datacenter":"dc3"}]}}}`, `
			start = v1.web
			v1.web = else a else v1.web.dc2 else v1.web.external.p else b.dc3`},
		{"no failover to itself", `{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Service":"a"}}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"web"}}`, `start = web`},
	} {
		t.Run(c.name, func(t *testing.T) {
			// An entry may go on over several lines.
			lines := strings.ReplaceAll(c.entries, "\n\t\t\t\"", "\"")
			got := draw(compile(t, Options{Service: "web", Datacenter: "dc1"}, lines))
			if want := strings.ReplaceAll(strings.TrimSpace(c.want), "\t", ""); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, entries, want string }{
		{"redirects in a circle", `
			{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a"}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"web"}}`,
			`discovery chain of "web": service-resolver "web" Redirect (web -> a -> web): circular redirect`},
		{"by way of datacenters", `
			{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a","Datacenter":"dc2"}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"web","Datacenter":"dc3"}}`, `circular redirect`},
		{"of a failover", `
			{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Datacenters":["dc2"],"Service":"a"}}}
			{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b"}}
			{"Kind":"service-resolver","Name":"b","Redirect":{"Service":"a"}}`,
			`service-resolver "web" Failover["*"] step 1: service-resolver "a" Redirect (a -> b -> a): circular redirect`},
		{"splitters in a circle", speakHTTP + `
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":10},{"Weight":90,"Service":"a"}]}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100,"Service":"web"}]}`,
			`service-splitter "web" Splits[1]: service-splitter "a" Splits[0]: circular reference between splitters (web -> a -> web)`},
		{"a router for tcp", `{"Kind":"service-router","Name":"web"}`,
			`service-router "web" needs requests, but service "web" speaks tcp: set Protocol in its service-defaults to one of ["http" "http2" "grpc"], or delete`},
		{"a splitter for tcp", `{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100}]}`, `service-splitter "web" needs requests`},
		{"a route to tcp", `
			{"Kind":"service-defaults","Name":"web","Protocol":"http"}
			{"Kind":"service-router","Name":"web","Routes":[{},{"Destination":{"Service":"a"}}]}`,
			`service-router "web" Routes[1]: inconsistent protocols: service "a" speaks tcp, but "web" speaks http`},
		{"a split to grpc", speakHTTP + `
			{"Kind":"service-defaults","Name":"a","Protocol":"grpc"}
			{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100,"Service":"a"}]}
			{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100}]}`, `inconsistent protocols: service "a" speaks grpc, but "web" speaks http`},
		{"a redirect to http", `
			{"Kind":"service-defaults","Name":"a","Protocol":"http"}
			{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a"}}`,
			`service-resolver "web" Redirect (web -> a): inconsistent protocols: service "a" speaks http, but "web" speaks tcp: set the same Protocol`},
		{"a failover to http", `
			{"Kind":"service-defaults","Name":"a","Protocol":"http"}
			{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Service":"a"}}}`, `Failover["*"] step 1: inconsistent protocols`},
		{"an unknown subset of a route", speakHTTP + `{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"ServiceSubset":"v1"}}]}`,
			`service-router "web" Routes[0]: service "web" has no subset named "v1": define it in the Subsets of its service-resolver first`},
		{"of a redirect", `{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"a","ServiceSubset":"v1"}}`, `service "a" has no subset named "v1"`},
		{"of the default", `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1"}`, `service "web" has no subset named "v1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compile(Options{Service: "web", Datacenter: "dc1"}, hold(t, c.entries))
			if api.StatusOf(err) != 500 || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

// TestDeep has splitters that would have more legs than there are grains of sand, and redirects through many services.
func TestDeep(t *testing.T) {
	m := hold(t, speakHTTP)
	const depth = 2000
	for i := range depth {
		name, next := fmt.Sprint("s", i), fmt.Sprint("s", i+1)
		m[key(api.KindServiceSplitter, name)] = &api.ServiceSplitter{Name: name, Splits: []api.ServiceSplit{{Weight: 50, Service: next}, {Weight: 50, Service: next}}}
		m[key(api.KindServiceResolver, "r"+name)] = &api.ServiceResolver{Name: "r" + name, Redirect: &api.ResolverRedirect{Service: "r" + next}}
	}
	if _, err := Compile(Options{Service: "s0", Datacenter: "dc1"}, m); err == nil || !strings.Contains(err.Error(), "split less deep") {
		t.Errorf("got %v", err)
	}
	c, err := Compile(Options{Service: "rs0", Datacenter: "dc1"}, m)
	if err != nil || draw(c) != fmt.Sprint("start = rs", depth) {
		t.Errorf("got %v, %v", c, err)
	}
	m[key(api.KindServiceResolver, "loop")] = &api.ServiceResolver{Name: "loop", Redirect: &api.ResolverRedirect{Service: "rs0"}}
	m[key(api.KindServiceResolver, fmt.Sprint("rs", depth))] = &api.ServiceResolver{Redirect: &api.ResolverRedirect{Service: "loop"}}
	if _, err := Compile(Options{Service: "rs0", Datacenter: "dc1"}, m); err == nil || len(err.Error()) > 400 {
		t.Errorf("got %v", err)
	}
}

// TestNodes looks at what nodes hold besides where they lead.
func TestNodes(t *testing.T) {
	const entries = `
		{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"},"FailoverPolicy":{"Mode":"order-by-locality"}}
		{"Kind":"service-defaults","Name":"web","Protocol":"http","Meta":{"team":"a"}}
		{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":50},{"Weight":25,"Service":"a"},{"Weight":25,"Service":"b"}]}
		{"Kind":"service-resolver","Name":"web","ConnectTimeout":"7s","RequestTimeout":"9s","LoadBalancer":{"Policy":"least_request"},"Failover":{"*":{"Service":"c"}}}
		{"Kind":"service-resolver","Name":"a","LoadBalancer":{"Policy":"maglev","HashPolicies":[{"SourceIP":true}]},"Failover":{"*":{"Service":"c","Policy":{"Mode":"sequential"}}}}
		{"Kind":"service-resolver","Name":"b","LoadBalancer":{"Policy":"ring_hash"}}`
	c := compile(t, Options{Service: "web", Datacenter: "dc1"}, entries)
	const place = ".default.default.dc1"
	web, a := c.Nodes["resolver:web"+place], c.Nodes["resolver:a"+place]
	if c.ServiceMeta["team"] != "a" || c.Default || c.CustomizationHash != "" {
		t.Errorf("chain %+v", c)
	}
	if b := c.Nodes[c.StartNode].LoadBalancer; b == nil || b.Policy != "maglev" || a.LoadBalancer != b || web.LoadBalancer.Policy != "least_request" {
		t.Errorf("the splitter balances by %+v", b)
	}
	if r := web.Resolver; r.Default || r.ConnectTimeout.String() != "7s" || r.RequestTimeout.String() != "9s" || r.Failover.Policy.Mode != "order-by-locality" {
		t.Errorf("resolver %+v", r)
	}
	if a.Resolver.Failover.Policy.Mode != "sequential" || a.Resolver.ConnectTimeout.String() != "5s" {
		t.Errorf("resolver %+v", a.Resolver)
	}
	if d := c.Targets["web"+place].ConnectTimeout; d.String() != "7s" {
		t.Errorf("target's timeout %s", d)
	}
}

func TestOverrides(t *testing.T) {
	const routed = speakHTTP + `
		{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"Service":"a"}}]}
		{"Kind":"service-resolver","Name":"web","ConnectTimeout":"7s"}`
	hashes := map[string]bool{}
	for _, c := range []struct {
		entries     string
		o           Overrides
		start, want string
		custom      bool
	}{
		{routed, Overrides{}, "router:web", "http", false},
		{routed, Overrides{Protocol: "http"}, "router:web", "http", false},
		{routed, Overrides{Protocol: "tcp"}, "web", "tcp", true},
		{routed, Overrides{Protocol: "grpc"}, "router:web", "grpc", true},
		{"", Overrides{Protocol: "http"}, "web", "http", true},
		{"", Overrides{ConnectTimeout: 1}, "web", "tcp", true},
		{"", Overrides{MeshGateway: api.MeshGateway{Mode: "local"}}, "web", "tcp", true},
	} {
		got := compile(t, Options{Service: "web", Datacenter: "dc1", Overrides: c.o}, c.entries)
		if start, _, _ := strings.Cut(strings.TrimPrefix(draw(got), "start = "), "\n"); start != c.start || got.Protocol != c.want {
			t.Errorf("%+v: starts at %s, speaks %s", c.o, start, got.Protocol)
		}
		if h := got.CustomizationHash; (h != "") != c.custom || c.custom && (len(h) != 8 || c.entries == "" && hashes[h]) {
			t.Errorf("%+v: hash %q", c.o, h)
		}
		hashes[got.CustomizationHash] = true
		for _, n := range got.Nodes {
			if r := n.Resolver; r != nil && c.o.ConnectTimeout != 0 && r.ConnectTimeout != c.o.ConnectTimeout {
				t.Errorf("%+v: timeout %s", c.o, r.ConnectTimeout)
			}
		}
	}
}

func TestAffected(t *testing.T) {
	m := hold(t, `
		{"Kind":"service-router","Name":"front","Routes":[{},{"Destination":{"Service":"web"}}]}
		{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":1},{"Weight":99,"Service":"a"}]}
		{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b"}}
		{"Kind":"service-resolver","Name":"b","Failover":{"*":{"Targets":[{"Service":"c"},{"Service":"peered","Peer":"p"}]}}}
		{"Kind":"service-resolver","Name":"c","Failover":{"x":{"Service":"b"}}}
		{"Kind":"service-resolver","Name":"apart"}`)
	for service, want := range map[string]string{
		"front": "front", "web": "front web", "a": "a front web", "c": "a b c front web", "b": "a b c front web",
		"apart": "apart", "peered": "peered", "new": "new",
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(Affected([]string{service}, maps.Values(m)))), " "); got != want {
			t.Errorf("%s: got %q, want %q", service, got, want)
		}
	}
	// Each is told by which of several it may change.
	if by := Affected([]string{"apart", "web"}, maps.Values(m)); len(by) != 3 || by["apart"] != "apart" || by["web"] != "web" || by["front"] != "web" {
		t.Errorf("got %v", by)
	}
}
