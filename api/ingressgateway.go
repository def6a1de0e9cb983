package api

// IngressGateway lets callers outside the mesh reach services in it, on the listeners of the gateway of its name.
type IngressGateway struct {
	Kind      string
	Name      string
	TLS       GatewayTLS
	Defaults  *IngressDefaults `json:",omitempty"`
	Listeners []IngressListener
	EntryCommon
}

// EntryKind returns "ingress-gateway".
func (*IngressGateway) EntryKind() string { return KindIngressGateway }

// EntryName returns the name of the gateway.
func (e *IngressGateway) EntryName() string { return e.Name }

// GatewayTLS says whether a gateway's listeners speak TLS, and how.
type GatewayTLS struct {
	Enabled       bool
	SDS           *GatewaySDS `json:",omitempty"`
	TLSMinVersion string      `json:",omitempty"`
	TLSMaxVersion string      `json:",omitempty"`
	CipherSuites  []string    `json:",omitempty"`
}

// GatewayServiceTLS says which certificate a gateway shows for one service.
type GatewayServiceTLS struct {
	SDS *GatewaySDS `json:",omitempty"`
}

// GatewaySDS has a certificate fetched from a secret discovery service of the operator's own.
type GatewaySDS struct {
	ClusterName  string `json:",omitempty"`
	CertResource string `json:",omitempty"`
}

// IngressDefaults bound what a gateway opens towards each service.
type IngressDefaults struct {
	MaxConnections        *uint32             `json:",omitempty"`
	MaxPendingRequests    *uint32             `json:",omitempty"`
	MaxConcurrentRequests *uint32             `json:",omitempty"`
	PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
}

// IngressListener is a port of the gateway, and the services behind it.
type IngressListener struct {
	Port     int
	Protocol string
	Services []IngressService
	TLS      *GatewayTLS `json:",omitempty"`
}

// IngressService is a service behind a listener; several share one by their hosts.
type IngressService struct {
	Name                  string
	Hosts                 []string
	Namespace             string              `json:",omitempty"`
	Partition             string              `json:",omitempty"`
	TLS                   *GatewayServiceTLS  `json:",omitempty"`
	RequestHeaders        *HeaderModifiers    `json:",omitempty"`
	ResponseHeaders       *HeaderModifiers    `json:",omitempty"`
	MaxConnections        *uint32             `json:",omitempty"`
	MaxPendingRequests    *uint32             `json:",omitempty"`
	MaxConcurrentRequests *uint32             `json:",omitempty"`
	PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
}
