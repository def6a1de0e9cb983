package dns

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"
)

// forwards tells whether a question is handed on to a recursor: it is about a name that is not ours, and asks for that.
func (s *Server) forwards(c *Config, q *question, l lookup) bool {
	return l.kind == foreign && q.recursive(c)
}

// recursive tells whether a question may be handed on at all. Whole zones are not.
func (q *question) recursive(c *Config) bool {
	return len(c.Recursors) > 0 && q.flags&flagRD != 0 && q.qtype != dns.TypeAXFR && q.qtype != dns.TypeIXFR
}

// forward hands a message on and returns the reply.
func (s *Server) forward(ctx context.Context, c *Config, q *question, packet []byte, entered bool) ([]byte, error) {
	if !entered {
		if !s.recursors.enter() {
			return nil, errBusy
		}
		defer s.recursors.leave()
	}
	network := "udp"
	if q.tcp {
		network = "tcp"
	}
	reply, err := s.recursors.forward(ctx, c, network, packet)
	if err == nil && len(reply) > q.limit() {
		reply = truncated(reply, q)
	}
	return reply, err
}

// truncated is a reply that is larger than the client takes, or we send, without its records. The client asks again over TCP.
func truncated(reply []byte, q *question) []byte {
	out := append([]byte(nil), reply[:headerSize]...)
	binary.BigEndian.PutUint16(out[2:], binary.BigEndian.Uint16(out[2:])|flagTC)
	copy(out[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	out = append(out, q.name...)
	out = binary.BigEndian.AppendUint16(out, q.qtype)
	return binary.BigEndian.AppendUint16(out, q.qclass)
}

const (
	// maxChase is how many names a name may lead to, one after another.
	maxChase = 3
	// maxHosts is how many hosts elsewhere are looked up for one answer.
	maxHosts = 4
	// recursorSize is the largest datagram that we ask for on our own account: it is not fragmented anywhere.
	recursorSize = 1232
)

// chase adds to an answer that leads to another name what that name leads to. It reports whether it did: chance and others
// had a part in such an answer, so it is not kept.
func (s *Server) chase(q *asked, a answer, know knowledge) (_ answer, chased bool, err error) {
	switch q.qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeANY:
		if len(a.choices) == 0 {
			return a, false, nil
		}
		first := a.choices[0]
		if a.shuffle {
			first = a.choices[rand.IntN(len(a.choices))]
		}
		cname, ok := first.rr.(*dns.CNAME)
		if !ok {
			return a, false, nil
		}
		more, err := s.follow(q, cname.Target, q.qtype, know, maxChase)
		if err != nil || len(more) == 0 {
			return a, false, err
		}
		out := answer{outline: outline{authoritative: true, chain: true}, choices: []choice{first}, authority: a.authority, extra: a.extra}
		for _, rr := range more {
			out.choices = append(out.choices, choice{rr: rr})
		}
		return out, true, nil
	case dns.TypeSRV:
		return s.chaseTargets(q, a, know)
	}
	return a, false, nil
}

// chaseTargets adds the addresses of the hosts elsewhere that SRV records name, while there is room.
func (s *Server) chaseTargets(q *asked, a answer, know knowledge) (_ answer, chased bool, err error) {
	hosts := 0
	for i := range a.choices {
		srv, ok := a.choices[i].rr.(*dns.SRV)
		if !ok || len(a.choices[i].with) > 0 || hosts == maxHosts {
			continue
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			more, err := s.follow(q, srv.Target, qtype, know, maxChase)
			if err != nil {
				return a, false, err
			}
			a.choices[i].text = append(a.choices[i].text, more...)
			chased = chased || len(more) > 0
		}
		hosts++
	}
	return a, chased, nil
}

// follow returns the records of a type that a name leads to, with the names between.
func (s *Server) follow(q *asked, name string, qtype uint16, know knowledge, depth int) ([]dns.RR, error) {
	name = strings.ToLower(name)
	wire := make([]byte, maxName)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil || depth == 0 {
		return nil, nil
	}
	l := s.zones.lookup(wire[:n])
	if l.kind == foreign {
		switch {
		case len(q.cfg.Recursors) == 0:
			return nil, nil
		case know.addresses == nil:
			return nil, errForward
		}
		return know.addresses(name, qtype), nil
	}
	rows, _, err := gather(l, qtype, know.rows)
	if err != nil {
		return nil, err
	}
	about := s.about(q.cfg, l, name, qtype)
	a := answerTo(about, rows)
	if a.shuffle {
		rand.Shuffle(len(a.choices), func(i, j int) { a.choices[i], a.choices[j] = a.choices[j], a.choices[i] })
	}
	if a.limit > 0 && len(a.choices) > a.limit {
		a.choices = a.choices[:a.limit]
	}
	var out []dns.RR
	for _, c := range a.choices {
		out = append(out, c.rr)
		if cname, ok := c.rr.(*dns.CNAME); ok {
			more, err := s.follow(q, cname.Target, qtype, know, depth-1)
			return append(out, more...), err
		}
	}
	return out, nil
}

// addresses asks a recursor for the records of a host elsewhere; none when it cannot be asked or does not know.
func (s *Server) addresses(ctx context.Context, c *Config, host string, qtype uint16) []dns.RR {
	if qtype == dns.TypeANY {
		qtype = dns.TypeA // few answer for all
	}
	m := new(dns.Msg)
	m.SetQuestion(host, qtype)
	m.SetEdns0(recursorSize, false)
	packet, err := m.Pack()
	if err != nil {
		return nil
	}
	reply := new(dns.Msg)
	for _, network := range []string{"udp", "tcp"} {
		data, err := s.recursors.forward(ctx, c, network, packet)
		if err != nil {
			s.warn(err)
			return nil
		}
		if reply.Unpack(data) != nil {
			return nil
		}
		if !reply.Truncated {
			break
		}
	}
	var out []dns.RR
	for _, rr := range reply.Answer {
		switch h := rr.Header(); h.Rrtype {
		case qtype, dns.TypeCNAME:
			h.Name = strings.ToLower(h.Name)
			out = append(out, rr)
		}
	}
	return out
}
