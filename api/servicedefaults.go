package api

// ServiceDefaults holds what is true of all instances of a service: above all its protocol.
type ServiceDefaults struct {
	Kind                      string
	Name                      string
	Protocol                  string // "tcp", "http", "http2" or "grpc"; empty: as the proxy defaults say, else tcp
	Mode                      string `json:",omitempty"`
	TransparentProxy          TransparentProxy
	MutualTLSMode             string `json:",omitempty"`
	MeshGateway               MeshGateway
	Expose                    Expose
	ExternalSNI               string               `json:",omitempty"`
	UpstreamConfig            *UpstreamConfig      `json:",omitempty"`
	Destination               *ExternalDestination `json:",omitempty"`
	MaxInboundConnections     int                  `json:",omitempty"`
	LocalConnectTimeoutMs     int                  `json:",omitempty"`
	LocalRequestTimeoutMs     int                  `json:",omitempty"`
	BalanceInboundConnections string               `json:",omitempty"`
	MaxRequestHeadersKB       *uint32              `json:",omitempty"`
	RateLimits                *RateLimits          `json:",omitempty"`
	EnvoyExtensions           []EnvoyExtension     `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "service-defaults".
func (*ServiceDefaults) EntryKind() string { return KindServiceDefaults }

// EntryName returns the name of the service.
func (e *ServiceDefaults) EntryName() string { return e.Name }

// UpstreamConfig says how the service's proxies treat its upstreams: all of them, and single ones.
type UpstreamConfig struct {
	Overrides []UpstreamSettings `json:",omitempty"`
	Defaults  *UpstreamSettings  `json:",omitempty"`
}

// UpstreamSettings are the settings of one upstream, or of all when it has no name.
type UpstreamSettings struct {
	Name                       string `json:",omitempty"`
	Namespace                  string `json:",omitempty"`
	Partition                  string `json:",omitempty"`
	Peer                       string
	EnvoyListenerJSON          string              `json:",omitempty"`
	EnvoyClusterJSON           string              `json:",omitempty"`
	Protocol                   string              `json:",omitempty"`
	ConnectTimeoutMs           int                 `json:",omitempty"`
	Limits                     *UpstreamLimits     `json:",omitempty"`
	PassiveHealthCheck         *PassiveHealthCheck `json:",omitempty"`
	MeshGateway                MeshGateway
	BalanceOutboundConnections string `json:",omitempty"`
}

// UpstreamLimits bound what a proxy opens towards an upstream; nil leaves Envoy's default.
type UpstreamLimits struct {
	MaxConnections        *int `json:",omitempty"`
	MaxPendingRequests    *int `json:",omitempty"`
	MaxConcurrentRequests *int `json:",omitempty"`
}

// PassiveHealthCheck ejects instances by the errors that calls to them meet.
type PassiveHealthCheck struct {
	Interval                Nanoseconds  `json:",omitempty"`
	MaxFailures             uint32       `json:",omitempty"`
	EnforcingConsecutive5xx *uint32      `json:",omitempty"`
	MaxEjectionPercent      *uint32      `json:",omitempty"`
	BaseEjectionTime        *Nanoseconds `json:",omitempty"`
}

// ExternalDestination is where a service outside the mesh is reached.
type ExternalDestination struct {
	Addresses []string `json:",omitempty"`
	Port      int      `json:",omitempty"`
}

// RateLimits bound what a service's instances accept.
type RateLimits struct {
	InstanceLevel InstanceLevelRateLimits
}

// InstanceLevelRateLimits bound one instance, and single routes of it.
type InstanceLevelRateLimits struct {
	RequestsPerSecond int                       `json:",omitempty"`
	RequestsMaxBurst  int                       `json:",omitempty"`
	Routes            []InstanceLevelRouteLimit `json:",omitempty"`
}

// InstanceLevelRouteLimit bounds the requests whose path matches.
type InstanceLevelRouteLimit struct {
	PathExact         string `json:",omitempty"`
	PathPrefix        string `json:",omitempty"`
	PathRegex         string `json:",omitempty"`
	RequestsPerSecond int    `json:",omitempty"`
	RequestsMaxBurst  int    `json:",omitempty"`
}
