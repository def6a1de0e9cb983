package api

import "time"

// The actions of an intention, the source type, and the name that matches every service.
const (
	Allow         = "allow"
	Deny          = "deny"
	SourceConsul  = "consul" // a service of the mesh, the only type there is
	Wildcard      = "*"
	DefaultTenant = "default" // how the default namespace and partition are written
)

// Intention is one rule, who may connect to whom, in the shape of the intention API. It is a view of one source of a
// ServiceIntentions entry. ID, CreatedAt, UpdatedAt, Hash and Meta are there only if it was made by id.
type Intention struct {
	ID                   string `json:",omitempty"`
	Description          string `json:",omitempty"`
	SourceNS             string
	SourceName           string
	SourcePartition      string `json:",omitempty"`
	SourcePeer           string `json:",omitempty"`
	DestinationNS        string
	DestinationName      string
	DestinationPartition string `json:",omitempty"`
	SourceType           string
	Action               string                `json:",omitempty"` // empty when there are Permissions
	Permissions          []IntentionPermission `json:",omitempty"`
	Meta                 map[string]string     `json:",omitempty"`
	Precedence           int
	CreatedAt            time.Time `json:",omitzero"`
	UpdatedAt            time.Time `json:",omitzero"`
	Hash                 []byte    `json:",omitempty"`
	CreateIndex          uint64
	ModifyIndex          uint64
}

// IntentionPermission allows or denies the HTTP requests that it matches.
type IntentionPermission struct {
	Action string
	HTTP   *IntentionHTTP `json:",omitempty"`
	JWT    *IntentionJWT  `json:",omitempty"`
}

// IntentionHTTP matches requests: at most one of the paths, one of the methods, and all headers.
type IntentionHTTP struct {
	PathExact  string                `json:",omitempty"`
	PathPrefix string                `json:",omitempty"`
	PathRegex  string                `json:",omitempty"`
	Header     []IntentionHTTPHeader `json:",omitempty"`
	Methods    []string              `json:",omitempty"`
}

// IntentionHTTPHeader matches one header in exactly one way, or, inverted, whatever that way does not match.
type IntentionHTTPHeader struct {
	Name       string
	Present    bool   `json:",omitempty"`
	Exact      string `json:",omitempty"`
	Prefix     string `json:",omitempty"`
	Suffix     string `json:",omitempty"`
	Contains   string `json:",omitempty"`
	Regex      string `json:",omitempty"`
	Invert     bool   `json:",omitempty"`
	IgnoreCase bool   `json:",omitempty"`
}

// IntentionJWT asks for a token of one of the providers.
type IntentionJWT struct {
	Providers []IntentionJWTProvider `json:",omitempty"`
}

// IntentionJWTProvider names a provider, and claims that its token must hold.
type IntentionJWTProvider struct {
	Name         string              `json:",omitempty"`
	VerifyClaims []IntentionJWTClaim `json:",omitempty"`
}

// IntentionJWTClaim is a claim and the value it must have.
type IntentionJWTClaim struct {
	Path  []string `json:",omitempty"`
	Value string   `json:",omitempty"`
}
