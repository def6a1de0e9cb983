package api

// ProxyDefaults holds what is true of all proxies. There is one entry, named "global".
type ProxyDefaults struct {
	Kind                 string
	Name                 string
	Config               map[string]any `json:",omitempty"`
	Mode                 string         `json:",omitempty"`
	TransparentProxy     TransparentProxy
	MutualTLSMode        string `json:",omitempty"`
	MeshGateway          MeshGateway
	Expose               Expose
	AccessLogs           AccessLogs            `json:",omitzero"`
	EnvoyExtensions      []EnvoyExtension      `json:",omitempty"`
	FailoverPolicy       *FailoverPolicy       `json:",omitempty"`
	PrioritizeByLocality *PrioritizeByLocality `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "proxy-defaults".
func (*ProxyDefaults) EntryKind() string { return KindProxyDefaults }

// EntryName returns the entry's name, "global" in a valid entry.
func (e *ProxyDefaults) EntryName() string { return e.Name }

// FailoverPolicy tells in which order instances elsewhere are used.
type FailoverPolicy struct {
	Mode    string   `json:",omitempty"` // "", "sequential" or "order-by-locality"
	Regions []string `json:",omitempty"`
}

// PrioritizeByLocality tells whether near instances are preferred.
type PrioritizeByLocality struct {
	Mode string `json:",omitempty"` // "", "none" or "failover"
}
