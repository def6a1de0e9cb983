package chain

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

const trustDomain = "11111111-2222-3333-4444-555555555555.consul"

// memory holds entries by kind and name.
type memory map[string]api.ConfigEntry

func key(kind, name string) string { return kind + "/" + name }

func held[T any](m memory, kind, name string) T {
	e, _ := m[key(kind, name)].(T)
	return e
}

func (m memory) Proxy() *api.ProxyDefaults {
	return held[*api.ProxyDefaults](m, api.KindProxyDefaults, api.ProxyDefaultsGlobal)
}
func (m memory) Service(name string) *api.ServiceDefaults {
	return held[*api.ServiceDefaults](m, api.KindServiceDefaults, name)
}
func (m memory) Router(name string) *api.ServiceRouter {
	return held[*api.ServiceRouter](m, api.KindServiceRouter, name)
}
func (m memory) Splitter(name string) *api.ServiceSplitter {
	return held[*api.ServiceSplitter](m, api.KindServiceSplitter, name)
}
func (m memory) Resolver(name string) *api.ServiceResolver {
	return held[*api.ServiceResolver](m, api.KindServiceResolver, name)
}

// hold makes entries of what people write: one JSON object a line.
func hold(t testing.TB, lines string) memory {
	t.Helper()
	m := memory{}
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		e, err := api.DecodeConfigEntry([]byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		m[key(e.EntryKind(), e.EntryName())] = e
	}
	return m
}

func compile(t testing.TB, o Options, lines string) *api.DiscoveryChain {
	t.Helper()
	c, err := Compile(o, hold(t, lines))
	if err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultChain(t *testing.T) {
	const want = `{"ServiceName":"web","Namespace":"default","Partition":"default","Datacenter":"dc1","Default":true,"Protocol":"tcp",` +
		`"StartNode":"resolver:web.default.default.dc1",` +
		`"Nodes":{"resolver:web.default.default.dc1":{"Type":"resolver","Name":"web.default.default.dc1",` +
		`"Resolver":{"Default":true,"ConnectTimeout":"5s","Target":"web.default.default.dc1"}}},` +
		`"Targets":{"web.default.default.dc1":{"ID":"web.default.default.dc1","Service":"web","Namespace":"default","Partition":"default",` +
		`"Datacenter":"dc1","MeshGateway":{},"Subset":{},"TransparentProxy":{},"ConnectTimeout":"5s",` +
		`"SNI":"web.default.dc1.internal.` + trustDomain + `","Name":"web.default.dc1.internal.` + trustDomain + `"}},` +
		`"AutoVirtualIPs":null,"ManualVirtualIPs":null}`
	got, err := json.Marshal(compile(t, Options{Service: "web", Datacenter: "dc1", TrustDomain: trustDomain}, ""))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestTargets(t *testing.T) {
	only := func(lines string, o Overrides) api.Target {
		c := compile(t, Options{Service: "web", Datacenter: "dc1", Overrides: o}, lines)
		return c.Targets[c.Nodes[c.StartNode].Resolver.Target]
	}
	const all = `{"Kind":"proxy-defaults","Name":"global","MeshGateway":{"Mode":"local"}}` + "\n"
	target := only(all+`{"Kind":"service-defaults","Name":"web","ExternalSNI":"web.example.org","TransparentProxy":{"DialedDirectly":true}}`, Overrides{})
	if !target.External || target.SNI != "web.example.org" || target.MeshGateway.Mode != "local" || !target.TransparentProxy.DialedDirectly {
		t.Errorf("got %+v", target)
	}
	if target.Name != "" {
		t.Errorf("a target without a trust domain is called %q", target.Name)
	}
	const none = `{"Kind":"service-defaults","Name":"web","MeshGateway":{"Mode":"none"}}`
	if mode := only(all+none, Overrides{}).MeshGateway.Mode; mode != "none" {
		t.Errorf("mesh gateway mode %q", mode)
	}
	if mode := only(all+none, Overrides{MeshGateway: api.MeshGateway{Mode: "remote"}}).MeshGateway.Mode; mode != "remote" {
		t.Errorf("overridden mesh gateway mode %q", mode)
	}
}
