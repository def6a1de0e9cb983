package api

import "time"

// ServiceIntentions says who may connect to the service of its name.
type ServiceIntentions struct {
	Kind    string
	Name    string
	Sources []SourceIntention
	JWT     *IntentionJWT `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "service-intentions".
func (*ServiceIntentions) EntryKind() string { return KindServiceIntentions }

// EntryName returns the name of the destination, or "*".
func (e *ServiceIntentions) EntryName() string { return e.Name }

// SourceIntention is one source and what it may do. The legacy fields hold what only the intention API by id knows.
type SourceIntention struct {
	Name             string
	Action           string                `json:",omitempty"`
	Permissions      []IntentionPermission `json:",omitempty"`
	Precedence       int
	Type             string
	Description      string            `json:",omitempty"`
	LegacyID         string            `json:",omitempty"`
	LegacyMeta       map[string]string `json:",omitempty"`
	LegacyCreateTime time.Time         `json:",omitzero"`
	LegacyUpdateTime time.Time         `json:",omitzero"`
	Namespace        string            `json:",omitempty"`
	Partition        string            `json:",omitempty"`
	Peer             string            `json:",omitempty"`
	SamenessGroup    string            `json:",omitempty"`
}
