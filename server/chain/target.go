package chain

import "github.com/parleymesh/parley/api"

// target adds what a settled place is, and returns how long connecting to it may take.
func (c *compiler) target(p place) api.Duration {
	id := p.id()
	if t, ok := c.chain.Targets[id]; ok {
		return t.ConnectTimeout
	}
	t := api.Target{
		ID: id, Service: p.service, ServiceSubset: p.subset, Namespace: api.DefaultTenant, Partition: api.DefaultTenant,
		Datacenter: p.datacenter, Peer: p.peer, ConnectTimeout: api.Duration(connectTimeout),
	}
	t.Name = serverName(p, c.TrustDomain)
	t.SNI = t.Name
	if c.proxy != nil {
		t.MeshGateway, t.PrioritizeByLocality = c.proxy.MeshGateway, c.proxy.PrioritizeByLocality
	}
	if p.peer == "" {
		c.describe(&t)
	}
	t.MeshGateway = first(c.Overrides.MeshGateway, t.MeshGateway)
	t.ConnectTimeout = first(c.Overrides.ConnectTimeout, t.ConnectTimeout)
	c.chain.Targets[id] = t
	return t.ConnectTimeout
}

// describe adds to a target what is written of its service here.
func (c *compiler) describe(t *api.Target) {
	if s := c.entries.Service(t.Service); s != nil {
		t.MeshGateway = first(s.MeshGateway, t.MeshGateway)
		if s.ExternalSNI != "" {
			t.SNI, t.External = s.ExternalSNI, true
		}
		t.TransparentProxy.DialedDirectly = s.TransparentProxy.DialedDirectly
	}
	if r := c.entries.Resolver(t.Service); r != nil {
		t.Subset = r.Subsets[t.ServiceSubset]
		t.ConnectTimeout = first(r.ConnectTimeout, t.ConnectTimeout)
		if r.PrioritizeByLocality != nil {
			t.PrioritizeByLocality = r.PrioritizeByLocality
		}
	}
}

// serverName is what a place is called in the handshake with its instances; empty before there is a trust domain.
func serverName(p place, trustDomain string) string {
	if trustDomain == "" {
		return ""
	}
	name := p.service + "." + api.DefaultTenant
	if p.subset != "" {
		name = p.subset + "." + name
	}
	if p.peer != "" {
		return name + "." + api.DefaultTenant + "." + p.peer + ".external." + trustDomain
	}
	return name + "." + p.datacenter + ".internal." + trustDomain
}
