package dns

import (
	"bytes"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpSource reads datagrams. On a socket that is bound to no address in particular it also learns to which of the host's
// each was sent: a client takes no reply from another.
type udpSource struct {
	conn     *net.UDPConn
	wildcard bool
	in       []byte // control message of a datagram
	seen     []byte // the last one, and
	back     []byte // what is sent along with a reply to it
}

func newSource(conn *net.UDPConn) *udpSource {
	s := &udpSource{conn: conn}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || !local.IP.IsUnspecified() {
		return s
	}
	// A socket for both families takes one of these or both; one that takes neither does without.
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	s.wildcard = err4 == nil || err6 == nil
	s.in = make([]byte, 256)
	return s
}

// read returns the next datagram. What it returns as oob goes with the reply, and is valid until the next call.
func (s *udpSource) read(b []byte) (n int, from netip.AddrPort, oob []byte, err error) {
	if !s.wildcard {
		n, from, err = s.conn.ReadFromUDPAddrPort(b)
		return n, from, nil, err
	}
	n, m, _, from, err := s.conn.ReadMsgUDPAddrPort(b, s.in)
	if err != nil {
		return n, from, nil, err
	}
	// Most come to the same address as the one before.
	if s.seen == nil || !bytes.Equal(s.seen, s.in[:m]) {
		s.seen = append(s.seen[:0], s.in[:m]...)
		s.back = replySource(s.seen)
	}
	return n, from, s.back, nil
}

// replySource makes the address that a datagram was sent to the one that the reply is sent from.
func replySource(oob []byte) []byte {
	var six ipv6.ControlMessage
	if six.Parse(oob) == nil && six.Dst != nil && six.Dst.To4() == nil {
		return (&ipv6.ControlMessage{Src: six.Dst, IfIndex: linkLocal(six.Dst, six.IfIndex)}).Marshal()
	}
	dst := six.Dst
	var four ipv4.ControlMessage
	if dst == nil && four.Parse(oob) == nil {
		dst = four.Dst
	}
	if dst == nil {
		return nil
	}
	return (&ipv4.ControlMessage{Src: dst}).Marshal()
}

// linkLocal is the interface, for addresses that mean nothing without one.
func linkLocal(addr net.IP, index int) int {
	if addr.IsLinkLocalUnicast() {
		return index
	}
	return 0
}
