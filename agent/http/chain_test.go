package http_test

import (
	"fmt"
	"testing"

	"github.com/parleymesh/parley/api"
)

// TestChainOverrides: whoever asks how a chain would be with settings of a proxy's own is told, and can tell it from the plain one.
func TestChainOverrides(t *testing.T) {
	a := start(t)
	for _, entry := range []string{
		`{"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}`,
		`{"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "7s", "Failover": {"*": {"Datacenters": ["dc2"]}}}`,
		`{"Kind": "service-router", "Name": "web", "Routes": [{"Destination": {"Service": "other"}}]}`,
	} {
		a.do("PUT", "/v1/config", entry).is(200, "true")
	}
	chain := func(method, query, body string) api.DiscoveryChain {
		var got struct{ Chain api.DiscoveryChain }
		a.do(method, "/v1/discovery-chain/web"+query, body).is(200, "").json(&got)
		return got.Chain
	}
	plain := chain("GET", "", "")
	if plain.StartNode != "router:web.default.default" || plain.CustomizationHash != "" || plain.AutoVirtualIPs == nil {
		t.Errorf("got %+v", plain)
	}
	custom := chain("POST", "", `{"OverrideConnectTimeout": "22s", "OverrideMeshGateway": {"Mode": "remote"}}`)
	if custom.StartNode != plain.StartNode || custom.CustomizationHash == "" || len(custom.Targets) != 3 {
		t.Errorf("got %+v", custom)
	}
	for id, target := range custom.Targets {
		if target.MeshGateway.Mode != "remote" || target.ConnectTimeout.String() != "22s" {
			t.Errorf("target %s: %+v", id, target)
		}
	}
	// The public Go client writes nanoseconds.
	if same := chain("POST", "", `{"OverrideConnectTimeout": 22000000000, "OverrideMeshGateway": {"Mode": "remote"}}`); same.CustomizationHash != custom.CustomizationHash {
		t.Errorf("hash %s, then %s", custom.CustomizationHash, same.CustomizationHash)
	}
	if tcp := chain("POST", "", `{"OverrideProtocol": "tcp"}`); tcp.Protocol != "tcp" || tcp.StartNode != "resolver:web.default.default.dc1" {
		t.Errorf("got %+v", tcp)
	}
	if there := chain("GET", "?compile-dc=dc2", ""); there.Datacenter != "dc2" || len(there.Targets) != 2 || there.Nodes["resolver:web.default.default.dc2"].Resolver.Failover != nil {
		t.Errorf("got %+v", there)
	}
}

// TestChainBlocks: who waits for a chain is woken by an entry of another service to which it leads, and not by what leaves it
// as it is.
func TestChainBlocks(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/config", `{"Kind": "service-resolver", "Name": "a", "Redirect": {"Service": "b"}}`).is(200, "true")
	index := a.do("GET", "/v1/discovery-chain/a").index()
	woken := a.later(fmt.Sprintf("/v1/discovery-chain/a?index=%d&wait=10s", index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "b", "MaxInboundConnections": 7}`).is(200, "true")
	a.do("PUT", "/v1/config", `{"Kind": "service-resolver", "Name": "c", "ConnectTimeout": "8s"}`).is(200, "true")
	a.do("PUT", "/v1/config", `{"Kind": "service-resolver", "Name": "b", "ConnectTimeout": "9s"}`).is(200, "true")
	(<-woken).is(200, `"ConnectTimeout":"9s"`)
}
