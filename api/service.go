package api

// The kinds of service; a plain service has none.
const (
	KindTypical            = ""
	KindConnectProxy       = "connect-proxy"
	KindMeshGateway        = "mesh-gateway"
	KindTerminatingGateway = "terminating-gateway"
	KindIngressGateway     = "ingress-gateway"
	KindAPIGateway         = "api-gateway"
)

// Service is one instance of a service as the catalog keeps it and as catalog and health answers show it.
type Service struct {
	Kind              string `json:",omitempty"`
	ID                string // unique on its node
	Service           string // the name by which it is found
	Tags              []string
	Address           string                    // empty: the node's
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int
	SocketPath        string `json:",omitempty"`
	Weights           Weights
	EnableTagOverride bool
	Proxy             *Proxy    // never nil in a normalised service
	Connect           *Connect  // never nil in a normalised service
	Locality          *Locality `json:",omitempty"`
	Namespace         string    `json:",omitempty"`
	Partition         string    `json:",omitempty"`
	PeerName          string
	CreateIndex       uint64
	ModifyIndex       uint64
}

// ServiceAddress is one of a service's tagged addresses.
type ServiceAddress struct {
	Address string
	Port    int
}

// Weights are an instance's shares of traffic by its health.
type Weights struct {
	Passing int
	Warning int
}

// Connect tells that a service speaks mTLS itself or, in a definition, that it wants a sidecar.
type Connect struct {
	Native         bool               `json:",omitempty"`
	SidecarService *ServiceDefinition `json:",omitempty"`
}

// Normalized returns the service with what the API always shows filled in: an id (the name), weights of one, and empty
// lists and objects in place of absent ones, but for the metadata. It does not write to anything that s refers to.
func (s Service) Normalized() Service {
	if s.ID == "" {
		s.ID = s.Service
	}
	if s.Tags == nil {
		s.Tags = []string{}
	}
	if s.Weights == (Weights{}) {
		s.Weights = Weights{Passing: 1, Warning: 1}
	}
	if s.Proxy == nil {
		s.Proxy = &Proxy{}
	}
	if s.Connect == nil {
		s.Connect = &Connect{}
	}
	return s
}

// IsProxy tells whether the instance is a proxy or gateway, which has a proxy configuration to show.
func (s *Service) IsProxy() bool { return s.Kind != KindTypical }

// ServiceEntry is an instance with its node and all checks that concern it: an element of a health answer.
type ServiceEntry struct {
	Node    Node
	Service Service
	Checks  []Check
}

// CatalogService is an instance and its node in one flat object, as /v1/catalog/service answers.
type CatalogService struct {
	ID                       string // of the node
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	ServiceWeights           Weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             *Proxy
	ServiceConnect           *Connect
	ServiceLocality          *Locality
	Namespace                string `json:",omitempty"`
	Partition                string `json:",omitempty"`
	PeerName                 string `json:",omitempty"`
	CreateIndex              uint64
	ModifyIndex              uint64
}

// NewCatalogService joins an instance and its node. The indexes are the instance's. Maps and slices are shared. An instance without
// metadata has empty metadata here, unlike in other answers.
func NewCatalogService(n *Node, s *Service) CatalogService {
	meta := s.Meta
	if meta == nil {
		meta = map[string]string{}
	}
	return CatalogService{
		ID:                       n.ID,
		Node:                     n.Node,
		Address:                  n.Address,
		Datacenter:               n.Datacenter,
		TaggedAddresses:          n.TaggedAddresses,
		NodeMeta:                 n.Meta,
		ServiceKind:              s.Kind,
		ServiceID:                s.ID,
		ServiceName:              s.Service,
		ServiceTags:              s.Tags,
		ServiceAddress:           s.Address,
		ServiceTaggedAddresses:   s.TaggedAddresses,
		ServiceWeights:           s.Weights,
		ServiceMeta:              meta,
		ServicePort:              s.Port,
		ServiceSocketPath:        s.SocketPath,
		ServiceEnableTagOverride: s.EnableTagOverride,
		ServiceProxy:             s.Proxy,
		ServiceConnect:           s.Connect,
		ServiceLocality:          s.Locality,
		Namespace:                s.Namespace,
		Partition:                s.Partition,
		PeerName:                 s.PeerName,
		CreateIndex:              s.CreateIndex,
		ModifyIndex:              s.ModifyIndex,
	}
}

// AgentService is an instance as the agent's own endpoints show it.
type AgentService struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	SocketPath        string `json:",omitempty"`
	Address           string
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Weights           Weights
	EnableTagOverride bool
	ContentHash       string      `json:",omitempty"` // only in the answer for one service
	Proxy             *AgentProxy `json:",omitempty"`
	Connect           *Connect    `json:",omitempty"`
	Locality          *Locality   `json:",omitempty"`
	Namespace         string      `json:",omitempty"`
	Partition         string      `json:",omitempty"`
	PeerName          string      `json:",omitempty"`
	Datacenter        string      `json:",omitempty"`
}

// NewAgentService shows an instance the agent's way: a proxy configuration only where there is a proxy, and the
// connect object only where it says something. Maps and slices are shared.
func NewAgentService(s *Service, datacenter string) AgentService {
	s2 := s.Normalized()
	a := AgentService{
		Kind:              s2.Kind,
		ID:                s2.ID,
		Service:           s2.Service,
		Tags:              s2.Tags,
		Meta:              s2.Meta,
		Port:              s2.Port,
		SocketPath:        s2.SocketPath,
		Address:           s2.Address,
		TaggedAddresses:   s2.TaggedAddresses,
		Weights:           s2.Weights,
		EnableTagOverride: s2.EnableTagOverride,
		Locality:          s2.Locality,
		Namespace:         s2.Namespace,
		Partition:         s2.Partition,
		PeerName:          s2.PeerName,
		Datacenter:        datacenter,
	}
	if a.Meta == nil {
		a.Meta = map[string]string{}
	}
	if s2.IsProxy() {
		a.Proxy = newAgentProxy(s2.Proxy)
	}
	if s2.Connect.Native {
		a.Connect = &Connect{Native: true}
	}
	return a
}

// AsService is the way back: the instance that an agent's answer shows. Maps and slices are shared.
func (a *AgentService) AsService() Service {
	s := Service{
		Kind:              a.Kind,
		ID:                a.ID,
		Service:           a.Service,
		Tags:              a.Tags,
		Meta:              a.Meta,
		Port:              a.Port,
		SocketPath:        a.SocketPath,
		Address:           a.Address,
		TaggedAddresses:   a.TaggedAddresses,
		Weights:           a.Weights,
		EnableTagOverride: a.EnableTagOverride,
		Connect:           a.Connect,
		Locality:          a.Locality,
		Namespace:         a.Namespace,
		Partition:         a.Partition,
		PeerName:          a.PeerName,
	}
	if a.Proxy != nil {
		s.Proxy = a.Proxy.asProxy()
	}
	return s.Normalized()
}
