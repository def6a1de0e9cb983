package http_test

import (
	"testing"

	"github.com/parleymesh/parley/api"
)

func TestLeaf(t *testing.T) {
	a := start(t)
	var leaf api.Leaf
	a.do("GET", "/v1/agent/connect/ca/leaf/web").is(200, "").has("X-Consul-Index", "7").has("X-Cache", "MISS").json(&leaf)
	if leaf.Service != "web" {
		t.Errorf("leaf: %+v", leaf)
	}
	a.do("GET", "/v1/agent/connect/ca/leaf/web?index=6").is(200, "").has("X-Consul-Index", "7")
	a.do("GET", "/v1/agent/connect/ca/leaf/web?index=99").is(200, "").has("X-Consul-Index", "7") // from before a restart
	a.do("GET", "/v1/agent/connect/ca/leaf/web?index=7&wait=20ms").is(200, "").has("X-Consul-Index", "7")
	a.do("GET", "/v1/agent/connect/ca/leaf/web?index=x").is(400, "Invalid index")
	woken := a.later("/v1/agent/connect/ca/leaf/web?index=7&wait=10s")
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.leaves.rotate()
	(<-woken).is(200, "").has("X-Consul-Index", "8")
	a.do("GET", "/v1/agent/connect/ca/leaf/").is(500, "URI must be either service, agent, server, or kind")
	a.do("GET", "/v1/agent/connect/ca/leaf/a%20b").is(400, "service name")
	a.do("GET", "/v1/agent/connect/ca/leaf/secret").is(403, "Permission denied")
	a.do("PUT", "/v1/agent/connect/ca/leaf/web").is(405, "method PUT not allowed")
}

func TestProxySnapshot(t *testing.T) {
	a := start(t)
	// Without ?wait: what is not registered is told at once.
	a.do("GET", "/v1/agent/connect/proxy/web-sidecar-proxy").is(404, `no proxy with the service ID "web-sidecar-proxy" is registered`)
	a.do("PUT", "/v1/agent/service/register", `{"Name": "web-sidecar-proxy", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "web"}}`).is(200, "")
	a.do("GET", "/v1/agent/connect/proxy/web-sidecar-proxy").is(200, `{"ProxyID":"web-sidecar-proxy"}`).has("X-Consul-ContentHash", "h1")
	a.do("GET", "/v1/agent/connect/proxy/web-sidecar-proxy?hash=h0").is(200, "ProxyID")
	a.do("GET", "/v1/agent/connect/proxy/web-sidecar-proxy?hash=h1&wait=20ms").is(200, "ProxyID").has("X-Consul-ContentHash", "h1")
	a.do("GET", "/v1/agent/connect/proxy/nothing?hash=h1&wait=20ms").is(404, `no proxy with the service ID "nothing" is registered`)
	a.do("PUT", "/v1/agent/service/register", `{"Name": "web"}`).is(200, "")
	a.do("PUT", "/v1/agent/service/register", `{"Name": "slow", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "web"}}`).is(200, "")
	a.do("GET", "/v1/agent/connect/proxy/web?wait=20ms").is(400, `service "web" is no proxy`)
	a.do("GET", "/v1/agent/connect/proxy/").is(400, "Missing")
	a.do("GET", "/v1/agent/connect/proxy/slow?wait=20ms").is(503, `not everything that proxy "slow" needs is known yet`)
	closed := a.later("/v1/agent/connect/proxy/web-sidecar-proxy?hash=h1")
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	closeAPI(t, a)
	got := <-closed
	if got.status != 200 && got.status != 503 {
		t.Errorf("at the end: %d %s", got.status, got.body)
	}
}
