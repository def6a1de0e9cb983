package dns

import (
	"bytes"

	"github.com/miekg/dns"
)

// packed is an answer whose records are bytes already. It is shared and never changed.
type packed struct {
	outline
	choices   []packedChoice
	authority []record
	extra     []int32 // of records

	records []record // what may go in the additional section; each at most once in a reply
	names   [][]byte // owners and targets, on the wire; the first is the question's and empty
	zone    int      // length of the zone's name, by which names and bodies may end
}

// packedChoice is a choice, with records by number.
type packedChoice struct {
	rr         record
	with, text []int32
}

// record is a record without its owner, which stands elsewhere.
type record struct {
	owner  int32
	body   []byte
	target int32 // the name by which body ends; 0: none that could be pointed to
	zoned  bool  // body ends in the zone's name
}

// pack turns records into bytes. qname and zone are in lower case and on the wire.
func pack(a answer, qname, zone []byte) *packed {
	out := &packed{outline: a.outline, names: [][]byte{nil}, zone: len(zone)}
	p := &packer{out: out, names: map[string]int32{string(qname): 0}, records: map[string]int32{}, zone: zone}
	out.choices = make([]packedChoice, 0, len(a.choices))
	for _, c := range a.choices {
		if wire, owner, ok := bytesOf(c.rr); ok {
			rr := p.record(c.rr, wire, owner)
			out.choices = append(out.choices, packedChoice{rr, p.additional(c.with), p.additional(c.text)})
		}
	}
	for _, rr := range a.authority {
		if wire, owner, ok := bytesOf(rr); ok {
			out.authority = append(out.authority, p.record(rr, wire, owner))
		}
	}
	out.extra = p.additional(a.extra)
	return out
}

// packer numbers what it packs.
type packer struct {
	out     *packed
	names   map[string]int32
	records map[string]int32
	zone    []byte
}

func (p *packer) name(wire []byte) int32 {
	n, ok := p.names[string(wire)]
	if !ok {
		n = int32(len(p.out.names))
		p.out.names = append(p.out.names, wire)
		p.names[string(wire)] = n
	}
	return n
}

// bytesOf packs one record: its owner, of that length, and the rest. A name that cannot be one makes a record that cannot
// be told.
func bytesOf(rr dns.RR) (wire []byte, owner int, ok bool) {
	buf := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, 0, false
	}
	owner = nameEnd(buf[:n])
	return buf[:n:n], owner, owner > 0
}

// record takes a packed record apart.
func (p *packer) record(rr dns.RR, wire []byte, owner int) record {
	r := record{owner: p.name(wire[:owner:owner]), body: wire[owner:]}
	if at := targetAt(rr); at > 0 {
		r.zoned = len(p.zone) > 1 && bytes.HasSuffix(r.body, p.zone)
		r.target = p.name(r.body[at:])
	}
	return r
}

// targetAt is where in a record's body the name stands by which it ends; 0 when it does not.
func targetAt(rr dns.RR) int {
	const data = 10 // after type, class, TTL and length
	switch rr.(type) {
	case *dns.SRV:
		return data + 6
	case *dns.NS, *dns.CNAME, *dns.PTR:
		return data
	}
	return 0
}

// additional numbers records, each once.
func (p *packer) additional(rrs []dns.RR) []int32 {
	var out []int32
	for _, rr := range rrs {
		wire, owner, ok := bytesOf(rr)
		if !ok {
			continue
		}
		n, ok := p.records[string(wire)]
		if !ok {
			n = int32(len(p.out.records))
			p.out.records = append(p.out.records, p.record(rr, wire, owner))
			p.records[string(wire)] = n
		}
		out = append(out, n)
	}
	return out
}
