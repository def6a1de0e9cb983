package api

// ServiceResolver says which instances answer for the service of its name, and which when those fail.
type ServiceResolver struct {
	Kind                 string
	Name                 string
	DefaultSubset        string                      `json:",omitempty"`
	Subsets              map[string]Subset           `json:",omitempty"`
	Redirect             *ResolverRedirect           `json:",omitempty"`
	Failover             map[string]ResolverFailover `json:",omitempty"` // by subset; "*" is for the others
	ConnectTimeout       Duration                    `json:",omitempty"`
	RequestTimeout       Duration                    `json:",omitempty"`
	PrioritizeByLocality *PrioritizeByLocality       `json:",omitempty"`
	LoadBalancer         *LoadBalancer               `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "service-resolver".
func (*ServiceResolver) EntryKind() string { return KindServiceResolver }

// EntryName returns the name of the service.
func (e *ServiceResolver) EntryName() string { return e.Name }

// ResolverRedirect has something else answer for the service altogether. What it leaves empty stays as it is.
type ResolverRedirect struct {
	Service       string `json:",omitempty"`
	ServiceSubset string `json:",omitempty"`
	Namespace     string `json:",omitempty"`
	Partition     string `json:",omitempty"`
	Datacenter    string `json:",omitempty"`
	Peer          string `json:",omitempty"`
	SamenessGroup string `json:",omitempty"`
}

// ResolverFailover says who answers when no instance is healthy: one service, here or in other datacenters, or a list of
// targets.
type ResolverFailover struct {
	Service       string           `json:",omitempty"`
	ServiceSubset string           `json:",omitempty"`
	Namespace     string           `json:",omitempty"`
	Datacenters   []string         `json:",omitempty"`
	Targets       []FailoverTarget `json:",omitempty"`
	Policy        *FailoverPolicy  `json:",omitempty"`
	SamenessGroup string           `json:",omitempty"`
}

// FailoverTarget is one step of a failover. What it leaves empty stays as it is.
type FailoverTarget struct {
	Service       string `json:",omitempty"`
	ServiceSubset string `json:",omitempty"`
	Partition     string `json:",omitempty"`
	Namespace     string `json:",omitempty"`
	Datacenter    string `json:",omitempty"`
	Peer          string `json:",omitempty"`
}

// The policies by which an instance is chosen; an empty one leaves it to Envoy, which takes round robin.
const (
	BalanceRandom       = "random"
	BalanceRoundRobin   = "round_robin"
	BalanceLeastRequest = "least_request"
	BalanceRingHash     = "ring_hash"
	BalanceMaglev       = "maglev"
)

// LoadBalancer says how an instance is chosen for a request.
type LoadBalancer struct {
	Policy             string              `json:",omitempty"`
	RingHashConfig     *RingHashConfig     `json:",omitempty"`
	LeastRequestConfig *LeastRequestConfig `json:",omitempty"`
	HashPolicies       []HashPolicy        `json:",omitempty"`
}

// RingHashConfig bounds the size of the ring; 0 leaves a bound to Envoy.
type RingHashConfig struct {
	MinimumRingSize uint64 `json:",omitempty"`
	MaximumRingSize uint64 `json:",omitempty"`
}

// LeastRequestConfig says among how many instances, chosen at random, the one with the fewest requests is taken.
type LeastRequestConfig struct {
	ChoiceCount uint32 `json:",omitempty"`
}

// The parts of a request that can be hashed.
const (
	HashHeader = "header"
	HashCookie = "cookie"
	HashQuery  = "query_parameter"
)

// HashPolicy says what of a request is hashed: a field with a name, or where it came from.
type HashPolicy struct {
	Field        string        `json:",omitempty"`
	FieldValue   string        `json:",omitempty"` // the name of the header, cookie or parameter
	CookieConfig *CookieConfig `json:",omitempty"`
	SourceIP     bool          `json:",omitempty"`
	Terminal     bool          `json:",omitempty"` // no further policy is used once this one gave a hash
}

// CookieConfig has a cookie made where a request has none: for the session, or for a time.
type CookieConfig struct {
	Session bool        `json:",omitempty"`
	TTL     Nanoseconds `json:",omitempty"`
	Path    string      `json:",omitempty"`
}
