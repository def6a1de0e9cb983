package gossip

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/serf/serf"

	"github.com/parleymesh/parley/api"
)

// Member is an agent of the pool, as the others know it. The maps are shared: they are not to be changed.
type Member struct {
	ID, Name string
	Addr     netip.AddrPort // for gossip
	Status   api.MemberStatus

	Datacenter  string
	Version     string // ours
	PeerVersion string // the one that the public API shows
	ACLs        bool

	// What follows is a server's.
	Server   bool
	RPCAddr  string // host:port
	Cluster  string // to which it belongs; empty before it has said so
	Expect   int    // with how many it wants to found a cluster; 0 when it belongs to one
	NonVoter bool
	Ports    Ports
	WANHost  string // its address in the WAN pool, for members of the LAN pool

	Meta map[string]string // of the local member alone
	Tags map[string]string // as they travel

	raw serf.Member
}

// decode reads what serf tells of a member. What is missing or wrong in the tags stays empty: those are from the network.
func decode(s serf.Member) Member {
	addr, _ := netip.AddrFromSlice(s.Addr)
	m := Member{
		ID:          s.Tags[tagID],
		Name:        s.Name,
		Addr:        netip.AddrPortFrom(addr.Unmap(), s.Port),
		Status:      statusOf(s.Status),
		Datacenter:  s.Tags[tagDC],
		Version:     s.Tags[tagVersion],
		PeerVersion: s.Tags[tagPeer],
		ACLs:        s.Tags[tagACLs] == "1",
		Tags:        s.Tags,
		raw:         s,
	}
	if s.Tags[tagServer] != "1" {
		return m
	}
	host, port, err := net.SplitHostPort(s.Tags[tagRPC])
	if err != nil || number(port, 1<<16) == 0 {
		return m // nobody could reach it, so it serves nobody
	}
	m.Server = true
	m.RPCAddr = net.JoinHostPort(cmp.Or(host, m.Addr.Addr().String()), port)
	m.Expect = number(s.Tags[tagExpect], 1<<10)
	m.Cluster = s.Tags[tagCluster]
	m.NonVoter = s.Tags[tagNonVoter] == "1"
	m.Ports = Ports{
		GRPC: number(s.Tags[tagGRPC], 1<<16), GRPCTLS: number(s.Tags[tagGRPCTLS], 1<<16), WAN: number(s.Tags[tagWAN], 1<<16),
	}
	m.WANHost = cmp.Or(s.Tags[tagWANHost], m.Addr.Addr().String())
	return m
}

// number reads a number between 1 and below; 0 when it is none.
func number(text string, below int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n >= below {
		return 0
	}
	return n
}

func statusOf(s serf.MemberStatus) api.MemberStatus {
	switch s {
	case serf.StatusAlive:
		return api.MemberAlive
	case serf.StatusLeaving:
		return api.MemberLeaving
	case serf.StatusLeft:
		return api.MemberLeft
	case serf.StatusFailed:
		return api.MemberFailed
	}
	return api.MemberNone
}

// live tells whether the member's name and id are taken: it is there.
func (m *Member) live() bool { return m.Status == api.MemberAlive || m.Status == api.MemberLeaving }

// view is what is known of all members at one moment. It is not changed.
type view struct {
	members []Member           // by name
	names   map[string]*Member // by name in lower case
	ids     map[string]*Member // by id, the live one where there are two
}

func newView(members []Member) *view {
	v := &view{members: members, names: make(map[string]*Member, len(members)), ids: make(map[string]*Member, len(members))}
	for i := range members {
		m := &members[i]
		if old := v.names[strings.ToLower(m.Name)]; old == nil || !old.live() {
			v.names[strings.ToLower(m.Name)] = m
		}
		if old := v.ids[m.ID]; old == nil || !old.live() {
			v.ids[m.ID] = m
		}
	}
	return v
}

// next makes the view that follows, or returns nil if nothing has changed. What has not is taken over.
func (v *view) next(now []serf.Member) *view {
	slices.SortFunc(now, func(a, b serf.Member) int { return cmp.Compare(a.Name, b.Name) })
	members := make([]Member, 0, len(now))
	changed := len(now) != len(v.members)
	i := 0
	for _, s := range now {
		for i < len(v.members) && v.members[i].Name < s.Name {
			i++
		}
		if i < len(v.members) && same(v.members[i].raw, s) {
			members = append(members, v.members[i])
			continue
		}
		members = append(members, decode(s))
		changed = true
	}
	if !changed {
		return nil
	}
	return newView(members)
}

func same(a, b serf.Member) bool {
	return a.Name == b.Name && a.Status == b.Status && a.Port == b.Port && a.Addr.Equal(b.Addr) && maps.Equal(a.Tags, b.Tags) &&
		a.ProtocolMin == b.ProtocolMin && a.ProtocolMax == b.ProtocolMax && a.ProtocolCur == b.ProtocolCur &&
		a.DelegateMin == b.DelegateMin && a.DelegateMax == b.DelegateMax && a.DelegateCur == b.DelegateCur
}

// find returns the member of exactly this name.
func (v *view) find(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.members, name, func(m Member, name string) int { return cmp.Compare(m.Name, name) })
	if !ok {
		return Member{}, false
	}
	return v.members[i], true
}
