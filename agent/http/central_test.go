package http_test

import (
	"strings"
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
)

func TestMergeCentralConfig(t *testing.T) {
	a := start(t)
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "web-proxy", "Kind": "connect-proxy", "Port": 2,
		"Proxy": {"DestinationServiceName": "web", "Config": {"own": 1}}}}`)
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 1}}`)
	paths := []string{"/v1/health/connect/web", "/v1/health/service/web-proxy", "/v1/catalog/connect/web", "/v1/catalog/service/web-proxy",
		"/v1/catalog/node/n1", "/v1/catalog/node-services/n1"}
	index := a.do("GET", "/v1/health/connect/web?merge-central-config").is(200, `"own":1`).index()
	a.do("PUT", "/v1/config", `{"Kind": "proxy-defaults", "Name": "global", "Config": {"all": 3}, "MeshGateway": {"Mode": "local"}}`).is(200, "true")
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}`).is(200, "true")
	for _, path := range paths {
		merged := a.do("GET", path+"?merge-central-config").is(200, `"Config":{"all":3,"own":1,"protocol":"http"}`).is(200, `"MeshGateway":{"Mode":"local"}`)
		if merged.index() <= index {
			t.Errorf("%s: index %d after %d", path, merged.index(), index)
		}
		if plain := a.do("GET", path).is(200, `"own":1`); strings.Contains(plain.body, "protocol") {
			t.Errorf("%s: merged without being asked: %s", path, plain.body)
		}
	}
	// Who waits is woken when only a default changes, and sees it.
	woken := a.later("/v1/health/connect/web?merge-central-config&wait=10s&index=" + a.do("GET", paths[0]+"?merge-central-config").header.Get("X-Consul-Index"))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "web", "Protocol": "grpc"}`).is(200, "true")
	(<-woken).is(200, `"protocol":"grpc"`)
	// A service that is no proxy has nothing to merge into.
	a.do("GET", "/v1/health/service/web?merge-central-config").is(200, `"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}}`)
}

func TestNoGateways(t *testing.T) {
	a := start(t)
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 1}}`)
	for _, path := range []string{"/v1/health/ingress/web", "/v1/health/ingress/none", "/v1/catalog/gateway-services/gw"} {
		if got := a.do("GET", path).is(200, "[]"); got.body != "[]" || got.index() < 1 {
			t.Errorf("%s: %q", path, got.body)
		}
	}
	a.do("GET", "/v1/health/ingress/").is(400, "Missing service name")
	a.do("GET", "/v1/catalog/gateway-services/").is(400, "Missing gateway name")
	a.do("PUT", "/v1/agent/token/default", `{"Token": ""}`).is(401, "ACL support disabled")
	a.do("GET", "/v1/agent/token/default").is(405, "not allowed")
}

func TestAddressesForOtherDatacenters(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.Datacenter, o.TranslateWANAddrs = "dc2", true })
	// This agent is of dc2, and its servers of dc1.
	body := `{"Datacenter": "dc1", "Node": "n1", "Address": "10.0.0.1", "TaggedAddresses": {"wan": "198.51.100.1"},
		"Service": {"Service": "web", "Port": 1, "Address": "10.0.0.9", "TaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 7}}}}`
	a.do("PUT", "/v1/catalog/register", body).is(200, "true")
	for path, want := range map[string][]string{
		"/v1/catalog/nodes":            {`"Address":"198.51.100.1"`},
		"/v1/catalog/service/web":      {`"Address":"198.51.100.1"`, `"ServiceAddress":"198.51.100.2"`, `"ServicePort":7`},
		"/v1/health/service/web":       {`"Address":"198.51.100.1"`, `"Address":"198.51.100.2"`, `"Port":7`},
		"/v1/catalog/node/n1":          {`"Address":"198.51.100.1"`, `"Address":"198.51.100.2"`},
		"/v1/catalog/node-services/n1": {`"Address":"198.51.100.1"`, `"Address":"198.51.100.2"`},
	} {
		got := a.do("GET", path+"?dc=dc1").has("X-Consul-Translate-Addresses", "true")
		for _, part := range want {
			got.is(200, part)
		}
		if strings.Contains(got.body, `"Address":"10.`) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	near := start(t, func(o *agenthttp.Options) { o.TranslateWANAddrs = true })
	near.do("PUT", "/v1/catalog/register", body).is(200, "true")
	near.do("GET", "/v1/health/service/web").is(200, `"Address":"10.0.0.9"`).has("X-Consul-Translate-Addresses", "true")
	plain := start(t)
	plain.do("GET", "/v1/catalog/nodes").has("X-Consul-Translate-Addresses", "")
}
