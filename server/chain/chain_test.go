package chain

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const trustDomain = "11111111-2222-3333-4444-555555555555.consul"

func TestDefaultChain(t *testing.T) {
	const want = `{"ServiceName":"web","Namespace":"default","Partition":"default","Datacenter":"dc1","Protocol":"tcp","Default":true,` +
		`"StartNode":"resolver:web.default.default.dc1",` +
		`"Nodes":{"resolver:web.default.default.dc1":{"Type":"resolver","Name":"web.default.default.dc1",` +
		`"Resolver":{"Default":true,"ConnectTimeout":"5s","Target":"web.default.default.dc1"}}},` +
		`"Targets":{"web.default.default.dc1":{"ID":"web.default.default.dc1","Service":"web","Namespace":"default","Partition":"default",` +
		`"Datacenter":"dc1","MeshGateway":{},"Subset":{},"TransparentProxy":{},"ConnectTimeout":"5s",` +
		`"SNI":"web.default.dc1.internal.` + trustDomain + `","Name":"web.default.dc1.internal.` + trustDomain + `"}},` +
		`"AutoVirtualIPs":null,"ManualVirtualIPs":null}`
	got, err := json.Marshal(Compile(Options{Service: "web", Datacenter: "dc1", TrustDomain: trustDomain}, Entries{}))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestEntries(t *testing.T) {
	c := Compile(Options{Service: "web", Datacenter: "dc1"}, Entries{
		Service: &api.ServiceDefaults{ExternalSNI: "web.example.org", TransparentProxy: api.TransparentProxy{DialedDirectly: true}},
		Proxy:   &api.ProxyDefaults{MeshGateway: api.MeshGateway{Mode: "local"}},
	})
	target := c.Targets[c.Nodes[c.StartNode].Resolver.Target]
	if !target.External || target.SNI != "web.example.org" || target.MeshGateway.Mode != "local" || !target.TransparentProxy.DialedDirectly {
		t.Errorf("got %+v", target)
	}
	if target.Name != "" {
		t.Errorf("a target without a trust domain is called %q", target.Name)
	}
	c = Compile(Options{Service: "web", Datacenter: "dc1"}, Entries{
		Service: &api.ServiceDefaults{MeshGateway: api.MeshGateway{Mode: "none"}},
		Proxy:   &api.ProxyDefaults{MeshGateway: api.MeshGateway{Mode: "local"}},
	})
	if mode := c.Targets[c.Nodes[c.StartNode].Resolver.Target].MeshGateway.Mode; mode != "none" {
		t.Errorf("mesh gateway mode %q", mode)
	}
}

func TestProtocol(t *testing.T) {
	proxy := func(protocol any) *api.ProxyDefaults {
		return &api.ProxyDefaults{Config: map[string]any{"protocol": protocol}}
	}
	for _, c := range []struct {
		service *api.ServiceDefaults
		proxy   *api.ProxyDefaults
		want    string
	}{
		{nil, nil, "tcp"},
		{&api.ServiceDefaults{}, &api.ProxyDefaults{}, "tcp"},
		{nil, proxy("http"), "http"},
		{&api.ServiceDefaults{}, proxy("http"), "http"},
		{&api.ServiceDefaults{Protocol: "grpc"}, proxy("http"), "grpc"},
		{&api.ServiceDefaults{Protocol: "tcp"}, proxy("http"), "tcp"},
		{nil, proxy(7), "tcp"},
		{nil, proxy(""), "tcp"},
	} {
		if got := Protocol(c.service, c.proxy); got != c.want {
			t.Errorf("%+v, %+v: got %q, want %q", c.service, c.proxy, got, c.want)
		}
	}
}

func TestCheckPermissions(t *testing.T) {
	plain := &api.ServiceIntentions{Name: "web", Sources: []api.SourceIntention{{Name: "a", Action: "allow"}}}
	requests := &api.ServiceIntentions{Name: "web", Sources: []api.SourceIntention{{Name: "a", Permissions: []api.IntentionPermission{{}}}}}
	for _, protocol := range HTTPProtocols {
		if err := CheckPermissions(requests, protocol); err != nil {
			t.Error(err)
		}
	}
	for _, e := range []*api.ServiceIntentions{nil, plain} {
		if err := CheckPermissions(e, "tcp"); err != nil {
			t.Error(err)
		}
	}
	if err := CheckPermissions(requests, "tcp"); api.StatusOf(err) != 500 {
		t.Errorf("got %v", err)
	}
}
