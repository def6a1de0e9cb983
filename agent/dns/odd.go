package dns

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// accept judges a message by its header, for both ways to read one.
func accept(h dns.Header) dns.MsgAcceptAction {
	switch {
	case h.Bits&flagQR != 0:
		return dns.MsgIgnore // else two servers could be set upon one another
	case h.Bits&maskOpcode != 0:
		return dns.MsgRejectNotImplemented
	case h.Qdcount != 1 || h.Ancount > 0 || h.Nscount > 0 || h.Arcount > 2:
		return dns.MsgReject
	}
	return dns.MsgAccept
}

// readOdd takes apart a message that is not plain. When it is no question, rcode says what is to be replied; ok is false
// when nothing is.
func (q *question) readOdd(packet []byte) (rcode int, ok bool) {
	if len(packet) < headerSize {
		return 0, false
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(packet[2*i:]) }
	*q = question{id: word(0), flags: word(1) & (maskOpcode | flagRD | flagCD)}
	switch accept(dns.Header{Id: word(0), Bits: word(1), Qdcount: word(2), Ancount: word(3), Nscount: word(4), Arcount: word(5)}) {
	case dns.MsgIgnore:
		return 0, false
	case dns.MsgReject:
		return dns.RcodeFormatError, true
	case dns.MsgRejectNotImplemented:
		return dns.RcodeNotImplemented, true
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return dns.RcodeFormatError, true
	}
	return q.of(m), true
}

// of takes the question from a message that was read. A code other than success is to be replied.
func (q *question) of(m *dns.Msg) (rcode int) {
	q.id, q.flags = m.Id, 0
	if m.RecursionDesired {
		q.flags |= flagRD
	}
	if m.CheckingDisabled {
		q.flags |= flagCD
	}
	if len(m.Question) != 1 {
		return dns.RcodeFormatError
	}
	asked := m.Question[0]
	name := make([]byte, maxName)
	n, err := dns.PackDomainName(asked.Name, name, 0, nil, false)
	if err != nil {
		return dns.RcodeFormatError
	}
	q.name, q.qtype, q.qclass = name[:n], asked.Qtype, asked.Qclass
	for _, rr := range m.Extra {
		if opt, ok := rr.(*dns.OPT); ok {
			if q.edns.present {
				return dns.RcodeFormatError // there may be one only
			}
			q.edns = ednsOf(opt)
		}
	}
	if q.edns.version != 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// ednsOf takes from an EDNS record what concerns us. A client's subnet is repeated, with the word that the answer
// is the same for all.
func ednsOf(opt *dns.OPT) edns {
	e := edns{present: true, size: opt.UDPSize(), do: opt.Do(), version: opt.Version()}
	for _, o := range opt.Option {
		subnet, ok := o.(*dns.EDNS0_SUBNET)
		if !ok {
			continue
		}
		back := *subnet
		back.SourceScope = 0
		rr := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}, Option: []dns.EDNS0{&back}}
		buf := make([]byte, 64)
		if n, err := dns.PackRR(rr, buf, 0, nil, false); err == nil {
			e.options = buf[11:n]
		}
	}
	return e
}
