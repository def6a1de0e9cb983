package http_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
)

// alive registers the agent's own node, in good health.
func alive(a *agent) {
	a.t.Helper()
	a.do("PUT", "/v1/catalog/register", `{"Node": "node-1", "Address": "127.0.0.1", "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "c", "Status": "warning"}]}`).is(200, "true")
}

// newSession makes a session and returns its id.
func newSession(a *agent, body string) string {
	a.t.Helper()
	var made struct{ ID string }
	a.do("PUT", "/v1/session/create", body).is(200, `{"ID":"`).json(&made)
	return made.ID
}

func TestSessionBodies(t *testing.T) {
	a := start(t)
	alive(a)
	for body, want := range map[string]string{
		``:                                `"LockDelay":15000000000,"Behavior":"release","TTL":"","NodeChecks":["serfHealth"],"ServiceChecks":null`,
		`null`:                            `"LockDelay":15000000000,"Behavior":"release","TTL":"","NodeChecks":["serfHealth"],"ServiceChecks":null`,
		`{"LockDelay": "3s"}`:             `"LockDelay":3000000000,`,
		`{"LockDelay": 0}`:                `"LockDelay":0,`,
		`{"LockDelay": 5}`:                `"LockDelay":5000000000,`,
		`{"LockDelay": 3000000000}`:       `"LockDelay":3000000000,`,
		`{"lockdelay": "1500ms"}`:         `"LockDelay":1500000000,`,
		`{"Checks": []}`:                  `"NodeChecks":[],`,
		`{"NodeChecks": []}`:              `"NodeChecks":[],`,
		`{"NodeChecks": ["c"]}`:           `"NodeChecks":["c"],`,
		`{"Checks": ["c", "c"]}`:          `"NodeChecks":["c"],`,
		`{"ServiceChecks": [{"ID":"c"}]}`: `"NodeChecks":["serfHealth"],"ServiceChecks":[{"ID":"c"}]`,
		`{"Name": "n", "TTL": "10s", "Behavior": "delete", "Node": "NODE-1", "Unknown": 1}`: `"Name":"n","Node":"node-1","LockDelay":15000000000,"Behavior":"delete","TTL":"10s"`,
	} {
		id := newSession(a, body)
		a.do("GET", "/v1/session/info/"+id).is(200, want)
		a.do("PUT", "/v1/session/renew/"+id).is(200, want)
	}
	for body, want := range map[string]string{
		`{`:                        "400 Request decode failed",
		`[]`:                       "400 Request decode failed",
		`{"TTL": 10}`:              "400 Request decode failed",
		`{"LockDelay": "x"}`:       "400 Request decode failed",
		`{"LockDelay": true}`:      "400 Request decode failed",
		`{"TTL": "9s"}`:            "500 Invalid Session TTL '9000000000', must be between [10s=24h0m0s]",
		`{"Checks": ["none"]}`:     "500 Missing check 'none' registration",
		`{"Node": "none"}`:         "500 Missing node registration",
		`{"Behavior": "whatever"}`: "500 Invalid Behavior setting 'whatever'",
	} {
		a.do("PUT", "/v1/session/create", body).want(want)
	}
}

func TestShortestSession(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MinSessionTTL = time.Second })
	alive(a)
	newSession(a, `{"TTL": "1s"}`)
	a.do("PUT", "/v1/session/create", `{"TTL": "900ms"}`).is(500, "[1s=24h0m0s]")
}

// TestSessionWatch waits for a session to end, and for a lock to become free.
func TestSessionWatch(t *testing.T) {
	a := start(t)
	alive(a)
	id := newSession(a, `{"LockDelay": "0s"}`)
	a.do("PUT", "/v1/kv/k?acquire="+id+"&flags=7", "mine").is(200, "true")
	var woken []chan answer
	for _, path := range []string{"/v1/session/info/" + id, "/v1/session/list", "/v1/session/node/node-1", "/v1/kv/k"} {
		index := a.do("GET", path).is(200, id).index()
		c := make(chan answer, 1)
		woken = append(woken, c)
		go func() { c <- a.do("GET", fmt.Sprintf("%s?index=%d&wait=10s", path, index)) }()
	}
	a.do("PUT", "/v1/session/destroy/"+id).is(200, "true")
	for _, c := range woken {
		if got := (<-c).is(200, ""); strings.Contains(got.body, id) {
			t.Errorf("%s: still there: %s", got.asked, got.body)
		}
	}
	a.do("GET", "/v1/kv/k").is(200, `"LockIndex":1,"Key":"k","Flags":7,"Value":"bWluZQ==","CreateIndex"`)
	a.do("PUT", "/v1/session/renew/"+id).is(404, "Session id '"+id+"' not found")
}

func TestTxn(t *testing.T) {
	a := start(t)
	alive(a)
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]`).is(200, `"Value":null`).has("X-Consul-KnownLeader", "")
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"a"}}]`).is(200, `"Value":"MQ=="`).has("X-Consul-KnownLeader", "true").has("X-Consul-Index", "")
	a.do("PUT", "/v1/txn?stale&index=1&wait=10s", `[{"KV":{"Verb":"get","Key":"a"}}]`).is(200, `"Index":1,"KnownLeader":true`)
	a.do("PUT", "/v1/txn?stale&consistent", `[{"KV":{"Verb":"get","Key":"a"}}]`).is(400, "Cannot specify")
	// What the token may not see is left out; what it may not change is refused, all of it.
	a.do("PUT", "/v1/kv/secret", "x", "X-Consul-Token: root").is(200, "true")
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"get-tree","Key":""}}]`).is(200, `"ResultsFilteredByACLs":true`)
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"check-not-exists","Key":"secret"}}]`).is(403, "Permission denied")
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"b"}},{"KV":{"Verb":"set","Key":"secret"}}]`).is(403, "Permission denied")
	a.do("GET", "/v1/kv/b").is(404, "")
	a.do("PUT", "/v1/txn", `[{"Node":{"Verb":"set","Node":{"Node":"n2","Address":"10.0.0.2"}}}]`).is(200, `"Datacenter":"dc1"`)

	for body, want := range map[string]string{
		`{`:    "400 Failed to parse body",
		`{}`:   "400 Failed to parse body",
		`[1]`:  "400 Failed to parse body",
		`null`: `200 "Results":[]`,
		`[{}]`: `200 "Results":[]`,
		`[{"KV":{"Verb":"set","Key":"k","Value":"!"}}]`:                                    "400 Failed to parse body",
		`[{"KV":{"Verb":"bogus","Key":"k"}}]`:                                              `409 "Results":null,"Errors":[{"OpIndex":0,"What":"unknown KV verb \"bogus\""}],"Index":0,"KnownLeader":false`,
		`[{"KV":{"Verb":"set","Key":"k"}},{"KV":{"Verb":"bogus"}},{"KV":{"Verb":"set"}}]`:  `409 {"Results":null,"Errors":[{"OpIndex":1,`,
		`[{"KV":{"Verb":"set","Key":"k"}},{"KV":{"Verb":"get","Key":"none"}}]`:             `409 {"Results":null,"Errors":[{"OpIndex":1,`,
		strings.Repeat("[", 200) + strings.Repeat("]", 200):                                "400 nested",
		"[" + strings.Repeat(`{},`, api.MaxTxnOps) + "{}]":                                 "413 Transaction contains too many operations (129 > 128)",
		`[{"KV":{"Verb":"set","Key":"k","Value":"` + strings.Repeat("A", 512<<10) + `"}}]`: "413 too large",
	} {
		a.do("PUT", "/v1/txn", body).want(want)
	}
	a.do("GET", "/v1/kv/k").is(404, "")
}

func TestTxnLimits(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxValue, o.MaxTxn = 10, 1000 })
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k","Value":"MDEyMzQ1Njc4OQ=="}}]`).is(200, "")
	a.do("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k","Value":"MDEyMzQ1Njc4OTA="}}]`).is(413, `Value for key "k" is too large (11 > 10 bytes)`)
	a.do("PUT", "/v1/txn", `[`+strings.Repeat(" ", 1000)+`]`).is(413, "too large")
}
