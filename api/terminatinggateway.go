package api

// TerminatingGateway lets services of the mesh reach some that are outside it, through the gateway of its name.
type TerminatingGateway struct {
	Kind     string
	Name     string
	Services []LinkedService `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "terminating-gateway".
func (*TerminatingGateway) EntryKind() string { return KindTerminatingGateway }

// EntryName returns the name of the gateway.
func (e *TerminatingGateway) EntryName() string { return e.Name }

// LinkedService is a service outside the mesh, or all of them when it is "*", and how the gateway speaks TLS to it.
type LinkedService struct {
	Namespace              string `json:",omitempty"`
	Name                   string `json:",omitempty"`
	CAFile                 string `json:",omitempty"`
	CertFile               string `json:",omitempty"`
	KeyFile                string `json:",omitempty"`
	SNI                    string `json:",omitempty"`
	DisableAutoHostRewrite bool   `json:",omitempty"`
}
