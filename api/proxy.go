package api

// Proxy is the configuration of a sidecar or gateway, part of its registration.
type Proxy struct {
	DestinationServiceName string         `json:",omitempty"` // the service that it stands for
	DestinationServiceID   string         `json:",omitempty"` // that very instance, when it is on the same agent
	LocalServiceAddress    string         `json:",omitempty"`
	LocalServicePort       int            `json:",omitempty"`
	LocalServiceSocketPath string         `json:",omitempty"`
	Mode                   string         // "", "direct" or "transparent"
	Config                 map[string]any `json:",omitempty"`
	Upstreams              []Upstream     `json:",omitempty"`
	MeshGateway            MeshGateway
	Expose                 Expose
	TransparentProxy       TransparentProxy `json:",omitzero"`
	MutualTLSMode          string           `json:",omitempty"`
	AccessLogs             AccessLogs       `json:",omitzero"`
	EnvoyExtensions        []EnvoyExtension `json:",omitempty"`
}

// The types of an upstream's destination.
const (
	UpstreamService       = "service"
	UpstreamPreparedQuery = "prepared_query"
)

// Upstream is a service that a proxy makes reachable to its own service on a local address.
type Upstream struct {
	DestinationType      string         `json:",omitempty"` // empty: a service
	DestinationName      string         `json:",omitempty"`
	DestinationNamespace string         `json:",omitempty"`
	DestinationPartition string         `json:",omitempty"`
	DestinationPeer      string         `json:",omitempty"`
	Datacenter           string         `json:",omitempty"`
	LocalBindAddress     string         `json:",omitempty"` // empty: 127.0.0.1
	LocalBindPort        int            `json:",omitempty"`
	LocalBindSocketPath  string         `json:",omitempty"`
	LocalBindSocketMode  string         `json:",omitempty"`
	Config               map[string]any `json:",omitempty"`
	MeshGateway          MeshGateway
	IngressHosts         []string `json:",omitempty"`
	CentrallyConfigured  bool     `json:",omitempty"`
}

// MeshGateway tells through which gateway traffic to other datacenters goes: "", "none", "local" or "remote".
type MeshGateway struct {
	Mode string `json:",omitempty"`
}

// Expose lists HTTP paths that a proxy serves in the clear, for checks and metrics.
type Expose struct {
	Checks bool         `json:",omitempty"`
	Paths  []ExposePath `json:",omitempty"`
}

// ExposePath is one such path.
type ExposePath struct {
	ListenerPort    int    `json:",omitempty"`
	Path            string `json:",omitempty"`
	LocalPathPort   int    `json:",omitempty"`
	Protocol        string `json:",omitempty"`
	ParsedFromCheck bool   `json:",omitempty"`
}

// TransparentProxy holds the settings of transparent mode.
type TransparentProxy struct {
	OutboundListenerPort int  `json:",omitempty"`
	DialedDirectly       bool `json:",omitempty"`
}

// AccessLogs tells what a proxy logs of each connection or request, and where.
type AccessLogs struct {
	Enabled             bool   `json:",omitempty"`
	DisableListenerLogs bool   `json:",omitempty"`
	Type                string `json:",omitempty"` // "", "file", "stderr" or "stdout"
	Path                string `json:",omitempty"`
	JSONFormat          string `json:",omitempty"`
	TextFormat          string `json:",omitempty"`
}

// EnvoyExtension is a named change to a proxy's Envoy configuration.
type EnvoyExtension struct {
	Name          string
	Required      bool
	Arguments     map[string]any
	ConsulVersion string
	EnvoyVersion  string
}

// AgentProxy is Proxy as the agent's own endpoints show it. It differs only in what is shown when it is empty.
type AgentProxy struct {
	DestinationServiceName string         `json:",omitempty"`
	DestinationServiceID   string         `json:",omitempty"`
	LocalServiceAddress    string         `json:",omitempty"`
	LocalServicePort       int            `json:",omitempty"`
	LocalServiceSocketPath string         `json:",omitempty"`
	Mode                   string         `json:",omitempty"`
	Config                 map[string]any `json:",omitempty"`
	Upstreams              []Upstream     `json:",omitempty"`
	MeshGateway            MeshGateway
	Expose                 AgentExpose
	TransparentProxy       TransparentProxy `json:",omitzero"`
	MutualTLSMode          string           `json:",omitempty"`
	AccessLogs             AccessLogs       `json:",omitzero"`
	EnvoyExtensions        []EnvoyExtension `json:",omitempty"`
}

// AgentExpose is Expose as the agent shows it.
type AgentExpose struct {
	Checks bool              `json:",omitempty"`
	Paths  []AgentExposePath `json:",omitempty"`
}

// AgentExposePath is ExposePath as the agent shows it, with ParsedFromCheck always there.
type AgentExposePath struct {
	ListenerPort    int    `json:",omitempty"`
	Path            string `json:",omitempty"`
	LocalPathPort   int    `json:",omitempty"`
	Protocol        string `json:",omitempty"`
	ParsedFromCheck bool
}

func newAgentProxy(p *Proxy) *AgentProxy {
	a := &AgentProxy{
		DestinationServiceName: p.DestinationServiceName,
		DestinationServiceID:   p.DestinationServiceID,
		LocalServiceAddress:    p.LocalServiceAddress,
		LocalServicePort:       p.LocalServicePort,
		LocalServiceSocketPath: p.LocalServiceSocketPath,
		Mode:                   p.Mode,
		Config:                 p.Config,
		Upstreams:              p.Upstreams,
		MeshGateway:            p.MeshGateway,
		Expose:                 AgentExpose{Checks: p.Expose.Checks},
		TransparentProxy:       p.TransparentProxy,
		MutualTLSMode:          p.MutualTLSMode,
		AccessLogs:             p.AccessLogs,
		EnvoyExtensions:        p.EnvoyExtensions,
	}
	for _, path := range p.Expose.Paths {
		a.Expose.Paths = append(a.Expose.Paths, AgentExposePath(path))
	}
	return a
}

func (a *AgentProxy) asProxy() *Proxy {
	p := &Proxy{
		DestinationServiceName: a.DestinationServiceName,
		DestinationServiceID:   a.DestinationServiceID,
		LocalServiceAddress:    a.LocalServiceAddress,
		LocalServicePort:       a.LocalServicePort,
		LocalServiceSocketPath: a.LocalServiceSocketPath,
		Mode:                   a.Mode,
		Config:                 a.Config,
		Upstreams:              a.Upstreams,
		MeshGateway:            a.MeshGateway,
		Expose:                 Expose{Checks: a.Expose.Checks},
		TransparentProxy:       a.TransparentProxy,
		MutualTLSMode:          a.MutualTLSMode,
		AccessLogs:             a.AccessLogs,
		EnvoyExtensions:        a.EnvoyExtensions,
	}
	for _, path := range a.Expose.Paths {
		p.Expose.Paths = append(p.Expose.Paths, ExposePath(path))
	}
	return p
}
