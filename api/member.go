package api

// MemberStatus is what gossip thinks of a member.
type MemberStatus int

// The statuses of a member; the numbers are those of the API.
const (
	MemberNone MemberStatus = iota
	MemberAlive
	MemberLeaving
	MemberLeft
	MemberFailed
)

// String returns the status as it is printed.
func (s MemberStatus) String() string {
	switch s {
	case MemberAlive:
		return "alive"
	case MemberLeaving:
		return "leaving"
	case MemberLeft:
		return "left"
	case MemberFailed:
		return "failed"
	}
	return "none"
}

// Member is an agent in the gossip pool.
type Member struct {
	Name        string
	Addr        string
	Port        uint16
	Tags        map[string]string
	Status      MemberStatus
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// Coordinate is a node's place in the network, for estimating round trips.
type Coordinate struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// Self is the agent's account of itself.
type Self struct {
	Config      SelfConfig
	DebugConfig map[string]any `json:",omitempty"`
	Coord       *Coordinate    `json:",omitempty"`
	Member      Member
	Stats       map[string]map[string]string `json:",omitempty"`
	Meta        map[string]string
	XDS         *SelfXDS `json:"xDS,omitempty"`
}

// SelfConfig is the part of the configuration that is stable API.
type SelfConfig struct {
	Datacenter        string
	PrimaryDatacenter string
	NodeName          string
	NodeID            string
	Revision          string
	Server            bool
	Version           string
	BuildDate         string
}

// SelfXDS tells where and for which proxies the agent serves xDS.
type SelfXDS struct {
	SupportedProxies map[string][]string
	Port             int
	Ports            SelfXDSPorts
}

// SelfXDSPorts are the ports of the xDS server; -1 when closed.
type SelfXDSPorts struct {
	Plaintext int
	TLS       int
}

// RaftConfiguration is the set of servers that replicate the state.
type RaftConfiguration struct {
	Servers []RaftServer
	Index   uint64
}

// RaftServer is one of them.
type RaftServer struct {
	ID              string
	Node            string
	Address         string
	Leader          bool
	ProtocolVersion string
	Voter           bool
	LastIndex       uint64
	// Status tells what the members say of a server that is not alive: leaving, left, failed, or unknown.
	Status string `json:",omitempty"`
}
