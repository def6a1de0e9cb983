package api

// ServiceRouter sends the HTTP requests to the service of its name to one destination or another. The first route that
// matches decides; what none matches goes to the service itself.
type ServiceRouter struct {
	Kind   string
	Name   string
	Routes []ServiceRoute `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "service-router".
func (*ServiceRouter) EntryKind() string { return KindServiceRouter }

// EntryName returns the name of the service.
func (e *ServiceRouter) EntryName() string { return e.Name }

// ServiceRoute says which requests go where. Without a Match it takes all; without a Destination, to the service itself.
type ServiceRoute struct {
	Match       *RouteMatch       `json:",omitempty"`
	Destination *RouteDestination `json:",omitempty"`
}

// RouteMatch selects requests.
type RouteMatch struct {
	HTTP *RouteHTTPMatch `json:",omitempty"`
}

// RouteHTTPMatch selects requests for which everything holds that it names: at most one of the paths, all headers, all query
// parameters, one of the methods.
type RouteHTTPMatch struct {
	PathExact       string             `json:",omitempty"`
	PathPrefix      string             `json:",omitempty"`
	PathRegex       string             `json:",omitempty"` // RE2, of the whole path
	CaseInsensitive bool               `json:",omitempty"` // of the path
	Header          []RouteHeaderMatch `json:",omitempty"`
	QueryParam      []RouteQueryMatch  `json:",omitempty"`
	Methods         []string           `json:",omitempty"`
}

// RouteHeaderMatch matches one header in exactly one way, or, inverted, whatever that way does not match.
type RouteHeaderMatch struct {
	Name    string
	Present bool   `json:",omitempty"`
	Exact   string `json:",omitempty"`
	Prefix  string `json:",omitempty"`
	Suffix  string `json:",omitempty"`
	Regex   string `json:",omitempty"`
	Invert  bool   `json:",omitempty"`
}

// RouteQueryMatch matches one query parameter in exactly one way.
type RouteQueryMatch struct {
	Name    string
	Present bool   `json:",omitempty"`
	Exact   string `json:",omitempty"`
	Regex   string `json:",omitempty"`
}

// RouteDestination is where requests go, how they are changed on the way, and what is done when that fails.
type RouteDestination struct {
	Service               string           `json:",omitempty"` // empty: the service of the router
	ServiceSubset         string           `json:",omitempty"`
	Namespace             string           `json:",omitempty"`
	Partition             string           `json:",omitempty"`
	PrefixRewrite         string           `json:",omitempty"` // in place of the path or prefix that matched
	RequestTimeout        Duration         `json:",omitempty"`
	IdleTimeout           Duration         `json:",omitempty"`
	NumRetries            uint32           `json:",omitempty"`
	RetryOnConnectFailure bool             `json:",omitempty"`
	RetryOnStatusCodes    []uint32         `json:",omitempty"`
	RetryOn               []string         `json:",omitempty"`
	RequestHeaders        *HeaderModifiers `json:",omitempty"`
	ResponseHeaders       *HeaderModifiers `json:",omitempty"`
}

// HeaderModifiers changes headers: first those of Set are set, then those of Add added, then those of Remove removed.
type HeaderModifiers struct {
	Add    map[string]string `json:",omitempty"`
	Set    map[string]string `json:",omitempty"`
	Remove []string          `json:",omitempty"`
}
