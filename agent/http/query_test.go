package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

func TestPreparedQueries(t *testing.T) {
	a := start(t)
	for i, status := range []string{"passing", "passing", "warning", "critical"} {
		a.do("PUT", "/v1/catalog/register", fmt.Sprintf(`{"Node": "n%d", "Address": "192.0.2.%[1]d", "Service": {"ID": "web", "Service": "web", "Port": 80},
			"Check": {"CheckID": "c", "ServiceID": "web", "Status": %q}}`, i, status)).is(200, "true")
	}
	a.do("PUT", "/v1/catalog/register?token=root", `{"Node": "secret-node", "Address": "192.0.2.9", "Service": {"ID": "web", "Service": "web", "Port": 80}}`).is(200, "true")

	if got := a.do("GET", "/v1/query").is(200, "[]"); got.index() == 0 {
		t.Error("the empty list has no index")
	}
	var made struct{ ID string }
	a.do("POST", "/v1/query", `{"Name": "q", "Service": {"Service": "web"}, "DNS": {"TTL": "10s"}}`).is(200, `"ID"`).json(&made)
	a.do("GET", "/v1/query/"+made.ID).is(200, `"Name":"q"`).has("X-Consul-Effective-Consistency", "leader")
	a.do("GET", "/v1/query").is(200, made.ID)
	a.do("GET", "/v1/query?filter="+"Name==x").is(200, "[]")

	type result struct {
		api.QueryResult
		Index       uint64
		KnownLeader bool
	}
	execute := func(path string, want int) result {
		t.Helper()
		var r result
		got := a.do("GET", "/v1/query/"+path).is(200, `"Failovers":0`)
		got.json(&r)
		if len(r.Nodes) != want || r.Service != "web" || r.Datacenter != "dc1" || r.Index != 1 || got.index() != 1 || !r.KnownLeader {
			t.Errorf("%s: %s", path, got.body)
		}
		return r
	}
	execute("q/execute", 3)
	if r := execute(made.ID+"/execute?limit=2", 2); r.DNS.TTL != "10s" {
		t.Errorf("%+v", r)
	}
	execute("q/execute?token=root", 4)
	execute("q/execute?connect=true", 0)
	for range 20 {
		if r := execute("q/execute?near=n2&limit=1", 1); r.Nodes[0].Node.Node != "n2" {
			t.Fatalf("%+v", r)
		}
	}
	first := map[string]bool{}
	for range 100 {
		first[execute("q/execute?limit=1", 1).Nodes[0].Node.Node] = true
	}
	if len(first) != 3 {
		t.Errorf("the first of equals is always one of %v", first)
	}

	a.do("POST", "/v1/query", `{"Name": "secret/", "Template": {"Type": "name_prefix_match"}, "Service": {"Service": "${name.suffix}"}}`).is(403, "query:write")
	a.do("POST", "/v1/query?token=root", `{"Name": "secret/", "Template": {"Type": "name_prefix_match"}, "Service": {"Service": "${name.suffix}"}}`).is(200, "ID")
	a.do("GET", "/v1/query/secret%2Fweb/explain?token=root").is(200, `"Service":"web"`)
	a.do("GET", "/v1/query/secret%2Fweb/explain").is(404, "Query not found")
	execute("secret%2Fweb/execute", 3) // who may not see how it is made may use it all the same
	if got := a.do("GET", "/v1/query").is(200, ""); strings.Contains(got.body, "secret") {
		t.Error(got.body)
	}

	a.do("PUT", "/v1/query/"+made.ID, `{"Name": "q2", "Service": {"Service": "web", "OnlyPassing": true}}`).is(200, "")
	execute("q2/execute", 2)
	a.do("GET", "/v1/query/q/execute").is(404, "Query not found").has("X-Consul-KnownLeader", "false")
	a.do("DELETE", "/v1/query/"+made.ID).is(200, "")
	a.do("DELETE", "/v1/query/"+made.ID).is(500, "Cannot modify non-existent prepared query")
	a.do("GET", "/v1/query/"+made.ID).is(404, "Query not found")

	a.do("GET", "/v1/query/not-an-id").is(500, "UUID must be 36 characters")
	a.do("POST", "/v1/query", `{"Name": "q", "Srvice": {}}`).is(400, "Srvice")
	a.do("GET", "/v1/query/q/execute?limit=x").is(400, "limit")
	a.do("GET", "/v1/query/q/execute?connect=x").is(400, "connect")
	a.do("PUT", "/v1/query").is(405, "").has("Allow", "OPTIONS,GET,POST")
	a.do("POST", "/v1/query/q").is(405, "").has("Allow", "OPTIONS,GET,PUT,DELETE")
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		a.do(method, "/v1/query/q/execute").is(405, "").has("Allow", "GET")
	}
}
