package api

// MeshEntry holds what is true of the whole mesh. There is one entry, named "mesh"; the name is not written.
type MeshEntry struct {
	Kind                             string
	TransparentProxy                 MeshTransparentProxy
	AllowEnablingPermissiveMutualTLS bool         `json:",omitempty"`
	ValidateClusters                 bool         `json:",omitempty"`
	TLS                              *MeshTLS     `json:",omitempty"`
	HTTP                             *MeshHTTP    `json:",omitempty"`
	Peering                          *MeshPeering `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "mesh".
func (*MeshEntry) EntryKind() string { return KindMesh }

// EntryName returns "mesh".
func (*MeshEntry) EntryName() string { return MeshEntryName }

// MeshTransparentProxy says whether proxies in transparent mode let through what is not of the mesh.
type MeshTransparentProxy struct {
	MeshDestinationsOnly bool
}

// MeshTLS bounds what the mesh's TLS connections may use.
type MeshTLS struct {
	Incoming *MeshTLSParameters `json:",omitempty"` // to the public listener of a proxy
	Outgoing *MeshTLSParameters `json:",omitempty"` // from a proxy to others
}

// MeshTLSParameters are those of one direction. Cipher suites count for TLS 1.2 and below.
type MeshTLSParameters struct {
	TLSMinVersion string   `json:",omitempty"`
	TLSMaxVersion string   `json:",omitempty"`
	CipherSuites  []string `json:",omitempty"`
}

// MeshHTTP says how proxies treat HTTP requests.
type MeshHTTP struct {
	SanitizeXForwardedClientCert bool
	Incoming                     *MeshHTTPDirection `json:",omitempty"`
}

// MeshHTTPDirection is for the requests of one direction.
type MeshHTTPDirection struct {
	RequestNormalization *RequestNormalization `json:",omitempty"`
}

// RequestNormalization says how a request is brought into the form in which intentions judge it.
type RequestNormalization struct {
	InsecureDisablePathNormalization bool   `json:",omitempty"`
	MergeSlashes                     bool   `json:",omitempty"`
	PathWithEscapedSlashesAction     string `json:",omitempty"`
	HeadersWithUnderscoresAction     string `json:",omitempty"`
}

// MeshPeering says how clusters that peer reach one another.
type MeshPeering struct {
	PeerThroughMeshGateways bool `json:",omitempty"`
}
