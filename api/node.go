package api

// Node is a host in the catalog.
type Node struct {
	ID              string // a UUID; empty for a node registered by hand
	Node            string // its name
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string // "lan", "wan", "lan_ipv4", ...
	Meta            map[string]string
	Partition       string `json:",omitempty"`
	PeerName        string `json:",omitempty"`
	CreateIndex     uint64
	ModifyIndex     uint64
}

// Locality is where something runs, for preferring what is near.
type Locality struct {
	Region string `json:",omitempty"`
	Zone   string `json:",omitempty"`
}

// Registration is the body of /v1/catalog/register: a node, and what to register with it.
type Registration struct {
	ID              string `json:",omitempty"`
	Node            string
	Address         string
	Datacenter      string            `json:",omitempty"`
	TaggedAddresses map[string]string `json:",omitempty"`
	NodeMeta        map[string]string `json:",omitempty"`
	Service         *Service          `json:",omitempty"`
	Check           *Check            `json:",omitempty"`
	Checks          []Check           `json:",omitempty"`
	Locality        *Locality         `json:",omitempty"`
	SkipNodeUpdate  bool              `json:",omitempty"`
	Namespace       string            `json:",omitempty"`
	Partition       string            `json:",omitempty"`
	PeerName        string            `json:",omitempty"`
}

// Deregistration is the body of /v1/catalog/deregister: a node, or only one service or check of it.
type Deregistration struct {
	Node       string
	Datacenter string `json:",omitempty"`
	ServiceID  string `json:",omitempty"`
	CheckID    string `json:",omitempty"`
	Namespace  string `json:",omitempty"`
	Partition  string `json:",omitempty"`
	PeerName   string `json:",omitempty"`
}

// NodeServices is a node with its services by id. Node is nil when there is no such node.
type NodeServices struct {
	Node     *Node
	Services map[string]Service
}

// NodeServiceList is a node with its services in order. Node is nil when there is no such node.
type NodeServiceList struct {
	Node     *Node
	Services []Service
}
