package local_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

// shows wants a service, as the agent's API shows it, to be this JSON.
func (h *host) shows(id, want string) {
	h.t.Helper()
	s, _ := h.Service(id)
	if s == nil {
		h.t.Fatalf("service %q is not there", id)
	}
	sameJSON(h.t, api.NewAgentService(s, "dc1"), want)
}

func sameJSON(t *testing.T, v any, want string) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("shown is\n%s\nwant\n%s", data, want)
	}
}

// What follows stands so in the recordings of the public API.
// TestNamesThatDNSCannotServe are registered, and told of once.
func TestNamesThatDNSCannotServe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(nil))
		for range 2 {
			h.register(`{"Name": "web_1", "Tags": ["v1"], "Connect": {"SidecarService": {"Port": 1}}}`)
		}
		if n := h.logged("not found through DNS"); n != 1 {
			t.Errorf("%d lines tell of the name, want one", n)
		}
		h.register(`{"Name": "web_1", "Tags": ["v_1"]}`)
		if n := h.logged("not found through DNS"); n != 3 {
			t.Errorf("%d lines tell of the name and the new tag, want three in all", n)
		}
	})
}

func TestServicesAreShownAsRecorded(t *testing.T) {
	h := start(t, options(nil))
	h.register(`{"ID": "web-1", "Name": "web", "Tags": ["v1", "primary"], "Port": 8080, "Address": "10.1.0.1", "Meta": {"rel": "a", "team": "x"},
		"EnableTagOverride": true, "Weights": {"Passing": 10, "Warning": 1},
		"TaggedAddresses": {"lan": {"Address": "10.1.0.1", "Port": 8080}, "wan": {"Address": "198.51.100.1", "Port": 80}},
		"Check": {"TTL": "30s", "Name": "web ttl", "Notes": "n", "Status": "passing"}}`)
	h.shows("web-1", `{"Address": "10.1.0.1", "Datacenter": "dc1", "EnableTagOverride": true, "ID": "web-1", "Meta": {"rel": "a", "team": "x"},
		"Port": 8080, "Service": "web", "Tags": ["v1", "primary"], "Weights": {"Passing": 10, "Warning": 1},
		"TaggedAddresses": {"lan": {"Address": "10.1.0.1", "Port": 8080}, "lan_ipv4": {"Address": "10.1.0.1", "Port": 8080},
			"wan": {"Address": "198.51.100.1", "Port": 80}, "wan_ipv4": {"Address": "10.1.0.1", "Port": 8080}}}`)
	sameJSON(t, h.Check("service:web-1"), `{"CheckID": "service:web-1", "CreateIndex": 0, "Definition": {}, "ExposedPort": 0, "Interval": "",
		"ModifyIndex": 0, "Name": "web ttl", "Node": "node-1", "Notes": "n", "Output": "", "ServiceID": "web-1", "ServiceName": "web",
		"ServiceTags": ["v1", "primary"], "Status": "passing", "Timeout": "", "Type": "ttl"}`)

	h.register(`{"Name": "plain"}`)
	h.shows("plain", `{"Address": "", "Datacenter": "dc1", "EnableTagOverride": false, "ID": "plain", "Meta": {}, "Port": 0, "Service": "plain",
		"Tags": [], "Weights": {"Passing": 1, "Warning": 1}}`)

	// Registering again replaces the service and keeps its checks.
	h.register(`{"ID": "web-1", "Name": "web", "Port": 8081}`)
	if c := h.Check("service:web-1"); c == nil || c.Status != api.Passing || len(c.ServiceTags) != 2 {
		t.Errorf("the check is %+v", c)
	}
	h.register(`{"ID": "web-1", "Name": "web2", "Port": 8081}`)
	if c := h.Check("service:web-1"); c.ServiceName != "web2" {
		t.Errorf("the check of a service that is called otherwise is %+v", c)
	}
	if err := h.tryRegister(`{"ID": "web-1", "Name": "web", "Port": 8081, "Checks": [{"TTL": "10s"}, {"CheckID": "second", "TTL": "20s", "Status": "warning"}]}`, "", true); err != nil {
		t.Fatal(err)
	}
	h.is("plain web-1 | second=warning service:web-1:1=critical")
	if c := h.Check("second"); c.Name != "Service 'web' check" {
		t.Errorf("the check is called %q", c.Name)
	}
	h.registerCheck(`{"Name": "node ttl", "TTL": "60s"}`)
	sameJSON(t, h.Check("node ttl"), `{"CheckID": "node ttl", "CreateIndex": 0, "Definition": {}, "ExposedPort": 0, "Interval": "0s", "ModifyIndex": 0,
		"Name": "node ttl", "Node": "node-1", "Notes": "", "Output": "", "ServiceID": "", "ServiceName": "", "ServiceTags": [],
		"Status": "critical", "Timeout": "0s", "Type": "ttl"}`)
	if err := h.DeregisterService("web-1"); err != nil {
		t.Fatal(err)
	}
	h.is("plain | node ttl=critical")
}

func TestSidecarsAreShownAsRecorded(t *testing.T) {
	h := start(t, options(nil))
	h.register(`{"Name": "web", "Port": 8080, "Tags": ["t"], "Meta": {"m": "1"}, "Connect": {"SidecarService": {}}}`)
	h.shows("web", `{"Address": "", "Datacenter": "dc1", "EnableTagOverride": false, "ID": "web", "Meta": {"m": "1"}, "Port": 8080, "Service": "web",
		"Tags": ["t"], "Weights": {"Passing": 1, "Warning": 1}}`)
	h.shows("web-sidecar-proxy", `{"Address": "", "Datacenter": "dc1", "EnableTagOverride": false, "ID": "web-sidecar-proxy", "Kind": "connect-proxy",
		"Meta": {"m": "1"}, "Port": 21000, "Proxy": {"DestinationServiceID": "web", "DestinationServiceName": "web", "Expose": {},
		"LocalServiceAddress": "127.0.0.1", "LocalServicePort": 8080, "MeshGateway": {}}, "Service": "web-sidecar-proxy", "Tags": ["t"],
		"Weights": {"Passing": 1, "Warning": 1}}`)
	one, two := *h.Check("service:web-sidecar-proxy:1"), *h.Check("service:web-sidecar-proxy:2")
	if one.Name != "Connect Sidecar Listening" || one.Type != "tcp" || one.Interval != "10s" || one.Timeout != "" {
		t.Errorf("the first check is %+v", one)
	}
	if two.Name != "Connect Sidecar Aliasing web" || two.Type != "alias" || two.Interval != "" {
		t.Errorf("the second check is %+v", two)
	}
	h.register(`{"Name": "api", "Port": 9090, "Connect": {"SidecarService": {"Port": 21999, "Tags": ["px"], "Proxy": {
		"Config": {"protocol": "http", "handshake_timeout_ms": 1}, "MeshGateway": {"Mode": "local"},
		"Expose": {"Paths": [{"Path": "/healthz", "LocalPathPort": 9090, "ListenerPort": 21500, "Protocol": "http"}]},
		"Upstreams": [{"DestinationName": "db", "LocalBindPort": 9001, "LocalBindAddress": "127.0.0.2", "Datacenter": "dc2",
			"Config": {"connect_timeout_ms": 1000}, "MeshGateway": {"Mode": "remote"}},
			{"DestinationType": "prepared_query", "DestinationName": "pq", "LocalBindPort": 9002}]}}}}`)
	h.shows("api-sidecar-proxy", `{"Address": "", "Datacenter": "dc1", "EnableTagOverride": false, "ID": "api-sidecar-proxy", "Kind": "connect-proxy",
		"Meta": {}, "Port": 21999, "Proxy": {"Config": {"handshake_timeout_ms": 1, "protocol": "http"}, "DestinationServiceID": "api",
		"DestinationServiceName": "api", "Expose": {"Paths": [{"ListenerPort": 21500, "LocalPathPort": 9090, "ParsedFromCheck": false,
			"Path": "/healthz", "Protocol": "http"}]}, "LocalServiceAddress": "127.0.0.1", "LocalServicePort": 9090, "MeshGateway": {"Mode": "local"},
		"Upstreams": [{"Config": {"connect_timeout_ms": 1000}, "Datacenter": "dc2", "DestinationName": "db", "DestinationType": "service",
			"LocalBindAddress": "127.0.0.2", "LocalBindPort": 9001, "MeshGateway": {"Mode": "remote"}},
			{"DestinationName": "pq", "DestinationType": "prepared_query", "LocalBindPort": 9002, "MeshGateway": {}}]},
		"Service": "api-sidecar-proxy", "Tags": ["px"], "Weights": {"Passing": 1, "Warning": 1}}`)
	h.register(`{"Name": "native", "Port": 1, "Connect": {"Native": true}}`)
	h.shows("native", `{"Address": "", "Connect": {"Native": true}, "Datacenter": "dc1", "EnableTagOverride": false, "ID": "native", "Meta": {},
		"Port": 1, "Service": "native", "Tags": [], "Weights": {"Passing": 1, "Warning": 1}}`)
	for _, kind := range []string{"mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"} {
		h.register(fmt.Sprintf(`{"Kind": %q, "Name": %q, "Port": 8443}`, kind, kind))
	}
	h.register(`{"Name": "both", "Port": 1, "Connect": {"Native": true, "SidecarService": {}}}`)
	if err := h.DeregisterService("web"); err != nil {
		t.Fatal(err)
	}
	if s, _ := h.Service("web-sidecar-proxy"); s != nil {
		t.Error("the sidecar stays without its service")
	}
	if h.Check("service:web-sidecar-proxy:1") != nil {
		t.Error("the sidecar's check stays without its service")
	}
}

func TestSidecarPorts(t *testing.T) {
	h := start(t, options(nil))
	port := func(id string) int {
		s, _ := h.Service(id + "-sidecar-proxy")
		if s == nil {
			return 0
		}
		return s.Port
	}
	sidecar := func(name, more string) string {
		return fmt.Sprintf(`{"Name": %q, "Port": 80, "Connect": {"SidecarService": {%s}}}`, name, more)
	}
	h.register(sidecar("a", ""))
	h.register(`{"Name": "taken", "Port": 21001}`)
	h.register(sidecar("b", ""))
	h.register(sidecar("b", `"Tags": ["again"]`))
	h.register(sidecar("a", ""))
	if got := fmt.Sprint(port("a"), port("b")); got != "21000 21002" {
		t.Errorf("ports are %s", got)
	}
	err := h.tryRegister(sidecar("c", ""), "", false)
	if api.StatusOf(err) != 400 || !strings.Contains(err.Error(), "SidecarService.Port") {
		t.Errorf("with no port left: %v", err)
	}
	if s, _ := h.Service("c"); s != nil {
		t.Error("the service is there without its sidecar")
	}
	h.register(`{"Name": "taken", "Port": 1}`)
	h.register(sidecar("c", ""))
	if port("c") != 21001 {
		t.Errorf("the port that was given back is not used: %d", port("c"))
	}
	h.register(`{"Name": "a", "Port": 80}`)
	if port("a") != 0 {
		t.Error("the sidecar stays though its service asks for none")
	}
	h.register(`{"Name": "d-sidecar-proxy", "Port": 5, "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "d"}}`)
	h.register(`{"Name": "d", "Port": 80}`)
	if port("d") != 5 {
		t.Error("a sidecar registered by itself goes with a service that asks for none")
	}
	h.register(sidecar("d", `"Port": 6`))
	if port("d") != 6 {
		t.Errorf("port %d", port("d"))
	}
	if err := h.DeregisterService("d-sidecar-proxy"); err != nil {
		t.Fatal(err)
	}
	if s, _ := h.Service("d"); s == nil {
		t.Error("the service has gone with its sidecar")
	}
	o := options(nil)
	o.SidecarMinPort, o.SidecarMaxPort = 0, 0
	none := start(t, o)
	if err := none.tryRegister(sidecar("a", ""), "", false); api.StatusOf(err) != 400 {
		t.Errorf("with no ports to give: %v", err)
	}
}

func TestInvalidDefinitionsChangeNothing(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	o := options(nil)
	o.Dir = dir
	h := start(t, o)
	h.register(web)
	h.registerCheck(`{"Name": "mine", "TTL": "1h"}`)
	before, n := h.all(), kept(t, dir)
	px := `"Kind": "connect-proxy", "Name": "x", "Port": 1`
	for _, c := range []struct{ def, says string }{
		{`{"Name": ""}`, "service name"},
		{`{"Name": "two words"}`, "service name"},
		{`{"Name": "` + strings.Repeat("x", 200) + `"}`, "service name"},
		{`{"Name": "x", "ID": "a b"}`, "service ID"},
		{`{"Name": "x", "Port": 65536}`, "Port 65536"},
		{`{"Name": "x", "Port": -1}`, "Port -1"},
		{`{"Name": "x", "Kind": "weird"}`, "Kind"},
		{`{"Name": "x", "Address": "0.0.0.0"}`, "Invalid service address"},
		{`{"Name": "x", "Address": "a b"}`, "Invalid service address"},
		{`{"Name": "x", "TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 70000}}}`, "TaggedAddresses.wan.Port"},
		{`{"Name": "x", "Meta": {"a b": ""}}`, "Meta key"},
		{`{"Name": "x", "Meta": {"a": "` + strings.Repeat("x", 600) + `"}}`, "Meta value"},
		{`{"Name": "x", "Weights": {"Passing": -1, "Warning": 1}}`, "Weights"},
		{`{"Name": "x", "Checks": [{"TTL": "1s"}, {"TTL": "-1s"}]}`, "TTL must be > 0"},
		{`{"Name": "x", "Check": {"HTTP": "http://192.0.2.1/", "Interval": "0s"}}`, "Interval must be > 0"},
		{`{"Name": "x", "Check": {"TTL": "1s", "CheckID": "serfHealth"}}`, "reserved"},
		{`{"Name": "x", "Check": {"TTL": "1s", "CheckID": "_node_maintenance"}}`, "reserved"},
		{`{"Name": "x", "Check": {"TTL": "1s", "CheckID": "service:web"}}`, `CheckID "service:web" of service "x" is taken by a check of service "web"`},
		{`{"Name": "x", "Check": {"TTL": "1s", "CheckID": "mine"}}`, "is taken by a check of the node"},
		{`{"Name": "x", "Checks": [{"TTL": "1s", "CheckID": "c"}, {"TTL": "1s", "CheckID": "c"}]}`, "given twice"},
		{`{"Name": "x", "Check": {"TTL": "1s", "ServiceID": "web"}}`, "ServiceID"},
		{`{"Name": "x", "Connect": {"SidecarService": {"ID": "y"}}}`, "A SidecarService cannot specify an ID as this is managed by"},
		{`{"Name": "x", "Connect": {"SidecarService": {"Port": 70000}}}`, "Port 70000"},
		{`{"Name": "x", "Connect": {"SidecarService": {"Connect": {"SidecarService": {}}}}}`, "A SidecarService cannot have a nested SidecarService"},
		{`{"Name": "x", "Connect": {"SidecarService": {"Kind": "mesh-gateway"}}}`, "Kind"},
		{`{"Name": "x", "Connect": {"SidecarService": {"Check": {"TTL": "-1s"}}}}`, "TTL must be > 0"},
		{`{"Name": "x", "Kind": "mesh-gateway", "Connect": {"SidecarService": {}}}`, "cannot have a sidecar"},
		{`{` + px + `}`, "Proxy.DestinationServiceName must be non-empty for Connect"},
		{`{"Kind": "connect-proxy", "Name": "x", "Proxy": {"DestinationServiceName": "y"}}`, "Port or SocketPath must be set for a connect-proxy"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "*"}}`, "wildcard"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "y", "Mode": "odd"}}`, "Proxy.Mode"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "y", "Upstreams": [{"LocalBindPort": 1}]}}`, "upstream destination name cannot be empty"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "y", "Upstreams": [{"DestinationName": "a"}]}}`, "upstream local bind port or local socket path must be"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "y", "Upstreams": [{"DestinationName": "a", "LocalBindPort": 70000}]}}`, "LocalBindPort 70000"},
		{`{` + px + `, "Proxy": {"DestinationServiceName": "y", "Upstreams": [{"DestinationName": "a", "LocalBindPort": 5}, {"DestinationName": "b", "LocalBindPort": 5}]}}`,
			`upstreams cannot contain duplicates by local bind address and port or unix path; "127.0.0.1:5" is specified twice`},
		{`{"Kind": "terminating-gateway", "Name": "x", "Port": 1, "Proxy": {"DestinationServiceName": "y"}}`, "The Proxy.DestinationServiceName configuration is invalid for a terminating-gateway"},
		// A definition that replaces another one, and is wrong in its last part.
		{`{"Name": "web", "Port": 81, "Connect": {"SidecarService": {"Checks": [{"TTL": "1s"}, {"TTL": "0s"}]}}}`, "TTL must be > 0"},
	} {
		err := h.tryRegister(c.def, "", true)
		if api.StatusOf(err) != 400 || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s\n\tis answered %v, want 400 and %q", c.def, err, c.says)
		}
	}
	for _, c := range []struct {
		def, says string
		status    int
	}{
		{`{"TTL": "1s"}`, "Missing check name", 400},
		{`{"Name": "x"}`, "TTL must be > 0", 400},
		{`{"Name": "x", "TTL": "10s", "ServiceID": "none"}`, `ServiceID "none" does not exist`, 404},
		{`{"Name": "x", "Args": ["true"], "Interval": "10s"}`, "Scripts are disabled on this agent from remote calls; to", 500},
		{`{"Name": "` + strings.Repeat("x", 600) + `", "TTL": "10s"}`, "check ID", 400},
		{`{"Name": "serfHealth", "TTL": "10s"}`, "reserved", 400},
	} {
		err := h.RegisterCheck(checkDef(t, c.def), "")
		if api.StatusOf(err) != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s\n\tis answered %v, want %d and %q", c.def, err, c.status, c.says)
		}
	}
	if h.all() != before || kept(t, dir) != n {
		t.Errorf("registered is\n%s, %d kept\nwant\n%s, %d", h.all(), kept(t, dir), before, n)
	}
	if s, _ := h.Service("web"); s.Port != 80 {
		t.Error("the service was changed by a definition that was refused")
	}
}

func TestMaintenance(t *testing.T) {
	h := start(t, options(nil))
	h.register(`{"ID": "w1", "Name": "web", "Port": 1}`)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.ServiceMaintenance("w1", true, "upgrade", ""))
	sameJSON(t, h.Check("_service_maintenance:w1"), `{"CheckID": "_service_maintenance:w1", "CreateIndex": 0, "Definition": {}, "ExposedPort": 0,
		"Interval": "", "ModifyIndex": 0, "Name": "Service Maintenance Mode", "Node": "node-1", "Notes": "upgrade", "Output": "",
		"ServiceID": "w1", "ServiceName": "web", "ServiceTags": [], "Status": "critical", "Timeout": "", "Type": "maintenance"}`)
	must(h.ServiceMaintenance("w1", true, "", ""))
	if h.Check("_service_maintenance:w1").Notes != "upgrade" {
		t.Error("maintenance was switched on twice")
	}
	must(h.tryRegister(`{"ID": "w1", "Name": "web", "Port": 2}`, "", true))
	h.is("w1 | _service_maintenance:w1=critical")
	must(h.ServiceMaintenance("w1", false, "", ""))
	must(h.ServiceMaintenance("w1", false, "", ""))
	h.is("w1 |")
	must(h.ServiceMaintenance("w1", true, "", ""))
	if got := h.Check("_service_maintenance:w1").Notes; !strings.HasPrefix(got, "Maintenance mode is enabled for this service, but no reason was provided.") {
		t.Errorf("the reason is %q", got)
	}
	must(h.NodeMaintenance(true, "reboot", ""))
	if c := h.Check("_node_maintenance"); c.Name != "Node Maintenance Mode" || c.Notes != "reboot" {
		t.Errorf("node maintenance is %+v", c)
	}
	must(h.NodeMaintenance(false, "", ""))
	if err := h.ServiceMaintenance("nothing", true, "", ""); api.StatusOf(err) != 404 {
		t.Errorf("maintenance of nothing: %v", err)
	}
	must(h.DeregisterService("w1"))
	h.is("|")
}

func TestServiceIsWatched(t *testing.T) {
	h := start(t, options(nil))
	closed := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	_, absent := h.Service("web")
	h.register(web)
	first, changed := h.Service("web")
	_, same := h.Service("web")
	if !closed(absent) || closed(changed) || changed != same {
		t.Error("the channel of a service that comes is not closed, or that of one that is there is")
	}
	h.register(`{"Name": "other"}`)
	if closed(changed) {
		t.Error("another service wakes who waits for this one")
	}
	h.register(`{"Name": "web", "Port": 81}`)
	second, gone := h.Service("web")
	if !closed(changed) || first.Port != 80 || second.Port != 81 {
		t.Error("a change is not told, or was made to what had been handed out")
	}
	if err := h.DeregisterService("web"); err != nil {
		t.Fatal(err)
	}
	if s, _ := h.Service("web"); s != nil || !closed(gone) {
		t.Error("that a service goes is not told")
	}
	for _, err := range []error{h.DeregisterService("web"), h.DeregisterCheck("web")} {
		if api.StatusOf(err) != 404 || !strings.Contains(err.Error(), "Ensure that the") {
			t.Errorf("deregistering nothing: %v", err)
		}
	}
}
