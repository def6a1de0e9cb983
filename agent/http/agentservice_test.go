package http_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestAgentServices(t *testing.T) {
	a := start(t)
	a.do("GET", "/v1/agent/services").is(200, "{}")
	a.do("PUT", "/v1/agent/service/register", `{"ID": "web-1", "name": "web", "tags": ["v1"], "port": 8080, "check": {"ttl": "30s", "Status": "passing"}}`).is(200, "")
	a.do("PUT", "/v1/agent/service/register", `{"Name": "plain"}`).is(200, "")
	var all map[string]api.AgentService
	a.do("GET", "/v1/agent/services").is(200, "").json(&all)
	if w := all["web-1"]; len(all) != 2 || w.Service != "web" || w.Datacenter != "dc1" || w.ContentHash != "" {
		t.Errorf("services: %+v", all)
	}
	a.do("GET", `/v1/agent/services?filter=Service == "web"`).is(200, `{"web-1":`)
	a.do("GET", `/v1/agent/services?filter=Port == 1`).is(200, `{}`)
	a.do("GET", `/v1/agent/services?filter=Tags contains "v1"`).is(200, `{"web-1":`)

	got := a.do("GET", "/v1/agent/service/plain").is(200, `"Tags":[],"Meta":{}`)
	var plain api.AgentService
	got.json(&plain)
	if hash := got.header.Get("X-Consul-ContentHash"); hash == "" || plain.ContentHash != hash {
		t.Errorf("hash %q in the header, %q in the body", hash, plain.ContentHash)
	}
	for _, path := range []string{"service/deregister/nothing", "service/deregister/"} {
		a.do("PUT", "/v1/agent/"+path).is(404, "Unknown service ID").is(404, "Ensure that the service ID is passed, not the service name")
	}
	a.do("GET", "/v1/agent/service/nothing").is(404, "unknown service ID: nothing")
	a.do("GET", "/v1/agent/service/").is(404, "unknown service ID: ")
	a.do("PUT", "/v1/agent/service/deregister/web-1").is(200, "")
	a.do("GET", "/v1/agent/checks").is(200, "{}")
	a.do("GET", "/v1/agent/service/web-1").is(404, "unknown service ID: web-1")
}

// A bad registration is refused with the field's name, and changes nothing.
func TestAgentServiceRefusals(t *testing.T) {
	a := start(t)
	long := strings.Repeat("x", 200)
	for body, want := range map[string]string{
		`{`:                            "400 Request decode failed: unexpected EOF",
		``:                             "400 Request decode failed: ",
		`[]`:                           "400 Request decode failed: ",
		`"text"`:                       "400 Request decode failed: ",
		`{}`:                           "400 Missing service name",
		`null`:                         "400 Missing service name",
		`{"ID": "x"}`:                  "400 Missing service name",
		`{"Name": 7}`:                  "400 Name: want a string",
		`{"Name": "x", "Port": "80"}`:  "400 Port: want a number",
		`{"Name": "x", "Port": 70000}`: "400 Port 70000 is out of range",
		`{"Name": "x", "Port": -1}`:    "400 Port -1 is out of range",
		`{"Name": "x", "Prot": 80}`:    `400 "Prot"; did you mean "Port"?`,
		`{"Name": "a b"}`:              "400 service name",
		`{"Name": "` + long + `"}`:     "400 at most 128",
		`{"Name": "x", "Checks": [{"TTL": "y"}]}`: "400 Checks[0].TTL",
		`{"Name": "x", "Tags": "a"}`:              "400 Tags: want a list",
		`{"Name": "x", "Namespace": "other"}`:     `400 Namespace is "other"`,
		`{"Name": "x", "Partition": "other"}`:     `400 Partition is "other"`,
		`{"Name": "secret"}`:                      "403 Permission denied",
	} {
		a.do("PUT", "/v1/agent/service/register", body).want(want)
	}
	a.do("PUT", "/v1/agent/service/register?replace-existing-checks=maybe", `{"Name": "x"}`).is(400, "replace-existing-checks")
	a.do("PUT", "/v1/agent/service/register?ns=other", `{"Name": "x"}`).is(400, `"ns"`)
	a.do("POST", "/v1/agent/service/register", `{"Name": "x"}`).is(405, "method POST not allowed").has("Allow", "OPTIONS,PUT")
	a.do("GET", "/v1/agent/services").is(200, "{}")
	for _, path := range []string{"services", "checks", "service/x", "health/service/name/x", "connect/ca/leaf/x", "connect/proxy/x", "members"} {
		a.do("GET", "/v1/agent/"+path+"?ns=other").is(400, `"ns" is "other"`)
	}
}

func TestAgentServiceTokens(t *testing.T) {
	a := start(t)
	root := "X-Consul-Token: root"
	a.do("PUT", "/v1/agent/service/register", `{"ID": "s", "Name": "secret", "Token": "own", "Check": {"CheckID": "c", "TTL": "1m"}}`, root).is(200, "")
	if a.local.token != "own" {
		t.Errorf("the token is %q, not the definition's", a.local.token)
	}
	a.do("GET", "/v1/agent/services").is(200, "{}")
	a.do("GET", "/v1/agent/checks").is(200, "{}")
	for _, c := range []struct{ method, path, body string }{
		{"GET", "service/s", ""}, {"PUT", "service/deregister/s", ""}, {"PUT", "service/maintenance/s?enable=true", ""},
		{"PUT", "service/register", `{"ID": "s", "Name": "web"}`}, // would take its place
		{"PUT", "check/pass/c", ""}, {"PUT", "check/update/c", `{"Status": "passing"}`}, {"PUT", "check/deregister/c", ""},
		{"PUT", "check/register", `{"ID": "d", "Name": "d", "TTL": "1m", "ServiceID": "s"}`},
		{"PUT", "check/register", `{"ID": "c", "Name": "c", "TTL": "1m"}`}, // would take its place
		{"GET", "health/service/id/s", ""}, {"GET", "health/service/name/secret", ""},
	} {
		a.do(c.method, "/v1/agent/"+c.path, c.body).is(403, "Permission denied")
	}
	a.do("GET", "/v1/agent/service/s", "", root).is(200, "secret")
	a.do("PUT", "/v1/agent/service/register", `{"Name": "web"}`, root).is(200, "")
	if a.local.token != "root" {
		t.Errorf("the token is %q, not the request's", a.local.token)
	}
}

func TestAgentServiceBlocksByHash(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/agent/service/register", `{"ID": "own", "Name": "own", "Port": 1}`).is(200, "")
	hash := a.do("GET", "/v1/agent/service/own").header.Get("X-Consul-ContentHash")
	path := "/v1/agent/service/own?hash=" + hash

	began := time.Now()
	a.do("GET", path+"&wait=50ms").is(200, `"Port":1`).has("X-Consul-ContentHash", hash)
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("waited only %v", took)
	}
	woken := a.later(path + "&wait=10s")
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("PUT", "/v1/agent/service/register", `{"Name": "another"}`).is(200, "") // wakes nobody for good
	a.do("PUT", "/v1/agent/service/register", `{"ID": "own", "Name": "own", "Port": 2}`).is(200, "")
	got := (<-woken).is(200, `"Port":2`)
	if got.header.Get("X-Consul-ContentHash") == hash {
		t.Error("the hash is the old one")
	}

	hash = got.header.Get("X-Consul-ContentHash")
	gone := a.later("/v1/agent/service/own?wait=10s&hash=" + hash)
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("PUT", "/v1/agent/service/deregister/own").is(200, "")
	(<-gone).is(404, "unknown service ID: own")

	a.do("GET", "/v1/agent/service/another?hash=old").is(200, "another") // another hash does not wait
	a.do("GET", "/v1/agent/service/another?hash=x&wait=soon").is(400, "Invalid wait time")
	hash = a.do("GET", "/v1/agent/service/another").header.Get("X-Consul-ContentHash")
	closed := a.later("/v1/agent/service/another?hash=" + hash)
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	closeAPI(t, a)
	(<-closed).is(503, "shutting down")
}

func TestAgentHealth(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/agent/service/register", `{"ID": "w1", "Name": "web", "Tags": ["a"], "Check": {"CheckID": "c1", "TTL": "60s", "Status": "passing"}}`).is(200, "")
	a.do("PUT", "/v1/agent/service/register", `{"ID": "w2", "Name": "web", "Check": {"CheckID": "c2", "TTL": "60s", "Status": "passing"}}`).is(200, "")
	health := func(status int, reason, path string) answer {
		t.Helper()
		return a.do("GET", "/v1/agent/health/service/"+path).is(status, "").has("X-Consul-Reason", reason)
	}
	var got map[string]any
	health(200, "passing", "id/w1").json(&got)
	want := `{"AggregatedStatus":"passing","Checks":[{"CheckID":"c1","CreateIndex":0,"Definition":{"Body":"",` +
		`"DeregisterCriticalServiceAfter":"0s","GRPC":"","GRPCUseTLS":false,"HTTP":"","Header":null,"Interval":"0s","Method":"",` +
		`"OSService":"","TCP":"","TCPUseTLS":false,"TLSServerName":"","TLSSkipVerify":false,"Timeout":"0s","UDP":""},"ExposedPort":0,` +
		`"ModifyIndex":0,"Name":"Service 'web' check","Node":"node-1","Notes":"","Output":"","ServiceID":"w1","ServiceName":"web",` +
		`"ServiceTags":["a"],"Status":"passing","Type":""}],"Service":{"Address":"","Datacenter":"dc1","EnableTagOverride":false,` +
		`"ID":"w1","Meta":{},"Port":0,"Service":"web","Tags":["a"],"Weights":{"Passing":1,"Warning":1}}}`
	if have, err := json.Marshal(got); err != nil || string(have) != want {
		t.Errorf("got %s", have)
	}
	health(200, "passing", "name/web?format=text").is(200, "passing").has("Content-Type", "text/plain")
	a.do("PUT", "/v1/agent/check/warn/c2?note=careful").is(200, "")
	health(200, "passing", "id/w1")
	health(429, "warning", "id/w2").is(429, `"Output":"careful"`)
	health(429, "warning", "name/web")
	a.do("PUT", "/v1/agent/check/fail/c2").is(200, "")
	health(503, "critical", "name/web")
	a.do("GET", "/v1/agent/health/service/name/web", "", "Accept: text/plain").is(503, "critical").has("Content-Type", "text/plain")
	a.do("PUT", "/v1/agent/check/register", `{"ID": "n", "Name": "of the node", "TTL": "60s", "Status": "warning"}`).is(200, "")
	health(429, "warning", "id/w1")
	health(404, "ServiceName nothing Not Found", "name/nothing").is(404, "[]")
	health(404, "ServiceName nothing Not Found", "name/nothing?format=text").is(404, "ServiceName nothing Not Found")
	health(404, "ServiceId nothing not found", "id/nothing").is(404, `{"AggregatedStatus":"critical","Service":null,"Checks":null}`)
	a.do("GET", "/v1/agent/health/service/id/").is(500, "Missing serviceID")
	a.do("GET", "/v1/agent/health/service/name/").is(500, "Missing service Name")
	a.do("PUT", "/v1/agent/health/service/name/web").is(405, "method PUT not allowed")
}
