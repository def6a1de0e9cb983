package api

// DiscoveryChain is how a service's name becomes instances: a graph from StartNode to targets. It has no loop, and all nodes
// and targets that it names are there.
type DiscoveryChain struct {
	ServiceName string
	Namespace   string
	Partition   string
	Datacenter  string
	// CustomizationHash is of what changes this chain besides config entries; empty when nothing does. It keeps apart what a
	// proxy makes of two chains of one service.
	CustomizationHash string            `json:",omitempty"`
	Default           bool              `json:",omitempty"` // nothing configured: this service, plainly
	Protocol          string            // what all of the chain speaks
	ServiceMeta       map[string]string `json:",omitempty"` // of the service's defaults
	StartNode         string
	Nodes             map[string]DiscoveryNode
	Targets           map[string]Target
	AutoVirtualIPs    []string
	ManualVirtualIPs  []string
}

// The types of the nodes. A router leads to splitters and resolvers, a splitter to resolvers, a resolver to targets.
const (
	DiscoveryNodeRouter   = "router"
	DiscoveryNodeSplitter = "splitter"
	DiscoveryNodeResolver = "resolver"
)

// DiscoveryNode is one step of the graph: it has Routes, Splits or a Resolver, as its type says.
type DiscoveryNode struct {
	Type         string
	Name         string
	Routes       []DiscoveryRoute   `json:",omitempty"` // the first that matches decides; the last one matches all
	Splits       []DiscoverySplit   `json:",omitempty"`
	Resolver     *DiscoveryResolver `json:",omitempty"`
	LoadBalancer *LoadBalancer      `json:",omitempty"` // of a splitter: the first of its resolvers that hashes
}

// DiscoveryRoute is a route of a service-router, and where it leads.
type DiscoveryRoute struct {
	Definition *ServiceRoute `json:",omitempty"`
	NextNode   string
}

// DiscoverySplit is one destination of a splitter, of which none leads to another splitter.
type DiscoverySplit struct {
	// Definition is the split as it was written, with the header modifiers of all splits on the way to it.
	Definition *ServiceSplit `json:",omitempty"`
	Weight     float32       // in percent of all requests to the node
	NextNode   string
}

// DiscoveryResolver names the target to use, and those to use when it has no healthy instance.
type DiscoveryResolver struct {
	Default        bool `json:",omitempty"`
	ConnectTimeout Duration
	RequestTimeout Duration `json:",omitempty"`
	Target         string
	Failover       *DiscoveryFailover `json:",omitempty"`
}

// DiscoveryFailover lists targets in order of preference.
type DiscoveryFailover struct {
	Targets []string
	Policy  *FailoverPolicy `json:",omitempty"`
}

// Target is a set of instances: of a service, in a place.
type Target struct {
	ID                   string
	Service              string
	ServiceSubset        string `json:",omitempty"`
	Namespace            string
	Partition            string
	Datacenter           string
	Peer                 string `json:",omitempty"`
	MeshGateway          MeshGateway
	Subset               Subset
	TransparentProxy     TransparentProxy
	ConnectTimeout       Duration
	PrioritizeByLocality *PrioritizeByLocality `json:",omitempty"`
	External             bool                  `json:",omitempty"`
	SNI                  string
	Name                 string
}

// Subset selects instances of a service.
type Subset struct {
	Filter      string `json:",omitempty"`
	OnlyPassing bool   `json:",omitempty"`
}

// TargetID returns the id of a target, by which endpoints are keyed. Absent namespace and partition are written
// "default", so that two ways to write a place give one id.
func TargetID(service, subset, namespace, partition, datacenter, peer string) string {
	id := service + "." + orDefault(namespace) + "." + orDefault(partition) + "."
	if subset != "" {
		id = subset + "." + id
	}
	if peer != "" {
		return id + "external." + peer
	}
	return id + datacenter
}

func orDefault(name string) string {
	if name == "" {
		return DefaultTenant
	}
	return name
}
