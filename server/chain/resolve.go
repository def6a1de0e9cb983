package chain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// place is a set of instances that is asked for, and, once nothing leads further, a target.
type place struct {
	service, subset  string
	datacenter, peer string
}

// moved is the place that a redirect or failover leads to. What it does not name stays as it is, except that another service
// has other subsets.
func (p place) moved(service, subset, datacenter, peer string) place {
	if service != "" && service != p.service {
		p.service, p.subset = service, ""
	}
	p.subset = first(subset, p.subset)
	p.datacenter = first(datacenter, p.datacenter)
	if peer != "" {
		p.datacenter, p.peer = "", peer
	}
	return p
}

func (p place) id() string { return api.TargetID(p.service, p.subset, "", "", p.datacenter, p.peer) }

// resolve adds the resolver of a place, with its targets, and returns its name.
func (c *compiler) resolve(p place) (string, error) {
	p, err := c.settle(p)
	if err != nil {
		return "", err
	}
	id := p.id()
	name := api.DiscoveryNodeResolver + ":" + id
	if _, ok := c.chain.Nodes[name]; ok {
		return name, nil
	}
	n := api.DiscoveryNode{
		Type: api.DiscoveryNodeResolver, Name: id,
		Resolver: &api.DiscoveryResolver{Default: true, ConnectTimeout: c.target(p), Target: id},
	}
	if r := c.resolver(p); r != nil {
		n.LoadBalancer = r.LoadBalancer
		n.Resolver.Default, n.Resolver.RequestTimeout = false, r.RequestTimeout
		if n.Resolver.Failover, err = c.failover(p, r); err != nil {
			return "", err
		}
	}
	return c.add(n), nil
}

// resolver is what is written of a place here; of a peer's services only the peer knows.
func (c *compiler) resolver(p place) *api.ServiceResolver {
	if p.peer != "" {
		return nil
	}
	return c.entries.Resolver(p.service)
}

// settle follows redirects and default subsets until they lead no further. A redirect to where it already is has been applied.
func (c *compiler) settle(p place) (place, error) {
	path := []place{p}
	seen := map[place]bool{p: true}
	for {
		if p.peer != "" {
			return p, nil
		}
		if err := c.agree(p.service); err != nil {
			return p, trail(path, err)
		}
		next := follow(p, c.entries.Resolver(p.service))
		if next == p {
			return p, trail(path, c.hasSubset(p))
		}
		path = append(path, next)
		if seen[next] {
			return p, trail(path, errors.New("circular redirect: have one of these resolvers redirect to something else"))
		}
		p, seen[next] = next, true
	}
}

// follow is one step of settle.
func follow(p place, r *api.ServiceResolver) place {
	if r == nil {
		return p
	}
	if d := r.Redirect; d != nil {
		if next := p.moved(d.Service, d.ServiceSubset, d.Datacenter, d.Peer); next != p {
			return next
		}
	}
	if p.subset == "" {
		p.subset = r.DefaultSubset
	}
	return p
}

// trail tells by which services an error was come to, if there are several.
func trail(path []place, err error) error {
	var names []string
	for _, p := range path {
		if len(names) == 0 || names[len(names)-1] != p.service {
			names = append(names, p.service)
		}
	}
	if err == nil || len(names) == 1 {
		return err
	}
	if len(names) > 12 { // the ends tell enough
		names = slices.Concat(names[:6], []string{"..."}, names[len(names)-5:])
	}
	return fmt.Errorf("%s %q Redirect (%s): %w", api.KindServiceResolver, path[0].service, strings.Join(names, " -> "), err)
}

func (c *compiler) hasSubset(p place) error {
	if p.subset == "" {
		return nil
	}
	if r := c.entries.Resolver(p.service); r != nil {
		if _, ok := r.Subsets[p.subset]; ok {
			return nil
		}
	}
	return fmt.Errorf("service %q has no subset named %q: define it in the Subsets of its %s first, or use another one",
		p.service, p.subset, api.KindServiceResolver)
}

// failover compiles what a resolver says for when the instances of a place fail; nil when there is nothing to turn to.
func (c *compiler) failover(p place, r *api.ServiceResolver) (*api.DiscoveryFailover, error) {
	key := p.subset
	f, ok := r.Failover[key]
	if !ok {
		key = api.Wildcard
		if f, ok = r.Failover[key]; !ok {
			return nil, nil
		}
	}
	out := &api.DiscoveryFailover{Policy: f.Policy}
	if out.Policy == nil && c.proxy != nil {
		out.Policy = c.proxy.FailoverPolicy
	}
	for i, step := range steps(p, f) {
		to, err := c.settle(step)
		if err != nil {
			return nil, fmt.Errorf("%s %q Failover[%q] step %d: %w", api.KindServiceResolver, p.service, key, i+1, err)
		}
		// Who failed is not asked once more.
		if to == p || slices.Contains(out.Targets, to.id()) {
			continue
		}
		c.target(to)
		out.Targets = append(out.Targets, to.id())
	}
	if len(out.Targets) == 0 {
		return nil, nil
	}
	return out, nil
}

// steps are the places that a failover names, in its order.
func steps(p place, f api.ResolverFailover) []place {
	var out []place
	for _, t := range f.Targets {
		out = append(out, p.moved(t.Service, t.ServiceSubset, t.Datacenter, t.Peer))
	}
	if len(f.Targets) > 0 {
		return out
	}
	for _, dc := range f.Datacenters {
		out = append(out, p.moved(f.Service, f.ServiceSubset, dc, ""))
	}
	if len(f.Datacenters) > 0 {
		return out
	}
	return []place{p.moved(f.Service, f.ServiceSubset, "", "")}
}
