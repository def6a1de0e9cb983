package api

// DiscoveryChain is how a service's name becomes instances: a graph from StartNode to targets.
type DiscoveryChain struct {
	ServiceName      string
	Namespace        string
	Partition        string
	Datacenter       string
	Protocol         string
	Default          bool `json:",omitempty"` // nothing configured: this service, plainly
	StartNode        string
	Nodes            map[string]DiscoveryNode
	Targets          map[string]Target
	AutoVirtualIPs   []string
	ManualVirtualIPs []string
}

// DiscoveryNodeResolver is the type of a node that ends the graph in a target.
const DiscoveryNodeResolver = "resolver"

// DiscoveryNode is one step of the graph.
type DiscoveryNode struct {
	Type     string
	Name     string
	Resolver *DiscoveryResolver `json:",omitempty"`
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
}

// Target is a set of instances: of a service, in a place.
type Target struct {
	ID               string
	Service          string
	ServiceSubset    string `json:",omitempty"`
	Namespace        string
	Partition        string
	Datacenter       string
	Peer             string `json:",omitempty"`
	MeshGateway      MeshGateway
	Subset           Subset
	TransparentProxy TransparentProxy
	ConnectTimeout   Duration
	External         bool `json:",omitempty"`
	SNI              string
	Name             string
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
