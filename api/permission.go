package api

// Access is what somebody wants to do with a resource.
type Access string

// The kinds of access. List is for a whole subtree at once (keys), which may be granted apart from reading each.
const (
	Read  Access = "read"
	Write Access = "write"
	List  Access = "list"
)

// Permission names one thing that must be allowed: access to the resource of this kind and name. An empty name asks for the
// kind as a whole, as for "operator".
type Permission struct {
	Resource string // "service", "node", "key", "session", "intention", "operator", "agent", ...
	Name     string
	Access   Access
}

// Decision is an answer to "may this happen?", with the rule that decided and why, for logs, headers and refusals.
type Decision struct {
	Allowed bool
	Rule    string `json:",omitempty"` // stable id of the rule, empty when a default decided
	Why     string `json:",omitempty"` // one line for people
}

// Tenant is the outer part of every row's key. The zero value is the default tenant, the only one in a
// datacenter that uses no partitions, namespaces or peers.
type Tenant struct {
	Peer      string `json:",omitempty"`
	Partition string `json:",omitempty"`
	Namespace string `json:",omitempty"`
}
