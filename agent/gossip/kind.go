package gossip

import (
	"strings"
	"time"
)

// The pools there are: that of all agents of one datacenter, and that of the servers of all datacenters.
const (
	LAN = "lan"
	WAN = "wan"
)

// Where agents listen for gossip, and what is dialled where no port is given.
const (
	DefaultPort    = 8301
	DefaultWANPort = 8302
)

// kind is what tells one pool from the other, in deed and in words.
type kind struct {
	name    string
	port    int    // unless another is set
	portKey string // of the configuration
	flag    string
	cidrs   string
	timing  Timing
	longest int // of a member's name in bytes
}

// maxNodeName is that of the configuration, maxDatacenter too.
const (
	maxNodeName   = 255
	maxDatacenter = 63
)

var kinds = map[string]*kind{
	LAN: {
		name: LAN, port: DefaultPort, portKey: "ports.serf_lan", flag: "-serf-lan-port", cidrs: "serf_lan_allowed_cidrs", longest: maxNodeName,
		timing: Timing{
			GossipNodes: 3, GossipInterval: 200 * time.Millisecond, ProbeInterval: time.Second, ProbeTimeout: 500 * time.Millisecond,
			SuspicionMult: 4, RetransmitMult: 4,
		},
	},
	// Between datacenters a packet takes longer, and more of them are lost.
	WAN: {
		name: WAN, port: DefaultWANPort, portKey: "ports.serf_wan", flag: "-serf-wan-port", cidrs: "serf_wan_allowed_cidrs", longest: maxNodeName + 1 + maxDatacenter,
		timing: Timing{
			GossipNodes: 4, GossipInterval: 500 * time.Millisecond, ProbeInterval: 5 * time.Second, ProbeTimeout: 3 * time.Second,
			SuspicionMult: 6, RetransmitMult: 4,
		},
	},
}

// memberName is what a node is called in the pool: nodes of different datacenters may share a name.
func (k *kind) memberName(node, datacenter string) string {
	if k.name == WAN {
		return node + "." + datacenter
	}
	return node
}

// Node is the member's name in its own datacenter.
func (m *Member) Node() string {
	if m.Tags[tagPool] == WAN {
		return strings.TrimSuffix(m.Name, "."+m.Datacenter)
	}
	return m.Name
}
