package api_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/parleymesh/parley/api"
)

// A shape is a body as the public API answers it, with every key that is shown and none that is not.
type shape struct {
	name string
	into func() any
	body string
}

func into[T any]() any { return new(T) }

var shapes = []shape{
	{"node by hand", into[api.Node], `{"ID":"","Node":"n1","Address":"192.0.2.1","Datacenter":"dc1",
		"TaggedAddresses":null,"Meta":null,"CreateIndex":5,"ModifyIndex":6}`},
	{"node of an agent", into[api.Node], `{"ID":"6d1ea96d-9b2b-4b1a-b3f9-6dd9f5c1b7a0","Node":"n1","Address":"192.0.2.1","Datacenter":"dc1",
		"TaggedAddresses":{"lan":"192.0.2.1","wan":"198.51.100.1"},"Meta":{"rack":"r1"},"CreateIndex":5,"ModifyIndex":6}`},
	{"service", into[api.Service], `{"ID":"web-1","Service":"web","Tags":[],"Address":"","Meta":{},"Port":8080,
		"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},
		"Connect":{},"PeerName":"","CreateIndex":7,"ModifyIndex":8}`},
	{"sidecar", into[api.Service], `{"Kind":"connect-proxy","ID":"web-sidecar-proxy","Service":"web-sidecar-proxy","Tags":["a"],"Address":"192.0.2.9",
		"TaggedAddresses":{"lan":{"Address":"192.0.2.9","Port":21000}},"Meta":{"k":"v"},"Port":21000,
		"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,
		"Proxy":{"DestinationServiceName":"web","DestinationServiceID":"web","LocalServiceAddress":"127.0.0.1","LocalServicePort":8080,
			"Mode":"transparent","Config":{"protocol":"http","limits":{"max":3,"names":["x","y"]},"on":true},
			"Upstreams":[{"DestinationType":"service","DestinationName":"db","Datacenter":"dc2","LocalBindAddress":"127.0.0.2",
				"LocalBindPort":9191,"Config":{"connect_timeout_ms":1000},"MeshGateway":{"Mode":"remote"}}],
			"MeshGateway":{"Mode":"local"},"Expose":{"Checks":true,"Paths":[{"ListenerPort":1,"Path":"/h","LocalPathPort":2,"Protocol":"http"}]},
			"TransparentProxy":{"OutboundListenerPort":15001,"DialedDirectly":true},"AccessLogs":{"Enabled":true}},
		"Connect":{"Native":true},"Locality":{"Region":"r","Zone":"z"},"PeerName":"","CreateIndex":7,"ModifyIndex":8}`},
	{"flat service", into[api.CatalogService], `{"ID":"","Node":"n1","Address":"192.0.2.1","Datacenter":"dc1","TaggedAddresses":null,"NodeMeta":null,
		"ServiceKind":"","ServiceID":"web","ServiceName":"web","ServiceTags":[],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},
		"ServiceMeta":{},"ServicePort":1,"ServiceSocketPath":"","ServiceEnableTagOverride":false,
		"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},"ServiceLocality":null,"CreateIndex":1,"ModifyIndex":2}`},
	{"service of the agent", into[api.AgentService], `{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":1,"Address":"",
		"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"ContentHash":"a1","Datacenter":"dc1"}`},
	{"sidecar of the agent", into[api.AgentService], `{"Kind":"connect-proxy","ID":"p","Service":"p","Tags":[],"Meta":{},"Port":1,"Address":"",
		"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1","Proxy":{"DestinationServiceName":"web","MeshGateway":{},
		"Expose":{"Paths":[{"ListenerPort":1,"Path":"/h","LocalPathPort":2,"Protocol":"http","ParsedFromCheck":false}]}}}`},
	{"check", into[api.Check], `{"Node":"n1","CheckID":"service:web","Name":"alive","Status":"passing","Notes":"","Output":"ok","ServiceID":"web",
		"ServiceName":"web","ServiceTags":["a"],"Type":"http","Interval":"10s","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":1,"ModifyIndex":2}`},
	{"check with a definition", into[api.Check], `{"Node":"n1","CheckID":"c","Name":"c","Status":"warning","Notes":"","Output":"","ServiceID":"",
		"ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,
		"Definition":{"HTTP":"http://192.0.2.1/","Header":{"X-A":["b"]},"Interval":"5s","Timeout":"1s","DeregisterCriticalServiceAfter":"1m30s"},
		"CreateIndex":1,"ModifyIndex":2}`},
	{"key", into[api.KVPair], `{"LockIndex":0,"Key":"a","Flags":18446744073709551615,"Value":"aGVsbG8=","CreateIndex":1,"ModifyIndex":2}`},
	{"locked empty key", into[api.KVPair], `{"LockIndex":1,"Key":"a","Flags":0,"Value":null,"Session":"s","CreateIndex":1,"ModifyIndex":2}`},
	{"session", into[api.Session], `{"ID":"s","Name":"","Node":"n1","LockDelay":15000000000,"Behavior":"release","TTL":"","NodeChecks":["serfHealth"],
		"ServiceChecks":null,"CreateIndex":1,"ModifyIndex":1}`},
	{"intention", into[api.Intention], `{"SourceNS":"default","SourceName":"web","DestinationNS":"default","DestinationName":"db","SourceType":"consul",
		"Action":"allow","Precedence":9,"CreateIndex":1,"ModifyIndex":2}`},
	{"intention with an id", into[api.Intention], `{"ID":"8f246b77-f3e1-ff88-5b48-8ec93abf3e05","Description":"d","SourceNS":"default","SourceName":"web",
		"DestinationNS":"default","DestinationName":"db","SourceType":"consul","Action":"deny","Meta":{"k":"v"},"Precedence":9,
		"CreatedAt":"2024-05-01T10:00:00Z","UpdatedAt":"2024-05-01T10:00:00.5Z","Hash":"AQI=","CreateIndex":1,"ModifyIndex":2}`},
	{"service intentions", into[api.ServiceIntentions], `{"Kind":"service-intentions","Name":"api","Sources":[
		{"Name":"web","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/","Header":[{"Name":"x","Invert":true,"Regex":"^a"}],"Methods":["GET"]}}],
			"Precedence":9,"Type":"consul"},
		{"Name":"*","Action":"deny","Precedence":8,"Type":"consul","LegacyID":"i","LegacyCreateTime":"2024-05-01T10:00:00Z"}],
		"Hash":14868163042594217127,"CreateIndex":1,"ModifyIndex":2}`},
	{"service defaults, plain", into[api.ServiceDefaults], `{"Kind":"service-defaults","Name":"web","Protocol":"","TransparentProxy":{},"MeshGateway":{},
		"Expose":{},"CreateIndex":1,"ModifyIndex":2}`},
	{"service defaults, full", into[api.ServiceDefaults], `{"Kind":"service-defaults","Name":"web","Protocol":"http","Mode":"transparent",
		"TransparentProxy":{"OutboundListenerPort":15002},"MeshGateway":{"Mode":"remote"},"Expose":{"Checks":true},"ExternalSNI":"x.example.org",
		"UpstreamConfig":{"Defaults":{"Peer":"","ConnectTimeoutMs":100,"Limits":{"MaxConnections":0},
			"PassiveHealthCheck":{"Interval":1000000000,"MaxFailures":3,"EnforcingConsecutive5xx":0},"MeshGateway":{}},
			"Overrides":[{"Name":"db","Peer":"","Protocol":"tcp","MeshGateway":{"Mode":"none"}}]},
		"Destination":{"Addresses":["a.example.org"],"Port":443},"MaxInboundConnections":10,"BalanceInboundConnections":"exact_balance",
		"RateLimits":{"InstanceLevel":{"RequestsPerSecond":5,"RequestsMaxBurst":6}},
		"EnvoyExtensions":[{"Name":"builtin/lua","Required":false,"Arguments":{"Script":"x"},"ConsulVersion":"","EnvoyVersion":""}],
		"Meta":{"a":"b"},"Hash":9,"CreateIndex":1,"ModifyIndex":2}`},
	{"proxy defaults", into[api.ProxyDefaults], `{"Kind":"proxy-defaults","Name":"global","Config":{"local_connect_timeout_ms":1000},"TransparentProxy":{},
		"MeshGateway":{},"Expose":{},"AccessLogs":{"Enabled":true,"Type":"stdout"},"Hash":9,"CreateIndex":1,"ModifyIndex":2}`},
	{"router", into[api.ServiceRouter], `{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"/admin","Methods":["GET"],
		"Header":[{"Name":"x","Exact":"y"}],"QueryParam":[{"Name":"q","Present":true}]}},"Destination":{"Service":"dest2","PrefixRewrite":"/","RequestTimeout":"3s",
		"IdleTimeout":"4s","NumRetries":2,"RetryOnConnectFailure":true,"RetryOn":["reset"],"RetryOnStatusCodes":[503],"RequestHeaders":{"Add":{"a":"b"}}}}],
		"Hash":9,"CreateIndex":1,"ModifyIndex":2}`},
	{"splitter", into[api.ServiceSplitter], `{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":33.33,"ServiceSubset":"v1"},{"Weight":0}],"CreateIndex":1,"ModifyIndex":2}`},
	{"resolver", into[api.ServiceResolver], `{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{"Filter":"Service.Meta.v == 1","OnlyPassing":true}},
		"ConnectTimeout":"5s","RequestTimeout":"10s","LoadBalancer":{"Policy":"ring_hash","RingHashConfig":{"MinimumRingSize":10},
		"HashPolicies":[{"Field":"header","FieldValue":"x-u"}]},"Failover":{"*":{"Service":"web","Datacenters":["dc2"]}},"CreateIndex":1,"ModifyIndex":2}`},
	{"mesh", into[api.MeshEntry], `{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true},"AllowEnablingPermissiveMutualTLS":true,
		"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2"}},"HTTP":{"SanitizeXForwardedClientCert":true},"Peering":{"PeerThroughMeshGateways":true},"CreateIndex":1,"ModifyIndex":2}`},
	{"JWT provider", into[api.JWTProvider], `{"Kind":"jwt-provider","Name":"okta","Issuer":"https://i.example.org","Audiences":["aud"],"JSONWebKeySet":{"Remote":
		{"URI":"https://i.example.org/jwks","RequestTimeoutMs":1000,"CacheDuration":300000000000}},"Locations":[{"Header":{"Name":"x-jwt","ValuePrefix":"Bearer "}}],
		"Forwarding":{"HeaderName":"x-fwd","PadForwardPayloadHeader":false},"ClockSkewSeconds":30,"CacheConfig":{"Size":10},"CreateIndex":1,"ModifyIndex":2}`},
	{"ingress gateway", into[api.IngressGateway], `{"Kind":"ingress-gateway","Name":"igw","TLS":{"Enabled":true},"Listeners":[{"Port":8080,"Protocol":"http","Services":
		[{"Name":"web","Hosts":["a.example.org"],"MaxConnections":3}]},{"Port":9090,"Protocol":"tcp","Services":[{"Name":"db","Hosts":null}]}],"CreateIndex":1,"ModifyIndex":2}`},
	{"API gateway", into[api.APIGateway], `{"Kind":"api-gateway","Name":"gw","Listeners":[{"Name":"h","Hostname":"","Port":80,"Protocol":"http","TLS":{"Certificates":null,
		"MaxVersion":"","MinVersion":"","CipherSuites":null}}],"Status":{"Conditions":[{"Type":"Accepted","Status":"True","Reason":"Accepted","Message":"m",
		"Resource":{"Kind":"","Name":"","SectionName":""},"LastTransitionTime":"2024-05-01T10:00:00Z"}]},"CreateIndex":1,"ModifyIndex":2}`},
	{"HTTP route", into[api.HTTPRoute], `{"Kind":"http-route","Name":"r","Parents":[{"Kind":"api-gateway","Name":"gw","SectionName":""}],"Hostnames":null,"Rules":[{"Filters":
		{"Headers":null,"URLRewrite":null,"RetryFilter":null,"TimeoutFilter":{"RequestTimeout":1000000000,"IdleTimeout":0},"JWT":null},"ResponseFilters":{"Headers":null},
		"Matches":null,"Services":[{"Name":"web","Weight":1,"Filters":{"Headers":null,"URLRewrite":null,"RetryFilter":null,"TimeoutFilter":null,"JWT":null},
		"ResponseFilters":{"Headers":null}}]}],"Status":{"Conditions":null},"CreateIndex":1,"ModifyIndex":2}`},
	{"CA roots", into[api.CARoots], `{"ActiveRootID":"aa:bb","TrustDomain":"11111111-2222-3333-4444-555555555555.consul","Roots":[{"ID":"aa:bb",
		"Name":"root","SerialNumber":7,"SigningKeyID":"cc","ExternalTrustDomain":"x","NotBefore":"2024-05-01T10:00:00Z","NotAfter":"2034-05-01T10:00:00Z",
		"RootCert":"PEM","IntermediateCerts":null,"Active":true,"PrivateKeyType":"ec","PrivateKeyBits":256,"CreateIndex":1,"ModifyIndex":2}]}`},
	{"leaf", into[api.Leaf], `{"SerialNumber":"01:02","CertPEM":"C","PrivateKeyPEM":"K","Service":"web","ServiceURI":"spiffe://x/ns/default/dc/dc1/svc/web",
		"ValidAfter":"2024-05-01T10:00:00Z","ValidBefore":"2024-05-04T10:00:00Z","CreateIndex":1,"ModifyIndex":2}`},
	{"CA configuration", into[api.CAConfiguration], `{"Provider":"consul","Config":{"LeafCertTTL":"72h"},"State":null,"ForceWithoutCrossSigning":false,
		"CreateIndex":1,"ModifyIndex":2}`},
	{"member", into[api.Member], `{"Name":"n1","Addr":"192.0.2.1","Port":8301,"Tags":{"role":"consul"},"Status":1,"ProtocolMin":1,"ProtocolMax":5,
		"ProtocolCur":2,"DelegateMin":2,"DelegateMax":5,"DelegateCur":4}`},
	{"raft configuration", into[api.RaftConfiguration], `{"Servers":[{"ID":"i","Node":"n1","Address":"192.0.2.1:8300","Leader":true,"ProtocolVersion":"3",
		"Voter":true,"LastIndex":4}],"Index":0}`},
	{"default chain", into[api.DiscoveryChain], `{"ServiceName":"web","Namespace":"default","Partition":"default","Datacenter":"dc1","Protocol":"tcp",
		"Default":true,"StartNode":"resolver:web.default.default.dc1","Nodes":{"resolver:web.default.default.dc1":{"Type":"resolver",
		"Name":"web.default.default.dc1","Resolver":{"Default":true,"ConnectTimeout":"5s","Target":"web.default.default.dc1"}}},
		"Targets":{"web.default.default.dc1":{"ID":"web.default.default.dc1","Service":"web","Namespace":"default","Partition":"default",
		"Datacenter":"dc1","MeshGateway":{},"Subset":{},"TransparentProxy":{},"ConnectTimeout":"5s","SNI":"s","Name":"s"}},
		"AutoVirtualIPs":null,"ManualVirtualIPs":null}`},
	{"absent node", into[api.NodeServiceList], `{"Node":null,"Services":null}`},
	{"definition", into[api.ServiceDefinition], `{"ID":"web-1","Name":"web","Tags":["a"],"Port":8080,"Weights":{"Passing":2,"Warning":1},
		"Check":{"CheckID":"c","HTTP":"http://192.0.2.1/","Interval":"10s","H2PingUseTLS":false},"Checks":[{"TTL":"1m0s"}],
		"Connect":{"SidecarService":{"Port":21000,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{},"Upstreams":[
		{"DestinationName":"db","LocalBindPort":9191,"MeshGateway":{}}]}}}}`},
}

// TestShapes reads each body and writes it again, through JSON and through what the Raft log holds. Nothing may be lost and
// nothing added.
func TestShapes(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			value := s.into()
			if err := json.Unmarshal([]byte(s.body), value); err != nil {
				t.Fatal(err)
			}
			wantJSON(t, value, s.body)

			logged := s.into()
			throughLog(t, value, logged)
			wantJSON(t, logged, s.body)
		})
	}
}

func wantJSON(t *testing.T, value any, want string) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := canonical(t, data), canonical(t, []byte(want)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// canonical sorts keys and keeps numbers as they are written.
func canonical(t *testing.T, data []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func throughLog(t *testing.T, from, to any) {
	t.Helper()
	handle := &codec.MsgpackHandle{}
	handle.RawToString = true
	handle.MapType = reflect.TypeFor[map[string]any]()
	var buf bytes.Buffer
	if err := codec.NewEncoder(&buf, handle).Encode(from); err != nil {
		t.Fatal(err)
	}
	if err := codec.NewDecoder(&buf, handle).Decode(to); err != nil {
		t.Fatal(err)
	}
}

func TestNormalizedShowsWhatTheAPIAlwaysShows(t *testing.T) {
	s := api.Service{Service: "web"}.Normalized()
	s.CreateIndex, s.ModifyIndex = 1, 2
	wantJSON(t, s, `{"ID":"web","Service":"web","Tags":[],"Address":"","Meta":null,"Port":0,"Weights":{"Passing":1,"Warning":1},
		"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":1,"ModifyIndex":2}`)
}

func TestAgentServiceAndBack(t *testing.T) {
	s := api.Service{Kind: api.KindConnectProxy, Service: "p", Port: 1, Meta: map[string]string{}, Proxy: &api.Proxy{
		DestinationServiceName: "web",
		Config:                 map[string]any{"a": "b"},
		Expose:                 api.Expose{Paths: []api.ExposePath{{Path: "/h", ParsedFromCheck: true}}},
	}}.Normalized()
	a := api.NewAgentService(&s, "dc1")
	if back := a.AsService(); !reflect.DeepEqual(back, s) {
		t.Errorf("got  %+v\nwant %+v", back, s)
	}
	plain := api.Service{Service: "web"}.Normalized()
	a = api.NewAgentService(&plain, "dc1")
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "Proxy") || strings.Contains(string(data), "Connect") {
		t.Errorf("a plain service shows what only proxies have: %s", data)
	}
}

func TestCatalogServiceTakesTheServicesIndexes(t *testing.T) {
	n := &api.Node{Node: "n1", Address: "192.0.2.1", ModifyIndex: 9}
	s := api.Service{Service: "web", ModifyIndex: 4}.Normalized()
	if c := api.NewCatalogService(n, &s); c.Node != "n1" || c.ServiceName != "web" || c.ModifyIndex != 4 {
		t.Errorf("got %+v", c)
	}
}
