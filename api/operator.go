package api

// Usage is how much is in the catalog, by datacenter.
type Usage struct {
	Usage map[string]ServiceUsage
}

// ServiceUsage counts what one datacenter's catalog holds.
type ServiceUsage struct {
	Nodes            int
	Services         int
	ServiceInstances int
	// ConnectServiceInstances counts the instances that take part in the mesh, by kind; "connect-native" are those that speak
	// mTLS themselves.
	ConnectServiceInstances map[string]int
	// BillableServiceInstances counts the instances of services proper, without proxies, gateways and the servers.
	BillableServiceInstances int
}

// KeyringResponse is what the members of one pool say of the keys that encrypt their gossip.
type KeyringResponse struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"` // by node, from those that object
	Keys        map[string]int    // how many members know the key, in base64
	PrimaryKeys map[string]int    // how many encrypt by it
	NumNodes    int
}
