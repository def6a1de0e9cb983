package api

// SamenessGroup is a list of places in which services of one name are the same service.
type SamenessGroup struct {
	Kind               string
	Name               string
	DefaultForFailover bool `json:",omitempty"`
	IncludeLocal       bool `json:",omitempty"`
	Members            []SamenessGroupMember
	EntryCommon
}

// EntryKind returns "sameness-group".
func (*SamenessGroup) EntryKind() string { return KindSamenessGroup }

// EntryName returns the name of the group.
func (e *SamenessGroup) EntryName() string { return e.Name }

// SamenessGroupMember is one place: a partition or a peer.
type SamenessGroupMember struct {
	Partition string `json:",omitempty"`
	Peer      string `json:",omitempty"`
}
