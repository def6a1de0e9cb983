package api

// PreparedQuery is a question about instances of a service that is kept by the servers and asked by name or id. A template
// answers for every name that begins with its own.
type PreparedQuery struct {
	ID       string
	Name     string
	Session  string // with which the query goes; empty: it stays
	Token    string // by which it is carried out; empty: that of whoever asks
	Template QueryTemplate
	Service  ServiceQuery
	DNS      QueryDNS

	CreateIndex uint64
	ModifyIndex uint64
}

// QueryTemplate makes a query a template, whose service's texts may hold ${...}.
type QueryTemplate struct {
	Type            string // empty: no template
	Regexp          string // matched with the name that is asked for; its groups are ${match(1)} and so on
	RemoveEmptyTags bool
}

// QueryNamePrefixMatch is the only type of a template.
const QueryNamePrefixMatch = "name_prefix_match"

// ServiceQuery says which instances a prepared query finds.
type ServiceQuery struct {
	Service        string
	SamenessGroup  string
	Namespace      string `json:",omitempty"`
	Partition      string `json:",omitempty"`
	Peer           string
	Failover       QueryFailover
	OnlyPassing    bool
	IgnoreCheckIDs []string
	Near           string // a node's name, or "_agent": that of the asking agent
	Tags           []string
	NodeMeta       map[string]string
	ServiceMeta    map[string]string
	Connect        bool
}

// QueryFailover says where to look when there is no instance here.
type QueryFailover struct {
	NearestN    int
	Datacenters []string
	Targets     []QueryTarget
}

// QueryTarget is a place to look in.
type QueryTarget struct {
	Peer       string
	Datacenter string
	Partition  string `json:",omitempty"`
	Namespace  string `json:",omitempty"`
}

// QueryDNS says how a query is answered by DNS.
type QueryDNS struct {
	TTL string // such as "10s"; empty: the service's
}

// QueryResult is what a prepared query found.
type QueryResult struct {
	Service    string
	Nodes      []ServiceEntry
	DNS        QueryDNS
	Datacenter string // in which the instances are
	Failovers  int    // how many other places were asked before
}
