package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
)

// plan is the frame of a snapshot: what is in it, but not yet what changes by the minute.
type plan struct {
	proxy     *api.Service // with what config entries say of it
	mesh      Mesh
	protocol  string
	upstreams []Upstream
	targets   map[string]endpointsFeed // by the id of the target

	uses     map[feeder]bool
	complete bool  // everything that it needs is known
	err      error // why the token may not have it
}

func (n *plan) service() string { return n.proxy.Proxy.DestinationServiceName }

// draft makes a plan for a registration from what is known, and follows what it needs. It is called with Assembler.mu held.
func (p *assembly) draft(proxy *api.Service) *plan {
	n := &plan{proxy: proxy, targets: map[string]endpointsFeed{}, uses: map[feeder]bool{}, complete: true}
	token, service := p.key.token, n.service()
	permission := p.use(n, permissionFeed{service, token})
	if n.deny(permission); n.err != nil || permission.value == nil {
		n.complete = false
		return n // who may not have it causes no certificate to be signed
	}
	n.deny(p.use(n, leafFeed{service, token}))
	p.use(n, policyFeed{service, token})
	roots := p.use(n, rootsFeed{token})
	if central := p.use(n, centralFeed{service, token}); central.value != nil {
		n.merge(central.value.(*configentry.Defaults))
	}
	for key := range n.uses {
		n.complete = n.complete && p.a.feeds[key].value != nil
	}
	domain := ""
	if roots.value != nil {
		domain = roots.value.(trust).domain
	}
	for i := range n.proxy.Proxy.Upstreams {
		p.draftUpstream(n, &n.proxy.Proxy.Upstreams[i], domain)
	}
	return n
}

// merge brings in what config entries say of the service's proxies. The indexes are left out: the content counts.
func (n *plan) merge(d *configentry.Defaults) {
	merged := *n.proxy
	merged.Proxy = d.Merge(n.proxy.Proxy)
	merged.CreateIndex, merged.ModifyIndex = 0, 0
	n.proxy = &merged
	if d.Mesh != nil {
		n.mesh = Mesh{TLS: d.Mesh.TLS, HTTP: d.Mesh.HTTP}
	}
	n.protocol = protocol(Config(merged.Proxy.Config).String("protocol"))
}

// protocol reads what a service speaks. What is not known is bytes.
func protocol(name string) string {
	switch name {
	case "http", "http2", "grpc":
		return name
	}
	return "tcp"
}

// deny takes note of a refusal for want of permission.
func (n *plan) deny(f *feed) {
	if n.err == nil && errors.Is(f.refused, ErrDenied) {
		n.err = f.refused
	}
}

// use follows a feed on behalf of the plan.
func (p *assembly) use(n *plan, key feeder) *feed {
	n.uses[key] = true
	p.uses[key] = true
	return p.a.acquire(key, p)
}

// draftUpstream adds an upstream. What cannot be carried out is handed on with the reason, so that it is said, and does not
// hold up the others.
func (p *assembly) draftUpstream(n *plan, up *api.Upstream, trustDomain string) {
	u := Upstream{
		ID: UpstreamID(*up), Name: up.DestinationName, Config: up.Config,
		Local: Address{Host: up.LocalBindAddress, Port: up.LocalBindPort},
	}
	if u.Local.Host == "" {
		u.Local.Host = "127.0.0.1"
	}
	u.Unsupported = unsupported(up, p.a.o.Datacenter)
	if u.Unsupported == "" {
		p.draftChain(n, &u, trustDomain)
	}
	n.upstreams = append(n.upstreams, u)
}

// unsupported says why an upstream as registered cannot be carried out, if so.
func unsupported(up *api.Upstream, datacenter string) string {
	switch {
	case up.DestinationType != "" && up.DestinationType != api.UpstreamService:
		return fmt.Sprintf("destinations of type %q are not carried out yet", up.DestinationType)
	case up.DestinationPeer != "":
		return fmt.Sprintf("it is at the peer %q, and peers are not called yet", up.DestinationPeer)
	case up.Datacenter != "" && up.Datacenter != datacenter:
		return fmt.Sprintf("it is in the datacenter %q, and other datacenters are not called yet", up.Datacenter)
	case up.LocalBindSocketPath != "":
		return "local_bind_socket_path is not carried out yet; use local_bind_port"
	case up.LocalBindPort <= 0 || up.LocalBindPort > math.MaxUint16:
		return fmt.Sprintf("it has no local address: local_bind_port is %d", up.LocalBindPort)
	case up.DestinationName == "":
		return "it has no destination_name"
	}
	return ""
}

// draftChain adds the upstream's chain and the endpoints of its targets.
func (p *assembly) draftChain(n *plan, u *Upstream, trustDomain string) {
	chain := p.use(n, chainFeed{u.Name, u.Config.String("protocol"), p.key.token})
	if chain.value == nil {
		if chain.refused == nil {
			n.complete = false
			return
		}
		u.Unsupported = "its discovery chain was refused: " + chain.refused.Error()
		return
	}
	u.Chain = chain.value.(*api.DiscoveryChain)
	for id, target := range u.Chain.Targets {
		if target.Peer != "" || target.External || target.Datacenter != p.a.o.Datacenter {
			u.Unsupported = fmt.Sprintf("target %q of its discovery chain is not carried out yet", id)
			return
		}
		key := newEndpointsFeed(target, trustDomain, p.key.token)
		endpoints := p.use(n, key)
		switch {
		case endpoints.value != nil:
			n.targets[id] = key
		case endpoints.refused != nil:
			u.Unsupported = fmt.Sprintf("the instances of target %q were refused: %v", id, endpoints.refused)
			return
		default:
			n.complete = false
		}
	}
}

// fill makes a snapshot of a plan that is or was complete. It is called with Assembler.mu held.
func (p *assembly) fill(n *plan) *Snapshot {
	token := p.key.token
	roots := p.a.feeds[rootsFeed{token}].value.(trust)
	policy := p.a.feeds[policyFeed{n.service(), token}].value.(Policy)
	policy.TrustDomain = roots.domain
	s := &Snapshot{
		ProxyID: p.key.proxyID, Proxy: *n.proxy, Datacenter: p.a.o.Datacenter,
		Service: n.service(), Protocol: n.protocol, LocalApp: localApp(n.proxy.Proxy), Public: publicAddress(n.proxy),
		Mesh: n.mesh, TrustDomain: roots.domain, Roots: roots.bundle, Leaf: p.a.feeds[leafFeed{n.service(), token}].value.(api.Leaf),
		Policy: policy, Upstreams: n.upstreams, Endpoints: make(map[string]*Endpoints, len(n.targets)),
	}
	for id, key := range maps.All(n.targets) {
		s.Endpoints[id] = p.a.feeds[key].value.(*Endpoints)
	}
	return s
}

func localApp(p *api.Proxy) Address {
	a := Address{Host: p.LocalServiceAddress, Port: p.LocalServicePort}
	if a.Host == "" {
		a.Host = "127.0.0.1"
	}
	return a
}

// publicAddress is where the proxy listens: its service's address, unless it is told another. A name cannot be listened on.
func publicAddress(s *api.Service) Address {
	a := Address{Host: s.Address, Port: s.Port}
	if host, ok := s.Proxy.Config["bind_address"].(string); ok && host != "" {
		a.Host = host
	}
	if _, err := netip.ParseAddr(a.Host); err != nil {
		a.Host = "0.0.0.0"
	}
	if port, ok := portOf(s.Proxy.Config["bind_port"]); ok {
		a.Port = port
	}
	return a
}

// portOf reads a port as JSON, HCL and msgpack give it.
func portOf(v any) (int, bool) {
	var n int
	switch v := v.(type) {
	case float64:
		n = int(v)
	case int:
		n = v
	case int64:
		n = int(v)
	case uint64:
		n = int(min(v, math.MaxUint16+1))
	}
	return n, n > 0 && n <= math.MaxUint16
}
