package http_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

func TestPathsAndMethods(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) {
		o.UI = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the ui") })
		o.Headers = map[string]string{"Access-Control-Allow-Origin": "*"}
	})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
		headers      map[string]string
	}{
		{"GET", "/", 301, "", map[string]string{"Location": "/ui/"}},
		{"GET", "/ui", 307, "", map[string]string{"Location": "/ui/"}},
		{"GET", "/ui/services", 200, "the ui", nil},
		{"GET", "/v1", 404, "ensure the path starts with '/v1/'\n", map[string]string{"Content-Type": "text/plain; charset=utf-8", "Vary": "", "X-Content-Type-Options": ""}},
		{"GET", "/v2/x", 404, "ensure the path starts", nil},
		{"GET", "/v1/", 404, "not a recognized HTTP API endpoint\n", nil},
		{"GET", "/v1/nothing/at/all", 404, "not a recognized", nil},
		{"GET", "/v1/peerings", 404, "/v1/peerings is not in this release yet", nil},
		{"POST", "/v1/peering/token?x", 404, "/v1/peering is not in this release yet", nil},
		{"GET", "/v1/peeringz", 404, "not a recognized", nil},
		{"GET", "/v1/status/leader/", 404, "not a recognized", nil},
		{"GET", "/v1/status/leaderx", 404, "not a recognized", nil},
		{"GET", "//v1/status/leader", 307, `<a href="/v1/status/leader">Temporary Redirect</a>`, map[string]string{"Location": "/v1/status/leader"}},
		{"GET", "/v1/../v1/status/leader?x=1", 307, "", map[string]string{"Location": "/v1/status/leader?x=1"}},
		{"GET", "/v1/catalog/service?x=1", 307, "", map[string]string{"Location": "/v1/catalog/service/?x=1"}},
		{"PUT", "/v1/catalog/service", 307, "", nil},
		{"OPTIONS", "/v1/catalog/nodes", 200, "", map[string]string{"Allow": "OPTIONS,GET", "Content-Type": "application/json", "Vary": "Accept-Encoding"}},
		{"OPTIONS", "/v1/catalog/register", 200, "", map[string]string{"Allow": "OPTIONS,PUT"}},
		{"DELETE", "/v1/status/peers", 405, "method DELETE not allowed", map[string]string{"Allow": "OPTIONS,GET", "X-Consul-Default-Acl-Policy": "allow"}},
		{"BOGUS", "/v1/status/peers", 405, "method BOGUS not allowed", nil},
		{"HEAD", "/v1/status/leader", 405, "", map[string]string{"Allow": "OPTIONS,GET"}},
		{"GET", "/v1/status/leader", 200, `"127.0.0.1:8300"`, map[string]string{"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}},
		{"GET", "/v1/status/leader?dc=dc9", 500, "No path to datacenter", nil},
		{"GET", "/v1/status/peers?pretty", 200, "[\n    \"127.0.0.1:8300\"\n]\n", nil},
		{"GET", "/v1/catalog/datacenters", 200, `["dc1","dc2"]`, nil},
		{"GET", "/v1/catalog/node/%zz", 400, "", nil},
		{"GET", "/v1/catalog/nodes?a=%zz", 400, "Invalid query string", nil},
		{"GET", "/debug/pprof/", 404, "", nil},
	} {
		if strings.Contains(c.path, "%zz") { // the client would not send it
			if got := raw(t, a, c.method+" "+c.path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d", c.status)) {
				t.Errorf("%s: got %.80q", c.path, got)
			}
			continue
		}
		got := a.do(c.method, c.path).is(c.status, c.body)
		for name, value := range c.headers {
			got.has(name, value)
		}
	}
}

// raw sends bytes and returns all that comes back.
func raw(t *testing.T, a *agent, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestQueryOptions(t *testing.T) {
	a := start(t)
	for query, want := range map[string]string{
		"index=abc":            "400 Invalid index",
		"index=-1":             "400 Invalid index",
		"wait=abc":             "400 Invalid wait time",
		"wait=-1s":             "400 Invalid wait time",
		"max_stale=x":          `400 Invalid max_stale value "x"`,
		"stale&consistent":     "400 Cannot specify ?stale with ?consistent, conflicting semantics.",
		"consistent&cached":    "400 Cannot specify ?cached with ?consistent, conflicting semantics.",
		"stale&leader":         "400 Cannot specify ?leader",
		"dc=dc9":               "500 No path to datacenter",
		"ns=other":             `400 Invalid query parameter: "ns"`,
		"partition=other":      `400 Invalid query parameter: "partition"`,
		"filter=bad(":          "500 Failed to create boolean expression evaluator",
		"filter=Nothing == 1":  `500 Failed to create boolean expression evaluator: selector "Nothing" is not valid`,
		"token=bogus":          "403 ACL not found",
		"dc=":                  "200 ",
		"dc=dc1&dc=dc9":        "200 ",
		"ns=default":           "200 ",
		"unknown=1":            "200 ",
		"stale&max_stale=5s":   "200 ",
		"wait=11m":             "200 ",
		"index=0&wait=10s":     "200 ",
		"leader":               "200 ",
		"near=":                "200 ",
		"filter=":              "200 ",
		"cached":               "200 ",
		"merge-central-config": "200 ",
	} {
		status, text, _ := strings.Cut(want, " ")
		got := a.do("GET", "/v1/catalog/nodes?"+query)
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) {
			t.Errorf("%s: got %d %q, want %s", query, got.status, got.body, want)
		}
	}
	a.do("GET", "/v1/catalog/nodes", "", "Cache-Control: max-age=x").is(400, "Invalid Cache-Control header")
	a.do("GET", "/v1/catalog/nodes", "", "Cache-Control: max-age=5, must-revalidate").is(200, "")
	for query, mode := range map[string]string{"": "leader", "stale": "stale", "consistent": "consistent", "max_stale=1s": "stale"} {
		a.do("GET", "/v1/catalog/nodes?"+query).is(200, "").has("X-Consul-Effective-Consistency", mode).
			has("X-Consul-KnownLeader", "true").has("X-Consul-LastContact", "0").index()
	}
}

func TestTokens(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/catalog/register", `{"Node": "secret-1", "Address": "10.0.0.1"}`).is(403, "Permission denied")
	a.do("PUT", "/v1/catalog/register", `{"Node": "secret-1", "Address": "10.0.0.1"}`, "X-Consul-Token: root").is(200, "true")
	a.do("GET", "/v1/catalog/nodes").is(200, "[]").has("X-Consul-Results-Filtered-By-ACLs", "true")
	for _, rest := range [][]string{{"", "Authorization: Bearer root"}, {"", "authorization: bearer  root"}, {"", "X-Consul-Token: root"}} {
		a.do("GET", "/v1/catalog/nodes", rest...).is(200, "secret-1").has("X-Consul-Results-Filtered-By-ACLs", "")
	}
	a.do("GET", "/v1/catalog/nodes?token=root").is(200, "secret-1")
}

func TestGzip(t *testing.T) {
	a := start(t)
	for i := range 20 {
		a.do("PUT", "/v1/catalog/register", fmt.Sprintf(`{"Node": "n%d", "Address": "10.0.0.1"}`, i)).is(200, "true")
	}
	plain := a.do("GET", "/v1/catalog/nodes").is(200, "n19").has("Content-Encoding", "").has("Vary", "Accept-Encoding")
	small := a.do("GET", "/v1/status/peers", "", "Accept-Encoding: gzip").is(200, "[").has("Content-Encoding", "")
	small.has("Vary", "Accept-Encoding")
	a.do("GET", "/v1/catalog/nodes", "", "Accept-Encoding: br, gzip;q=0").has("Content-Encoding", "").is(200, "n19")
	packed := a.do("GET", "/v1/catalog/nodes", "", "Accept-Encoding: br, gzip;q=0.5").has("Content-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil || string(data) != plain.body {
		t.Errorf("unpacked to %.100q, %v", data, err)
	}
}

func TestBodies(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxBody = 1000 })
	for body, want := range map[string]string{
		`{"Node": "x"`: "400 Request decode failed: unexpected EOF",
		``:             "400 Request decode failed: EOF",
		`[]`:           "400 Request decode failed: json: cannot unmarshal array",
		`{}`:           "500 Must provide node",
		`null`:         "500 Must provide node",
		`{"Node": "x", "Address": "a", "Unknown": 1}`:                                `400 Request decode failed: json: unknown field "Unknown"`,
		`{"Node": "x", "Address": "a", "Service": {"Service": "s", "Port": "80"}}`:   "Service.Port of type int",
		`{"Node": "x", "Address": "a", "Service": {"Service": "s", "Port": 70000}}`:  "400 Service.Port 70000",
		`{"Node": "x", "Address": "a", "Datacenter": "dc9"}`:                         "500 No path to datacenter",
		`{"Node": "x", "Address": "a", "Check": {"CheckID": "c", "ServiceID": "n"}}`: "500 Unknown service ID 'n' for check ID 'c'",
		`{"node": "x", "address": "a", "service": {"service": "low"}}`:               "200 true",
		`{"Node":"a","Node":"c","Address":"b"} trailing`:                             "200 true",
		`{"Node": "` + strings.Repeat("x", 1000) + `"}`:                              "413 too large, max size: 1000 bytes",
	} {
		status, text, found := strings.Cut(want, " ")
		if !found || len(status) != 3 {
			status, text = "400", want
		}
		got := a.do("PUT", "/v1/catalog/register", body)
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) {
			t.Errorf("%.60s: got %d %q, want %s", body, got.status, got.body, want)
		}
	}
	// What is nested deeper than anybody writes is refused wherever it comes in; brackets within a text do not count.
	deep := strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101)
	flat := strings.Repeat("[", 200) + `\"{`
	for path, body := range map[string]string{
		"/v1/catalog/register":       `{"Node":"n","Address":"a","Service":{"Service":"s","Proxy":{"Config":%s}}}`,
		"/v1/agent/service/register": `{"Name":"s","Connect":{"SidecarService":{"Proxy":{"Config":%s}}}}`,
		"/v1/config":                 `{"Kind":"proxy-defaults","Name":"global","Config":%s}`,
	} {
		if got := a.do("PUT", path, fmt.Sprintf(body, deep)); got.status != 400 || !strings.Contains(got.body, "nested more than 100 levels deep") {
			t.Errorf("%s, nested deeply: got %d %q", path, got.status, got.body)
		}
		if got := a.do("PUT", path, fmt.Sprintf(body, `{"a":"`+flat+`"}`)); strings.Contains(got.body, "nested") {
			t.Errorf("%s, not nested: got %d %q", path, got.status, got.body)
		}
	}
	a.do("PUT", "/v1/catalog/deregister", `{"Node":"n"}`)
	// A body of unknown length is counted as it comes.
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 900, strings.Repeat(" ", 900))
	got := raw(t, a, "PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk+chunk+"0\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 413") {
		t.Errorf("a large chunked body: got %.100q", got)
	}
	a.do("GET", "/v1/catalog/services").is(200, `{"low":[]}`)
}

func TestWritesOnlyFrom(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) {
		o.AllowWriteFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		o.BlockEndpoints = []string{"/v1/catalog/node"}
	})
	a.do("PUT", "/v1/catalog/register", `{"Node": "x", "Address": "a"}`).is(403, "Access is restricted")
	a.do("GET", "/v1/catalog/services").is(200, "")
	a.do("GET", "/v1/catalog/nodes").is(403, "blocked by agent configuration")
	b := start(t, func(o *agenthttp.Options) { o.AllowWriteFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	b.do("PUT", "/v1/catalog/register", `{"Node": "x", "Address": "a"}`).is(200, "true")
}

func TestConnectionsOfOneClient(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxConnsPerClient = 2 })
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	ask := func(conn net.Conn) *http.Response {
		if _, err := io.WriteString(conn, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	first, second := dial(), dial()
	if a, b := ask(first), ask(second); a.StatusCode != 200 || b.StatusCode != 200 {
		t.Fatal(a.Status, b.Status)
	}
	third := dial()
	if resp := ask(third); resp.StatusCode != 429 || !resp.Close {
		t.Errorf("the third connection: %s", resp.Status)
	}
	a.api.SetMaxConnsPerClient(4) // first, second, third, fourth
	if resp := ask(dial()); resp.StatusCode != 200 {
		t.Errorf("a connection after the bound was raised: %s", resp.Status)
	}
	a.api.SetMaxConnsPerClient(3)
	first.Close()
	third.Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		conn := dial()
		status := ask(conn).StatusCode
		conn.Close()
		if status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
	}
}

// broken is a client that panics.
type broken struct{}

func (broken) Apply(context.Context, verb.Options, verb.Command) (verb.Result, error) {
	panic("on purpose")
}

func (broken) Query(context.Context, verb.Options, verb.Query) (verb.Answer, error) {
	return verb.Answer{}, fmt.Errorf("asked the leader: %w", &api.Error{Status: 429, Message: "too much"})
}

func (broken) Watch(context.Context, verb.Options, verb.Query) (verb.Reader, error) {
	return nil, errors.New("nothing is watched")
}

func TestFaults(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.Client = broken{} })
	a.do("PUT", "/v1/catalog/register", `{"Node": "x"}`).is(500, "internal fault").has("Content-Type", "text/plain; charset=utf-8")
	a.do("GET", "/v1/catalog/nodes").is(429, "asked the leader: too much").has("X-Consul-Index", "1").has("X-Consul-KnownLeader", "false")
}
