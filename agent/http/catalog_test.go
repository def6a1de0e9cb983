package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

// fleet registers three nodes with instances of web and db.
func fleet(a *agent) {
	a.t.Helper()
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "NodeMeta": {"rack": "r1", "env": "prod"},
		"Service": {"ID": "web-1", "Service": "web", "Tags": ["v1", "primary"], "Port": 8080, "Meta": {"rel": "a"}},
		"Check": {"Node": "n1", "CheckID": "service:web-1", "Name": "web alive", "Status": "passing", "ServiceID": "web-1"}}`)
	a.register(`{"Node": "n2", "Address": "10.0.0.2", "NodeMeta": {"rack": "r2", "env": "prod"},
		"Service": {"ID": "web-2", "Service": "web", "Tags": ["v2"], "Port": 8081},
		"Checks": [{"Node": "n2", "CheckID": "service:web-2", "Status": "critical", "ServiceID": "web-2"}, {"Node": "n2", "CheckID": "mem", "Status": "warning"}]}`)
	a.register(`{"Node": "n3", "Address": "10.0.0.3", "NodeMeta": {"rack": "r1", "env": "dev"}, "Service": {"Service": "db", "Port": 5432}}`)
	a.register(`{"Node": "n3", "Address": "10.0.0.3", "SkipNodeUpdate": true,
		"Service": {"Kind": "connect-proxy", "Service": "web-sidecar-proxy", "Port": 21000, "Proxy": {"DestinationServiceName": "web"}}}`)
}

// names lists a field of all elements of the answer, in order.
func names(got answer, field string) string {
	got.t.Helper()
	var list []map[string]any
	got.is(200, "").json(&list)
	var out []string
	for _, e := range list {
		at := e
		parts := strings.Split(field, ".")
		for _, p := range parts[:len(parts)-1] {
			at, _ = at[p].(map[string]any)
		}
		out = append(out, fmt.Sprint(at[parts[len(parts)-1]]))
	}
	return strings.Join(out, " ")
}

func TestCatalogLists(t *testing.T) {
	a := start(t)
	fleet(a)
	for _, c := range []struct{ path, field, want string }{
		{"/v1/catalog/nodes", "Node", "n1 n2 n3"},
		{"/v1/catalog/nodes?node-meta=rack:r1", "Node", "n1 n3"},
		{"/v1/catalog/nodes?node-meta=rack:r1&node-meta=env:prod", "Node", "n1"},
		{`/v1/catalog/nodes?filter=Meta.rack == "r2"`, "Node", "n2"},
		{"/v1/catalog/nodes?near=n3", "Node", "n3 n1 n2"},
		{"/v1/catalog/service/web", "ServiceID", "web-1 web-2"},
		{"/v1/catalog/service/WEB", "ServiceID", "web-1 web-2"},
		{"/v1/catalog/service/web?tag=V1", "ServiceID", "web-1"},
		{"/v1/catalog/service/web?tag=v1&tag=primary", "ServiceID", "web-1"},
		{"/v1/catalog/service/web?tag=v1&tag=v2", "ServiceID", ""},
		{"/v1/catalog/service/web?tag=", "ServiceID", "web-1 web-2"},
		{"/v1/catalog/service/web?near=n2", "ServiceID", "web-2 web-1"},
		{"/v1/catalog/service/web?node-meta=env:prod&node-meta=rack:r2", "ServiceID", "web-2"},
		{"/v1/catalog/service/web?filter=ServicePort == 8080", "ServiceID", "web-1"},
		{"/v1/catalog/service/nothing", "ServiceID", ""},
		{"/v1/catalog/connect/web", "ServiceID", "web-sidecar-proxy"},
		{"/v1/health/service/web", "Service.ID", "web-1 web-2"},
		{"/v1/health/service/web?passing", "Service.ID", "web-1"},
		{"/v1/health/service/web?passing=1&near=n2", "Service.ID", "web-1"},
		{"/v1/health/service/web?passing=false", "Service.ID", "web-1 web-2"},
		{"/v1/health/service/web?tag=v2", "Service.ID", "web-2"},
		{"/v1/health/service/web?node-meta=rack:r2", "Service.ID", "web-2"},
		{"/v1/health/service/web?filter=Checks.Status == critical", "Service.ID", "web-2"},
		{"/v1/health/connect/web", "Service.ID", "web-sidecar-proxy"},
		{"/v1/health/checks/web", "CheckID", "service:web-1 service:web-2"},
		{"/v1/health/checks/web?node-meta=rack:r2", "CheckID", "service:web-2"},
		{`/v1/health/checks/web?filter=Status == "passing"`, "CheckID", "service:web-1"},
		{"/v1/health/node/N2", "CheckID", "mem service:web-2"},
		{`/v1/health/node/n2?filter=ServiceName == ""`, "CheckID", "mem"},
		{"/v1/health/node/nothing", "CheckID", ""},
		{"/v1/health/state/any", "CheckID", "service:web-1 mem service:web-2"},
		{"/v1/health/state/critical", "CheckID", "service:web-2"},
		{"/v1/health/state/any?near=n2", "CheckID", "mem service:web-2 service:web-1"},
		{"/v1/health/state/any?node-meta=rack:r1", "CheckID", "service:web-1"},
		{"/v1/health/state/weird", "CheckID", ""},
	} {
		if got := names(a.do("GET", c.path).has("X-Consul-Effective-Consistency", "leader"), c.field); got != c.want {
			t.Errorf("%s: got %q, want %q", c.path, got, c.want)
		}
	}
}

func TestCatalogObjects(t *testing.T) {
	a := start(t)
	fleet(a)
	for path, want := range map[string]string{
		"/v1/catalog/services":                                   `{"db":[],"web":["primary","v1","v2"],"web-sidecar-proxy":[]}`,
		"/v1/catalog/services?node-meta=env:prod":                `{"web":["primary","v1","v2"]}`,
		"/v1/catalog/services?node-meta=rack:none":               `{}`,
		`/v1/catalog/services?filter=ServiceName == "db"`:        `{"db":[]}`,
		"/v1/catalog/services?pretty&node-meta=rack:none":        "{}\n",
		"/v1/catalog/node/nothing":                               `null`,
		"/v1/catalog/node-services/nothing":                      `{"Node":null,"Services":null}`,
		"/v1/catalog/node/n1?filter=Port == 1":                   `"Services":{}}`,
		"/v1/catalog/node-services/n1?filter=Port == 1":          `"Services":[]}`,
		"/v1/catalog/node/n3?pretty":                             "\n        \"Node\": \"n3\",",
		`/v1/catalog/node-services/n3?filter=Service matches db`: `"Services":[{"ID":"db"`,
	} {
		a.do("GET", path).is(200, want).index()
	}
	var node api.NodeServices
	a.do("GET", "/v1/catalog/node/n3").is(200, "").json(&node)
	if len(node.Services) != 2 || node.Services["db"].Port != 5432 || node.Node.Node != "n3" {
		t.Errorf("got %+v", node)
	}
	if got := a.do("GET", "/v1/catalog/node/nothing").index(); got < 2 {
		t.Errorf("index of what never was: %d, from which nobody can wait", got)
	}
}

func TestCatalogRefusals(t *testing.T) {
	a := start(t)
	for path, want := range map[string]string{
		"/v1/catalog/service/":                   "400 Missing service name",
		"/v1/catalog/connect/":                   "400 Missing service name",
		"/v1/catalog/node/":                      "400 Missing node name",
		"/v1/catalog/node-services/":             "400 Missing node name",
		"/v1/health/node/":                       "400 Missing node name",
		"/v1/health/checks/":                     "400 Missing service name",
		"/v1/health/service/":                    "400 Missing service name",
		"/v1/health/state/":                      "400 Missing check state",
		"/v1/health/nothing":                     "404 not a recognized",
		"/v1/health/service/web?passing=maybe":   "400 Invalid value for ?passing",
		"/v1/health/service/web?dc=dc9":          "500 No path to datacenter",
		"/v1/health/node/n1?filter=Bad":          "500 Failed to create boolean expression evaluator",
		"/v1/catalog/services?filter=Bad == 1":   "500 Failed to create boolean expression evaluator",
		"/v1/catalog/node/n1?filter=Bad == 1":    "500 Failed to create boolean expression evaluator",
		"/v1/health/state/any?node-meta=a&index": "200 []",
	} {
		status, text, _ := strings.Cut(want, " ")
		got := a.do("GET", path)
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) {
			t.Errorf("%s: got %d %q, want %s", path, got.status, got.body, want)
		}
	}
}

func TestDeregister(t *testing.T) {
	a := start(t)
	fleet(a)
	for _, c := range []struct{ body, want string }{
		{`{"Node": "n2", "CheckID": "mem"}`, "200 true"},
		{`{"Node": "n1", "ServiceID": "web-1"}`, "200 true"},
		{`{"Node": "n3"}`, "200 true"},
		{`{"Node": "nothing"}`, "200 true"},
		{`{}`, "500 Must provide node"},
		{`{"Node": "n1", "Datacenter": "dc9"}`, "500 No path to datacenter"},
		{`{"Node": 1}`, "400 Request decode failed"},
	} {
		status, text, _ := strings.Cut(c.want, " ")
		got := a.do("PUT", "/v1/catalog/deregister", c.body)
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) {
			t.Errorf("%s: got %d %q, want %s", c.body, got.status, got.body, c.want)
		}
	}
	a.do("GET", "/v1/catalog/services").is(200, `{"web":["v2"]}`)
	if got := names(a.do("GET", "/v1/health/state/any"), "CheckID"); got != "service:web-2" {
		t.Error(got)
	}
}

// A node is shown in the datacenter in which it was registered, whoever named it.
func TestRegisterNamesDatacenter(t *testing.T) {
	a := start(t)
	a.register(`{"Node": "n1", "Address": "10.0.0.1"}`)
	a.do("PUT", "/v1/catalog/register?dc=dc1", `{"Node": "n2", "Address": "10.0.0.2"}`).is(200, "true")
	a.register(`{"Node": "n3", "Address": "10.0.0.3", "Datacenter": "dc1"}`)
	if got := names(a.do("GET", "/v1/catalog/nodes"), "Datacenter"); got != "dc1 dc1 dc1" {
		t.Errorf("datacenters: %s", got)
	}
	a.do("PUT", "/v1/catalog/register", `{"Node": "n4", "Address": "10.0.0.4", "Datacenter": "dc9"}`).is(500, "No path to datacenter")
	a.do("GET", "/v1/health/service/web?dc=dc9").is(500, "No path to datacenter").has("X-Consul-Index", "")
}
