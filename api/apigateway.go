package api

import "time"

// APIGateway describes the listeners of a gateway, to which routes attach themselves.
type APIGateway struct {
	Kind      string
	Name      string
	Listeners []APIGatewayListener
	Defaults  *UpstreamLimits `json:",omitempty"`
	Status    EntryStatus
	EntryCommon
}

// EntryKind returns "api-gateway".
func (*APIGateway) EntryKind() string { return KindAPIGateway }

// EntryName returns the name of the gateway.
func (e *APIGateway) EntryName() string { return e.Name }

// APIGatewayListener is a port of the gateway.
type APIGatewayListener struct {
	Name                string
	Hostname            string
	Port                int
	Protocol            string // "http" or "tcp"
	TLS                 APIGatewayTLS
	Override            *APIGatewayPolicy `json:",omitempty"`
	Default             *APIGatewayPolicy `json:",omitempty"`
	MaxRequestHeadersKB *uint32           `json:",omitempty"`
}

// APIGatewayTLS names the certificates of a listener, and bounds what its TLS connections may use.
type APIGatewayTLS struct {
	Certificates []EntryReference
	SDS          *GatewaySDS `json:",omitempty"`
	MaxVersion   string      `alias:"TLSMaxVersion"`
	MinVersion   string      `alias:"TLSMinVersion"`
	CipherSuites []string
}

// APIGatewayPolicy asks for tokens of JWT providers.
type APIGatewayPolicy struct {
	JWT *IntentionJWT `json:",omitempty"`
}

// BoundAPIGateway shows which routes and certificates each listener of the API gateway of its name has. The servers keep it;
// it is not written by others.
type BoundAPIGateway struct {
	Kind      string
	Name      string
	Listeners []BoundListener
	Services  map[string][]EntryReference // by service, the routes that lead to it
	EntryCommon
}

// EntryKind returns "bound-api-gateway".
func (*BoundAPIGateway) EntryKind() string { return KindBoundAPIGateway }

// EntryName returns the name of the gateway.
func (e *BoundAPIGateway) EntryName() string { return e.Name }

// BoundListener is what one listener has.
type BoundListener struct {
	Name         string
	Routes       []EntryReference
	Certificates []EntryReference
}

// EntryReference names another config entry, and a part of it: for a gateway, a listener.
type EntryReference struct {
	Kind        string
	Name        string
	SectionName string
	Partition   string `json:",omitempty"`
	Namespace   string `json:",omitempty"`
}

// EntryStatus is what the servers made of an entry.
type EntryStatus struct {
	Conditions []EntryCondition
}

// EntryCondition is one thing that holds of an entry or not, and why.
type EntryCondition struct {
	Type               string
	Status             string // "True" or "False"
	Reason             string
	Message            string
	Resource           EntryReference
	LastTransitionTime time.Time // since when it is so
}
