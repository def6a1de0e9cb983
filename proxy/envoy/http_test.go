package envoy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/chain"
)

// written is config entries in memory.
type written struct {
	protocol string
	router   map[string]*api.ServiceRouter
	splitter map[string]*api.ServiceSplitter
	resolver map[string]*api.ServiceResolver
}

func (w written) Proxy() *api.ProxyDefaults {
	return &api.ProxyDefaults{Config: map[string]any{"protocol": w.protocol}}
}
func (w written) Service(string) *api.ServiceDefaults       { return nil }
func (w written) Router(name string) *api.ServiceRouter     { return w.router[name] }
func (w written) Splitter(name string) *api.ServiceSplitter { return w.splitter[name] }
func (w written) Resolver(name string) *api.ServiceResolver { return w.resolver[name] }

// everyFeature is written config in which each feature of routing appears.
func everyFeature(protocol string) written {
	header := &api.HeaderModifiers{Add: map[string]string{"a": "1"}, Set: map[string]string{"b": "%PROTOCOL%"}, Remove: []string{"c"}}
	return written{protocol,
		map[string]*api.ServiceRouter{"db": {Name: "db", Routes: []api.ServiceRoute{{
			Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{
				PathPrefix: "/a", CaseInsensitive: true, Methods: []string{"GET", "M-SEARCH"},
				Header:     []api.RouteHeaderMatch{{Name: "x", Exact: "1"}, {Name: "x", Prefix: "1"}, {Name: "x", Suffix: "1"}, {Name: "x", Regex: "1"}, {Name: "x", Present: true, Invert: true}},
				QueryParam: []api.RouteQueryMatch{{Name: "q", Exact: "1"}, {Name: "q", Regex: "1"}, {Name: "q", Present: true}},
			}},
			Destination: &api.RouteDestination{
				Service: "api", PrefixRewrite: "/b", RequestTimeout: api.Duration(time.Second), IdleTimeout: api.Duration(time.Second), NumRetries: 3,
				RetryOnConnectFailure: true, RetryOnStatusCodes: []uint32{503}, RetryOn: []string{"gateway-error"}, RequestHeaders: header, ResponseHeaders: header,
			},
		}, {Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathRegex: "/[a-z]+"}}, Destination: &api.RouteDestination{ServiceSubset: "two"}}}}},
		map[string]*api.ServiceSplitter{"db": {Name: "db", Splits: []api.ServiceSplit{
			{Weight: 33.33, RequestHeaders: header}, {Weight: 33.33, Service: "other", ResponseHeaders: header}, {Weight: 33.34, ServiceSubset: "two"},
		}}},
		map[string]*api.ServiceResolver{
			"db": {Name: "db", Subsets: map[string]api.Subset{"two": {Filter: "Service.Meta.v == 2", OnlyPassing: true}},
				Failover: map[string]api.ResolverFailover{"*": {Targets: []api.FailoverTarget{{Service: "backup"}, {Service: "last"}}}}},
			"api": {Name: "api", RequestTimeout: api.Duration(time.Second), LoadBalancer: &api.LoadBalancer{
				Policy: api.BalanceRingHash, RingHashConfig: &api.RingHashConfig{MinimumRingSize: 100},
				HashPolicies: []api.HashPolicy{{Field: api.HashHeader, FieldValue: "x"}, {Field: api.HashQuery, FieldValue: "q"}, {SourceIP: true, Terminal: true},
					{Field: api.HashCookie, FieldValue: "c", CookieConfig: &api.CookieConfig{Session: true}}, {Field: api.HashCookie, FieldValue: "d", CookieConfig: &api.CookieConfig{TTL: 1e9, Path: "/"}}},
			}},
			"other": {Name: "other", LoadBalancer: &api.LoadBalancer{Policy: api.BalanceLeastRequest, LeastRequestConfig: &api.LeastRequestConfig{ChoiceCount: 3}}},
		},
	}
}

// httpExample is example with services that speak a protocol, and a chain that is compiled.
func httpExample(t testing.TB, w written) *snapshot.Snapshot {
	t.Helper()
	s := example()
	s.Protocol = w.protocol
	c, err := chain.Compile(chain.Options{Service: "db", Datacenter: "dc1", TrustDomain: s.TrustDomain}, w)
	if err != nil {
		t.Fatal(err)
	}
	s.Upstreams[0].Chain = c
	for id, target := range c.Targets {
		e := *s.Endpoints["db.default.default.dc1"]
		e.Target, e.SNI = target, snapshot.SNI(target, s.TrustDomain)
		s.Endpoints[id] = &e
	}
	return s
}

func TestEveryFeatureIsValidForEnvoy(t *testing.T) {
	for _, protocol := range []string{"http", "http2", "grpc"} {
		s := httpExample(t, everyFeature(protocol))
		s.Mesh = snapshot.Mesh{
			TLS:  &api.MeshTLS{Incoming: &api.MeshTLSParameters{TLSMinVersion: "TLSv1_3"}, Outgoing: &api.MeshTLSParameters{TLSMaxVersion: "TLSv1_2", CipherSuites: slices.Collect(maps.Keys(cipherSuites))}},
			HTTP: &api.MeshHTTP{Incoming: &api.MeshHTTPDirection{RequestNormalization: &api.RequestNormalization{MergeSlashes: true, PathWithEscapedSlashesAction: "UNESCAPE_AND_REDIRECT", HeadersWithUnderscoresAction: "DROP_HEADER"}}},
		}
		s.Proxy.Proxy.AccessLogs = api.AccessLogs{Enabled: true}
		s.Proxy.Proxy.Config = map[string]any{
			"local_connect_timeout_ms": 1000, "local_request_timeout_ms": 2000.0, "local_idle_timeout_ms": int64(3000), "max_inbound_connections": uint64(7),
			"balance_inbound_connections": "exact_balance", "max_request_headers_kb": 96,
			"envoy_listener_tracing_json": `{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing",
				"provider":{"name":"envoy.tracers.zipkin","typed_config":{"@type":"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig","collector_cluster":"z","collector_endpoint":"/api/v2/spans","collector_endpoint_version":"HTTP_JSON"}}}`,
		}
		s.Proxy.Proxy.Expose = api.Expose{Paths: []api.ExposePath{{Path: "/healthz", ListenerPort: 21500, LocalPathPort: 8080}, {Path: "/metrics", ListenerPort: 21500, LocalPathPort: 9090, Protocol: "http2"}}}
		s.Upstreams[0].Config = snapshot.Config{
			"balance_outbound_connections": "exact_balance", "connect_timeout_ms": 900,
			"limits":               map[string]any{"max_connections": 1, "max_pending_requests": 2, "max_concurrent_requests": 3},
			"passive_health_check": map[string]any{"interval": "1s", "max_failures": 4, "enforcing_consecutive_5xx": 50, "max_ejection_percent": 60, "base_ejection_time": 700e9},
		}
		r := NewBuilder().Build(s, "g")
		if len(r.Problems) > 0 {
			t.Errorf("%s: %q", protocol, r.Problems)
		}
		validate(t, r)
		routes := read(t, r, RouteType, "db", &routev3.RouteConfiguration{})
		if n := len(routes.GetVirtualHosts()[0].GetRoutes()); n != 3 {
			t.Errorf("%d routes", n)
		}
		for cluster, assignment := range r.Assignments {
			if r.ByType[EndpointType][assignment] == nil || r.ByType[ClusterType][cluster] == nil {
				t.Errorf("%s waits for %s, which is not there", cluster, assignment)
			}
		}
		for _, needs := range r.Needs {
			for _, n := range needs {
				if r.ByType[n.Type][n.Name] == nil {
					t.Errorf("%v is needed and not there", n)
				}
			}
		}
	}
}

func TestWeightsAddUp(t *testing.T) {
	for _, weights := range [][]float32{{100}, {33.33, 33.33, 33.34}, {0.01, 99.99}, {33.3, 33.3, 33.3}, {0, 100}} {
		var splits []api.DiscoverySplit
		for _, w := range weights {
			splits = append(splits, api.DiscoverySplit{Weight: w})
		}
		legs, err := chainWalk{clusters: func(string) (string, error) { return "c", nil }}.legs(splits)
		if err != nil {
			t.Fatal(err)
		}
		sum := uint32(0)
		for i, l := range legs {
			sum += l.GetWeight().GetValue()
			if got, want := l.GetWeight().GetValue(), uint32(weights[i]*100+0.5); got < want || got > want+10 {
				t.Errorf("%v: leg %d has %d, want %d", weights, i, got, want)
			}
		}
		if sum != wholeWeight {
			t.Errorf("%v add up to %d", weights, sum)
		}
	}
}

func TestARouteThatChangesTouchesNothingElse(t *testing.T) {
	b, w := NewBuilder(), everyFeature("http")
	before := httpExample(t, w)
	w.router["db"] = &api.ServiceRouter{Name: "db", Routes: append(w.router["db"].Routes[:1:1], w.router["db"].Routes...)}
	after := httpExample(t, w)
	after.Endpoints = before.Endpoints
	x, y := b.Build(before, "g"), b.Build(after, "g")
	for typeURL := range x.ByType {
		for _, name := range x.Names(typeURL) {
			changed := x.ByType[typeURL][name].Version != y.ByType[typeURL][name].Version
			if changed != (typeURL == RouteType && name == "db") {
				t.Errorf("%s %s has changed: %t", typeURL, name, changed)
			}
			if typeURL == EndpointType && x.ByType[typeURL][name] != y.ByType[typeURL][name] {
				t.Errorf("the endpoints %s were built again", name)
			}
		}
	}
}

// A rule, a certificate or an instance that changes must not touch what connections belong to.
func TestNothingOfAnHTTPListenerDependsOnPolicyCertificateOrInstances(t *testing.T) {
	b, w := NewBuilder(), everyFeature("http")
	before, after := httpExample(t, w), httpExample(t, w)
	after.Policy.Rules = nil // narrower
	after.Leaf, after.Roots = api.Leaf{CertPEM: "new", PrivateKeyPEM: "new"}, "new"
	for _, e := range after.Endpoints {
		e.Instances = nil
	}
	x, y := b.Build(before, "g"), b.Build(after, "h")
	for _, typeURL := range []string{ListenerType, ClusterType, RouteType} {
		for _, name := range x.Names(typeURL) {
			if x.ByType[typeURL][name].Version != y.ByType[typeURL][name].Version {
				t.Errorf("%s has changed", name)
			}
		}
	}
	if x.ByType[FilterType][requestFilter].Version == y.ByType[FilterType][requestFilter].Version {
		t.Error("requests are judged as before")
	}
}

func TestUpstreamsWithSettingsOfTheirOwnShareEndpoints(t *testing.T) {
	s := httpExample(t, written{protocol: "http"})
	twin := s.Upstreams[0]
	twin.ID, twin.Local.Port, twin.Config = "twin", 9192, snapshot.Config{"limits": map[string]any{"max_connections": 1}}
	s.Upstreams = append(s.Upstreams, twin)
	r := NewBuilder().Build(s, "g")
	clusters := slices.DeleteFunc(r.Names(ClusterType), func(name string) bool { return name == localAppCluster })
	if len(clusters) != 2 || len(r.Names(EndpointType)) != 1 || len(r.Problems) > 0 {
		t.Fatalf("clusters %q, endpoints %q, problems %q", clusters, r.Names(EndpointType), r.Problems)
	}
	for _, name := range clusters {
		c := read(t, r, ClusterType, name, &clusterv3.Cluster{})
		if limited := c.GetCircuitBreakers() != nil; limited != strings.Contains(name, "~") || r.Assignments[name] != c.GetEdsClusterConfig().GetServiceName() {
			t.Errorf("%s: %v", name, c)
		}
	}
}

func TestPartsThatAnOperatorWroteAreGuarded(t *testing.T) {
	manager := `{"name":"http","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"statPrefix":"own","routeConfig":{"name":"own"},"httpFilters":[{"name":"envoy.filters.http.router","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}`
	s := example()
	text := map[string]any{
		publicListenerJSON: fmt.Sprintf(`{"@type":%q,"name":"own","address":{"socketAddress":{"address":"127.0.0.1","portValue":1}},
			"filterChains":[{"transportSocket":{"name":"envoy.transport_sockets.raw_buffer"},"filters":[%s]},{"filters":[%s]}],"defaultFilterChain":{"filters":[%s]}}`, ListenerType, manager, manager, manager),
		"envoy_local_cluster_json": `{"name":"mine","connectTimeout":"7s"}`,
	}
	s.Proxy.Proxy.Config = text
	s.Upstreams[0].Chain.Default = true
	s.Upstreams[0].Config = snapshot.Config{clusterJSON: `{"name":"mine","type":"STATIC","connectTimeout":"8s"}`,
		listenerJSON: `{"name":"own-upstream","address":{"pipe":{"path":"/x"}}}`}
	r := NewBuilder().Build(s, "g")
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	l := read(t, r, ListenerType, publicListener, &listenerv3.Listener{})
	chains := append(l.GetFilterChains(), l.GetDefaultFilterChain())
	if len(chains) != 3 {
		t.Fatalf("%d chains", len(chains))
	}
	for _, c := range chains {
		tls := &tlsv3.DownstreamTlsContext{}
		if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil || !tls.GetRequireClientCertificate().GetValue() {
			t.Errorf("%v, %v", c.GetTransportSocket(), err)
		}
		m := &hcmv3.HttpConnectionManager{}
		if err := c.GetFilters()[1].GetTypedConfig().UnmarshalTo(m); err != nil || m.GetHttpFilters()[0].GetName() != tokenFilter || m.GetHttpFilters()[1].GetName() != requestFilter || len(m.GetHttpFilters()) != 4 {
			t.Errorf("%v, %v", m, err)
		}
		if c.GetFilters()[0].GetConfigDiscovery() == nil {
			t.Errorf("%s comes first", c.GetFilters()[0].GetName())
		}
	}
	// Where requests are judged, nothing else is asked of a connection than to be of the mesh.
	h := httpExample(t, written{protocol: "http"})
	h.Proxy.Proxy.Config = text
	l = read(t, NewBuilder().Build(h, "g"), ListenerType, publicListener, &listenerv3.Listener{})
	for _, c := range l.GetFilterChains() {
		tls := &tlsv3.DownstreamTlsContext{}
		if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil || len(c.GetFilters()) != 1 ||
			tls.GetCommonTlsContext().GetValidationContextSdsSecretConfig().GetName() != rootsSecret || !tls.GetRequireClientCertificate().GetValue() {
			t.Errorf("%v, %v", c, err)
		}
	}
	if c := read(t, r, ClusterType, localAppCluster, &clusterv3.Cluster{}); c.GetConnectTimeout().AsDuration() != 7*time.Second {
		t.Errorf("%v", c)
	}
	if c := read(t, r, ClusterType, "db.", &clusterv3.Cluster{}); c.GetConnectTimeout().AsDuration() != 8*time.Second || c.GetTransportSocket() == nil {
		t.Errorf("%v", c)
	}
	read(t, r, ListenerType, "own-upstream", &listenerv3.Listener{})

	// Where entries say where calls go, they are not replaced in silence.
	s.Upstreams[0].Chain.Default = false
	if r = NewBuilder().Build(s, "g"); len(r.Problems) != 2 || len(r.Names(ListenerType)) != 2 {
		t.Errorf("problems %q, listeners %q", r.Problems, r.Names(ListenerType))
	}
	for key, text := range map[string]string{publicListenerJSON: `{"name":1}`, "envoy_local_cluster_json": "no", "envoy_listener_tracing_json": "{"} {
		s := httpExample(t, written{protocol: "http"})
		s.Proxy.Proxy.Config = map[string]any{key: text}
		r := NewBuilder().Build(s, "g")
		if len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), key) {
			t.Errorf("%s: problems %q", key, r.Problems)
		}
		if listener := (Ref{ListenerType, publicName(s)}); r.Kept[listener] == (r.ByType[ListenerType][listener.Name] != nil) {
			t.Errorf("%s: the public listener that was there before is kept: %t", key, r.Kept[listener])
		}
	}
	for _, key := range []string{listenerJSON, clusterJSON} {
		s := httpExample(t, written{protocol: "http"})
		s.Upstreams[0].Config = snapshot.Config{key: "{"}
		if r := NewBuilder().Build(s, "g"); len(r.Problems) != 1 || !r.Kept[Ref{ListenerType, upstreamName(&s.Upstreams[0])}] {
			t.Errorf("%s: problems %q, kept %v", key, r.Problems, r.Kept)
		}
	}
}

// Whatever has changed, what is taken over is what would have been built.
func TestRebuildingGivesWhatBuildingDoes(t *testing.T) {
	b := NewBuilder()
	for name, change := range map[string]func(s *snapshot.Snapshot){
		"nothing":   func(*snapshot.Snapshot) {},
		"leaf":      func(s *snapshot.Snapshot) { s.Leaf.CertPEM = "new" },
		"roots":     func(s *snapshot.Snapshot) { s.Roots = "new" },
		"policy":    func(s *snapshot.Snapshot) { s.Policy.DefaultAllow = true },
		"instances": func(s *snapshot.Snapshot) { s.Endpoints[dbTarget].Instances = nil },
		"identity":  func(s *snapshot.Snapshot) { s.Endpoints[dbTarget].SPIFFE = []string{"spiffe://other"} },
		"chain": func(s *snapshot.Snapshot) {
			s.Upstreams[0].Chain = httpExample(t, written{protocol: "http"}).Upstreams[0].Chain
		},
		"config": func(s *snapshot.Snapshot) { s.Upstreams[0].Config = snapshot.Config{"connect_timeout_ms": 7} },
		"mesh": func(s *snapshot.Snapshot) {
			s.Mesh.TLS = &api.MeshTLS{Outgoing: &api.MeshTLSParameters{TLSMinVersion: "TLSv1_3"}}
		},
		"proxy":     func(s *snapshot.Snapshot) { s.Proxy.Proxy.Config = map[string]any{"local_request_timeout_ms": 7} },
		"upstreams": func(s *snapshot.Snapshot) { s.Upstreams = nil },
		"broken":    func(s *snapshot.Snapshot) { s.Upstreams[0].Config = snapshot.Config{listenerJSON: "{"} },
		"protocol":  func(s *snapshot.Snapshot) { s.Protocol = "tcp" },
	} {
		for _, protocol := range []string{"http", "tcp"} {
			w := everyFeature(protocol)
			if protocol == "tcp" {
				w.router, w.splitter = nil, nil
			}
			s := httpExample(t, w)
			change(s)
			got, want := b.Rebuild(b.Build(httpExample(t, w), "g"), s, "g"), NewBuilder().Build(s, "g")
			if a, b := resourcesText(got), resourcesText(want); a != b {
				t.Errorf("%s, %s:\ngot  %s\nwant %s", name, protocol, a, b)
			}
		}
	}
}

const dbTarget = "db.default.default.dc1"

func resourcesText(r *Resources) string {
	var b strings.Builder
	for _, typeURL := range slices.Sorted(maps.Keys(r.ByType)) {
		for _, name := range r.Names(typeURL) {
			fmt.Fprintf(&b, "%s@%s ", name, r.ByType[typeURL][name].Version)
		}
	}
	fmt.Fprint(&b, r.Needs, r.Assignments, r.Kept, r.Problems)
	return b.String()
}

// Whatever an operator writes, what results is guarded.
func FuzzOwnPublicListener(f *testing.F) {
	f.Add(`{"name":"x","filterChains":[{"filters":[{"name":"a"}]}],"defaultFilterChain":{}}`)
	f.Add(`{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","filterChains":[{"transportSocket":{"name":"x"}}]}`)
	f.Add(`{"apiListener":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := example()
		s.Proxy.Proxy.Config = map[string]any{publicListenerJSON: text}
		r := NewBuilder().Build(s, "g")
		resource := r.ByType[ListenerType][publicName(s)]
		if (resource == nil) != r.Kept[Ref{ListenerType, publicName(s)}] {
			t.Fatalf("there is one: %t, kept: %v", resource != nil, r.Kept)
		}
		if resource == nil || text == "" {
			return
		}
		l := &listenerv3.Listener{}
		if err := resource.Body.UnmarshalTo(l); err != nil {
			t.Fatal(err)
		}
		for _, c := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
			if c == nil {
				continue
			}
			tls := &tlsv3.DownstreamTlsContext{}
			if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil || !tls.GetRequireClientCertificate().GetValue() ||
				c.GetFilters()[0].GetName() != policyName(policyFilter, "g") {
				t.Fatalf("%s is not guarded", text)
			}
		}
	})
}
