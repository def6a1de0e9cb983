// Package chain compiles what config entries say of a service into its discovery chain: the graph from the service's name
// to the sets of instances that answer for it. It is a pure function; who reads the entries, and who follows them, is
// configentry's business.
//
// A request passes up to three stages. The service's router chooses a service by what is asked for; that one's splitter
// chooses by chance, and splitters that lead to one another become one; the resolver, which is there also where none is
// written, says which instances answer: of what service, subset and place, and which others if they fail.
package chain

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
)

// Entries is what chains are compiled from. What is absent is nil. What it returns is not changed, and chains share it.
type Entries interface {
	Proxy() *api.ProxyDefaults
	Service(name string) *api.ServiceDefaults
	Router(name string) *api.ServiceRouter
	Splitter(name string) *api.ServiceSplitter
	Resolver(name string) *api.ServiceResolver
}

// Options says for what a chain is compiled.
type Options struct {
	Service     string
	Datacenter  string // where the service is looked for, unless an entry says otherwise
	TrustDomain string // empty as long as there is no certificate authority: server names are then left out
	Overrides   Overrides
}

// Overrides are settings of whoever calls the service, stronger than config entries.
type Overrides struct {
	ConnectTimeout api.Duration
	Protocol       string
	MeshGateway    api.MeshGateway
}

// connectTimeout is how long a connection to an instance may take to be made, unless it is set.
const connectTimeout = 5 * time.Second

// Compile returns the chain of a service. The error has the status of a refused entry, and names the entry that makes no
// sense beside the others, the field, and what can be done.
//
// An override of the protocol leaves routers and splitters out where HTTP and TCP stand against each other: a proxy that
// takes a service for the other kind could not carry them out.
func Compile(o Options, e Entries) (*api.DiscoveryChain, error) {
	c := &compiler{Options: o, entries: e, proxy: e.Proxy(), legs: map[string][]api.DiscoverySplit{}}
	defaults := e.Service(o.Service)
	c.protocol = Protocol(defaults, c.proxy)
	c.chain = &api.DiscoveryChain{
		ServiceName: o.Service, Namespace: api.DefaultTenant, Partition: api.DefaultTenant, Datacenter: o.Datacenter,
		CustomizationHash: customization(o.Overrides, c.protocol), Protocol: c.protocol,
		Nodes: map[string]api.DiscoveryNode{}, Targets: map[string]api.Target{},
	}
	if defaults != nil {
		c.chain.ServiceMeta = defaults.Meta
	}
	if o.Overrides.Protocol != "" {
		c.chain.Protocol = o.Overrides.Protocol
	}
	c.plain = !isHTTP(c.protocol) || !isHTTP(c.chain.Protocol)
	start, err := c.start()
	if err != nil {
		return nil, api.Errorf(http.StatusInternalServerError, "discovery chain of %q: %v", o.Service, err)
	}
	c.chain.StartNode = start
	// A resolver that nobody wrote leads nowhere but to its own service.
	if r := c.chain.Nodes[start].Resolver; r != nil {
		t := c.chain.Targets[r.Target]
		c.chain.Default = r.Default && t.Service == o.Service && t.Peer == ""
	}
	return c.chain, nil
}

// compiler is one compilation.
type compiler struct {
	Options
	entries  Entries
	proxy    *api.ProxyDefaults
	protocol string // what all of the chain must speak, by the entries alone
	plain    bool   // no routers and splitters
	chain    *api.DiscoveryChain
	legs     map[string][]api.DiscoverySplit // the splitters flattened so far; nil for a service without one
	open     []string                        // the splitters being flattened, the outermost first
}

func isHTTP(protocol string) bool { return slices.Contains(HTTPProtocols, protocol) }

// customization tells chains apart by overrides, as far as they change something; empty when they do not.
func customization(o Overrides, protocol string) string {
	if o.Protocol == protocol {
		o.Protocol = ""
	}
	if o == (Overrides{}) {
		return ""
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %q %q", o.ConnectTimeout, o.Protocol, o.MeshGateway.Mode)
	return fmt.Sprintf("%08x", h.Sum32())
}

// start adds the whole graph and returns its first node.
func (c *compiler) start() (string, error) {
	router := c.entries.Router(c.Service)
	if router != nil {
		if err := c.wantsHTTP(api.KindServiceRouter, c.Service); err != nil {
			return "", err
		}
	}
	if router == nil || c.plain {
		return c.next(c.Service, "")
	}
	n := api.DiscoveryNode{Type: api.DiscoveryNodeRouter, Name: qualified(c.Service)}
	for i := range router.Routes {
		r := &router.Routes[i]
		service, subset := c.Service, ""
		if d := r.Destination; d != nil {
			service, subset = first(d.Service, c.Service), d.ServiceSubset
		}
		next, err := c.next(service, subset)
		if err != nil {
			return "", fmt.Errorf("%s %q Routes[%d]: %w", api.KindServiceRouter, c.Service, i, err)
		}
		n.Routes = append(n.Routes, api.DiscoveryRoute{Definition: r, NextNode: next})
	}
	next, err := c.next(c.Service, "")
	if err != nil {
		return "", err
	}
	n.Routes = append(n.Routes, api.DiscoveryRoute{Definition: rest(c.Service), NextNode: next})
	return c.add(n), nil
}

// rest is the route of what no written route matches.
func rest(service string) *api.ServiceRoute {
	return &api.ServiceRoute{
		Match:       &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/"}},
		Destination: &api.RouteDestination{Service: service, Namespace: api.DefaultTenant, Partition: api.DefaultTenant},
	}
}

// next returns the node for what has been routed to a service: its splitter, unless a subset is asked for, else its resolver.
func (c *compiler) next(service, subset string) (string, error) {
	if subset == "" {
		legs, err := c.flatten(service)
		if err != nil {
			return "", err
		}
		if legs != nil {
			return c.add(api.DiscoveryNode{
				Type: api.DiscoveryNodeSplitter, Name: qualified(service), Splits: legs, LoadBalancer: c.hashing(legs),
			}), nil
		}
	}
	return c.resolve(place{service: service, subset: subset, datacenter: c.Datacenter})
}

// add adds a node and returns the name by which others lead to it.
func (c *compiler) add(n api.DiscoveryNode) string {
	name := n.Type + ":" + n.Name
	c.chain.Nodes[name] = n
	return name
}

// qualified is what a router or splitter is called.
func qualified(service string) string {
	return service + "." + api.DefaultTenant + "." + api.DefaultTenant
}

// wantsHTTP refuses an entry that tells requests apart for a service that does not speak HTTP.
func (c *compiler) wantsHTTP(kind, service string) error {
	if protocol := Protocol(c.entries.Service(service), c.proxy); !isHTTP(protocol) {
		return fmt.Errorf("%s %q needs requests, but service %q speaks %s: set Protocol in its service-defaults to one of %q, or delete the %s",
			kind, service, service, protocol, HTTPProtocols, kind)
	}
	return nil
}

// agree refuses a service that does not speak what the chain's own does.
func (c *compiler) agree(service string) error {
	if protocol := Protocol(c.entries.Service(service), c.proxy); protocol != c.protocol {
		return fmt.Errorf("inconsistent protocols: service %q speaks %s, but %q speaks %s: "+
			"set the same Protocol in the service-defaults of both (while they change, lead from one to the other no more)",
			service, protocol, c.Service, c.protocol)
	}
	return nil
}
