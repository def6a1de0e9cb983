package gossip

import (
	"net"
	"strconv"

	"github.com/parleymesh/parley/api"
)

// The versions of the peer's own protocols that clients of its API look for.
const (
	peerProto    = "2"
	peerProtoMin = "2"
	peerProtoMax = "3"
	peerRaft     = "3"
)

// apiMember is the member as the public API shows it: under the peer's tags.
func (m *Member) apiMember() api.Member {
	tags := map[string]string{
		"acls":    flag(m.ACLs),
		"dc":      m.Datacenter,
		"id":      m.ID,
		"role":    "node",
		"segment": "",
		"vsn":     peerProto, "vsn_min": peerProtoMin, "vsn_max": peerProtoMax,
	}
	if m.PeerVersion != "" {
		tags["build"] = m.PeerVersion + ":" // then the revision, which it does not have
	}
	if m.Server {
		m.serverTags(tags)
	}
	return api.Member{
		Name: m.Name, Addr: m.Addr.Addr().String(), Port: m.Addr.Port(), Tags: tags, Status: m.Status,
		ProtocolMin: m.raw.ProtocolMin, ProtocolMax: m.raw.ProtocolMax, ProtocolCur: m.raw.ProtocolCur,
		DelegateMin: m.raw.DelegateMin, DelegateMax: m.raw.DelegateMax, DelegateCur: m.raw.DelegateCur,
	}
}

func (m *Member) serverTags(tags map[string]string) {
	_, port, _ := net.SplitHostPort(m.RPCAddr)
	tags["role"], tags["port"], tags["raft_vsn"] = "consul", port, peerRaft
	tags["ft_fs"], tags["ft_si"] = "1", "1" // it has federation states, and intentions as config entries
	for tag, n := range map[string]int{"grpc_port": m.Ports.GRPC, "grpc_tls_port": m.Ports.GRPCTLS, "wan_join_port": m.Ports.WAN} {
		if n > 0 {
			tags[tag] = strconv.Itoa(n)
		}
	}
	switch {
	case m.Expect == 1:
		tags["bootstrap"] = "1"
	case m.Expect > 1:
		tags["expect"] = strconv.Itoa(m.Expect)
	}
	if m.NonVoter {
		tags["read_replica"] = "1"
	}
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
