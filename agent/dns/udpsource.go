package dns

import (
	"bytes"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// batch is how many datagrams are taken from the kernel at a time, and maxQuestion how many bytes of one. Who waits, waits for those before
// it in the batch, too: a few are most of what there is to gain.
const (
	batch       = 16
	maxQuestion = 4096
)

// udpSource reads datagrams and sends replies, several at a time where the system can. On a socket that is bound to no address in
// particular it also learns to which of the host's each was sent: a client takes no reply from another.
type udpSource struct {
	conn    *ipv4.PacketConn // only what both families have is used of it
	in, out []ipv4.Message
	replies int
	seen    []byte // the control message of the last datagram, and
	back    []byte // what is sent along with a reply to it
}

func newSource(conn *net.UDPConn) *udpSource {
	s := &udpSource{conn: ipv4.NewPacketConn(conn), in: make([]ipv4.Message, batch), out: make([]ipv4.Message, batch)}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	wildcard := ok && local.IP.IsUnspecified()
	if wildcard {
		// A socket for both families takes one of these or both; one that takes neither does without.
		err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		err4 := s.conn.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
		wildcard = err4 == nil || err6 == nil
	}
	for i := range batch {
		s.in[i].Buffers = [][]byte{make([]byte, maxQuestion)}
		s.out[i].Buffers = [][]byte{make([]byte, 0, maxUDPSize)}
		if wildcard {
			s.in[i].OOB = make([]byte, 256)
		}
	}
	return s
}

// read waits for datagrams and returns those that are there, with what goes along with a reply as OOB. They are valid until the next call.
func (s *udpSource) read() ([]ipv4.Message, error) {
	for i := range s.in {
		s.in[i].OOB = s.in[i].OOB[:cap(s.in[i].OOB)]
	}
	n, err := s.conn.ReadBatch(s.in, 0)
	return s.in[:max(n, 0)], err
}

// answer keeps the reply to a datagram until it is sent.
func (s *udpSource) answer(to datagram, reply []byte) {
	out := &s.out[s.replies]
	s.replies++
	out.Buffers[0] = append(out.Buffers[0][:0], reply...)
	out.Addr, out.OOB = to.to, to.oob
}

// backTo makes the address that a datagram was sent to the one that the reply is sent from. What it returns is not written to again.
func (s *udpSource) backTo(m *ipv4.Message) []byte {
	if m.NN == 0 {
		return nil
	}
	// Most come to the same address as the one before.
	if oob := m.OOB[:m.NN]; s.seen == nil || !bytes.Equal(s.seen, oob) {
		s.seen = append(s.seen[:0], oob...)
		s.back = replySource(s.seen)
	}
	return s.back
}

// send sends the replies. Who cannot be reached asks again, or does not.
func (s *udpSource) send() {
	for out := s.out[:s.replies]; len(out) > 0; {
		n, err := s.conn.WriteBatch(out, 0)
		if err != nil || n == 0 {
			n = 1 // this one cannot be sent; the others may
		}
		out = out[n:]
	}
	s.replies = 0
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
