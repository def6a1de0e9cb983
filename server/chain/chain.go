// Package chain compiles what config entries say of a service into its discovery chain: the graph from the service's name
// to the sets of instances that answer for it. It is a pure function; who reads the entries, and who follows them, is
// configentry's business.
package chain

import (
	"time"

	"github.com/parleymesh/parley/api"
)

// Entries is what a chain is compiled from. What is absent is nil.
type Entries struct {
	Service *api.ServiceDefaults
	Proxy   *api.ProxyDefaults
}

// Options says for what a chain is compiled.
type Options struct {
	Service     string
	Datacenter  string
	TrustDomain string // empty as long as there is no certificate authority: server names are then left out
}

// connectTimeout is how long a connection to an instance may take to be made, unless it is set.
const connectTimeout = 5 * time.Second

// Compile returns the chain of a service.
func Compile(o Options, e Entries) *api.DiscoveryChain {
	t := target(o, e)
	node := api.DiscoveryNodeResolver + ":" + t.ID
	return &api.DiscoveryChain{
		ServiceName: o.Service, Namespace: api.DefaultTenant, Partition: api.DefaultTenant, Datacenter: o.Datacenter,
		Protocol: Protocol(e.Service, e.Proxy), Default: true, StartNode: node,
		Nodes: map[string]api.DiscoveryNode{node: {
			Type: api.DiscoveryNodeResolver, Name: t.ID,
			Resolver: &api.DiscoveryResolver{Default: true, ConnectTimeout: t.ConnectTimeout, Target: t.ID},
		}},
		Targets: map[string]api.Target{t.ID: t},
	}
}

// target is all instances of the service itself.
func target(o Options, e Entries) api.Target {
	t := api.Target{
		ID:      api.TargetID(o.Service, "", "", "", o.Datacenter, ""),
		Service: o.Service, Namespace: api.DefaultTenant, Partition: api.DefaultTenant, Datacenter: o.Datacenter,
		ConnectTimeout: api.Duration(connectTimeout),
	}
	if o.TrustDomain != "" {
		t.Name = o.Service + "." + api.DefaultTenant + "." + o.Datacenter + ".internal." + o.TrustDomain
		t.SNI = t.Name
	}
	if e.Proxy != nil {
		t.MeshGateway = e.Proxy.MeshGateway
	}
	if s := e.Service; s != nil {
		if s.MeshGateway.Mode != "" {
			t.MeshGateway = s.MeshGateway
		}
		if s.ExternalSNI != "" {
			t.SNI, t.External = s.ExternalSNI, true
		}
		t.TransparentProxy.DialedDirectly = s.TransparentProxy.DialedDirectly
	}
	return t
}
