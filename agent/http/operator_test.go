package http_test

import (
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
)

func TestOperator(t *testing.T) {
	a := start(t)
	var c api.RaftConfiguration
	a.do("GET", "/v1/operator/raft/configuration").is(200, "").has("X-Consul-Index", "").json(&c)
	if len(c.Servers) != 1 || !c.Servers[0].Leader || c.Servers[0].ID != "s1" {
		t.Errorf("configuration: %+v", c)
	}
	a.do("GET", "/v1/operator/raft/configuration?stale").is(200, `"Voter":true`)
	a.do("GET", "/v1/operator/raft/configuration?dc=dc9").is(500, "No path to datacenter")
	a.do("PUT", "/v1/operator/raft/configuration").is(405, "method PUT not allowed").has("Allow", "OPTIONS,GET")
	a.do("GET", "/v1/operator/area").is(404, "not a recognized HTTP API endpoint")
}

func TestStatus(t *testing.T) {
	a := start(t)
	a.do("GET", "/v1/status/leader").is(200, `"127.0.0.1:8300"`).has("X-Consul-Index", "")
	a.do("GET", "/v1/status/peers").is(200, `["127.0.0.1:8300"]`)
	a.do("GET", "/v1/status/peers?dc=dc9").is(500, "No path to datacenter")

	lost := start(t, func(o *agenthttp.Options) { o.Client = empty{} })
	lost.do("GET", "/v1/status/leader").is(200, `""`)
	lost.do("GET", "/v1/status/peers").is(200, `[]`)
	lost.do("GET", "/v1/operator/raft/configuration").is(503, "still starting")
}
