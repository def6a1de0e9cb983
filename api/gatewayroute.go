package api

// HTTPRoute sends the HTTP requests to the gateways' listeners that are its parents to services.
type HTTPRoute struct {
	Kind      string
	Name      string
	Parents   []EntryReference
	Rules     []HTTPRouteRule
	Hostnames []string
	Status    EntryStatus
	EntryCommon
}

// EntryKind returns "http-route".
func (*HTTPRoute) EntryKind() string { return KindHTTPRoute }

// EntryName returns the name of the route.
func (e *HTTPRoute) EntryName() string { return e.Name }

// HTTPRouteRule says which requests go where. Without Matches it takes all.
type HTTPRouteRule struct {
	Filters         HTTPRouteFilters
	ResponseFilters HTTPRouteResponseFilters
	Matches         []HTTPRouteMatch
	Services        []HTTPRouteService
}

// HTTPRouteMatch selects requests for which everything holds that it names.
type HTTPRouteMatch struct {
	Headers []HTTPRouteValueMatch
	Method  string
	Path    HTTPRoutePathMatch
	Query   []HTTPRouteValueMatch
}

// HTTPRouteValueMatch matches one header or one query parameter.
type HTTPRouteValueMatch struct {
	Match string // "exact", "present" or "regex"; for a header also "prefix" and "suffix"
	Name  string
	Value string
}

// HTTPRoutePathMatch matches the path.
type HTTPRoutePathMatch struct {
	Match string // "exact", "prefix" or "regex"
	Value string
}

// HTTPRouteFilters changes requests, and says what is done when one fails.
type HTTPRouteFilters struct {
	Headers       []HTTPRouteHeaders
	URLRewrite    *HTTPRouteRewrite
	RetryFilter   *HTTPRouteRetry
	TimeoutFilter *HTTPRouteTimeout
	JWT           *IntentionJWT
}

// HTTPRouteResponseFilters changes responses.
type HTTPRouteResponseFilters struct {
	Headers []HTTPRouteHeaders
}

// HTTPRouteHeaders changes headers.
type HTTPRouteHeaders struct {
	Add    map[string]string
	Remove []string
	Set    map[string]string
}

// HTTPRouteRewrite puts a path in place of the one that matched.
type HTTPRouteRewrite struct {
	Path string
}

// HTTPRouteRetry says when, and how often, a request is tried again.
type HTTPRouteRetry struct {
	NumRetries            uint32
	RetryOn               []string
	RetryOnStatusCodes    []uint32
	RetryOnConnectFailure bool
}

// HTTPRouteTimeout bounds how long a request may take.
type HTTPRouteTimeout struct {
	RequestTimeout Nanoseconds
	IdleTimeout    Nanoseconds
}

// HTTPRouteService is a service, and its share of the requests beside that of others.
type HTTPRouteService struct {
	Name            string
	Weight          int
	Filters         HTTPRouteFilters
	ResponseFilters HTTPRouteResponseFilters
	TLS             *GatewayServiceTLS `json:",omitempty"`
	Limits          *UpstreamLimits    `json:",omitempty"`
	Partition       string             `json:",omitempty"`
	Namespace       string             `json:",omitempty"`
}

// TCPRoute sends the connections to the gateways' listeners that are its parents to a service.
type TCPRoute struct {
	Kind     string
	Name     string
	Parents  []EntryReference
	Services []TCPRouteService
	Status   EntryStatus
	EntryCommon
}

// EntryKind returns "tcp-route".
func (*TCPRoute) EntryKind() string { return KindTCPRoute }

// EntryName returns the name of the route.
func (e *TCPRoute) EntryName() string { return e.Name }

// TCPRouteService is the service of a TCP route.
type TCPRouteService struct {
	Name      string
	TLS       *GatewayServiceTLS `json:",omitempty"`
	Limits    *UpstreamLimits    `json:",omitempty"`
	Partition string             `json:",omitempty"`
	Namespace string             `json:",omitempty"`
}
