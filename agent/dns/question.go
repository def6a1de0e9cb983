package dns

import "encoding/binary"

const (
	headerSize = 12
	maxName    = 255 // bytes of a name on the wire
	maxLabel   = 63

	minUDPSize = 512
	// maxUDPSize bounds what is sent over UDP, whatever a client says it takes: larger datagrams arrive in fragments that
	// get lost, and a forged question would have us flood somebody.
	maxUDPSize = 4096
	maxTCPSize = 65535
)

// The bits of a header's second word.
const (
	flagQR     = 1 << 15
	maskOpcode = 15 << 11
	flagAA     = 1 << 10
	flagTC     = 1 << 9
	flagRD     = 1 << 8
	flagRA     = 1 << 7
	flagCD     = 1 << 4
)

// question is what one message asks.
type question struct {
	id     uint16
	flags  uint16 // opcode, RD and CD, to be repeated in the reply
	name   []byte // as asked, on the wire; part of the packet
	qtype  uint16
	qclass uint16
	edns   edns
	tcp    bool
}

// edns is what the client says about itself.
type edns struct {
	present bool
	size    uint16 // of the largest datagram it takes
	do      bool
	version uint8
	options []byte // to be repeated in the reply
}

// limit is how large a reply may be.
func (q *question) limit() int {
	switch {
	case q.tcp:
		return maxTCPSize
	case q.edns.present:
		return min(max(int(q.edns.size), minUDPSize), maxUDPSize)
	}
	return minUDPSize
}

// small tells whether the client takes no more than what every client has to.
func (q *question) small() bool { return !q.tcp && q.limit() == minUDPSize }

// read takes a plain message apart: one question in a query, and at the most an EDNS record without options. It
// reports whether the message is that; any other is for odd.go. It allocates nothing, and name stays part of the packet.
func (q *question) read(packet []byte) bool {
	if len(packet) < headerSize+5 {
		return false
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	// One question, no answer, no authority, and a record more or none.
	if flags&(flagQR|maskOpcode) != 0 || binary.BigEndian.Uint32(packet[4:]) != 1<<16 ||
		binary.BigEndian.Uint16(packet[8:]) != 0 || packet[10] != 0 || packet[11] > 1 {
		return false
	}
	end := nameEnd(packet[headerSize:])
	rest := packet[headerSize+max(end, 0):]
	if end < 0 || len(rest) < 4 {
		return false
	}
	*q = question{
		id: binary.BigEndian.Uint16(packet), flags: flags & (flagRD | flagCD),
		name:  packet[headerSize : headerSize+end],
		qtype: binary.BigEndian.Uint16(rest), qclass: binary.BigEndian.Uint16(rest[2:]),
	}
	rest = rest[4:]
	if packet[11] == 0 {
		return len(rest) == 0
	}
	return q.edns.read(rest)
}

// read takes an OPT record without options apart.
func (e *edns) read(rr []byte) bool {
	if len(rr) != 11 || rr[0] != 0 || rr[1] != 0 || rr[2] != 41 || rr[5]|rr[6]|rr[9]|rr[10] != 0 {
		return false
	}
	*e = edns{present: true, size: binary.BigEndian.Uint16(rr[3:]), do: rr[7]&0x80 != 0}
	return true
}

// nameEnd is the length of the uncompressed name that b begins with; -1 when there is none.
func nameEnd(b []byte) int {
	for i := 0; i < len(b) && i < maxName; {
		n := int(b[i])
		if n > maxLabel {
			return -1
		}
		i += n + 1
		if n == 0 {
			return i
		}
	}
	return -1
}

// appendFolded appends the name in lower case. Lengths of labels are below 'A', so every byte may be treated alike.
func appendFolded(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
