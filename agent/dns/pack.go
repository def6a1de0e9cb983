package dns

import (
	"bytes"

	"github.com/miekg/dns"
)

// packed is an answer whose records are bytes already. It is shared and never changed.
type packed struct {
	answer    // its choices, authority and extra are those below
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
	p := &packer{
		packed: &packed{answer: a, names: [][]byte{nil}, zone: len(zone)},
		names:  map[string]int32{string(qname): 0}, records: map[string]int32{}, zone: zone,
	}
	for _, c := range a.choices {
		if rr, ok := p.record(c.rr); ok {
			p.choices = append(p.choices, packedChoice{rr, p.additional(c.with), p.additional(c.text)})
		}
	}
	for _, rr := range a.authority {
		if r, ok := p.record(rr); ok {
			p.packed.authority = append(p.packed.authority, r)
		}
	}
	p.packed.extra = p.additional(a.extra)
	p.packed.choices = p.choices
	p.answer.choices, p.answer.authority, p.answer.extra = nil, nil, nil
	return p.packed
}

type packer struct {
	*packed
	choices []packedChoice
	names   map[string]int32
	records map[string]int32
	zone    []byte
}

func (p *packer) name(wire []byte) int32 {
	if n, ok := p.names[string(wire)]; ok {
		return n
	}
	n := int32(len(p.packed.names))
	p.packed.names = append(p.packed.names, wire)
	p.names[string(wire)] = n
	return n
}

// record packs one record. A name that cannot be one makes a record that cannot be told.
func (p *packer) record(rr dns.RR) (record, bool) {
	buf := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return record{}, false
	}
	end := nameEnd(buf[:n])
	if end < 0 {
		return record{}, false
	}
	r := record{owner: p.name(buf[:end:end]), body: buf[end:n:n]}
	if at := targetAt(rr); at > 0 {
		r.zoned = len(p.zone) > 1 && bytes.HasSuffix(r.body, p.zone)
		r.target = p.name(r.body[at:])
	}
	return r, true
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

func (p *packer) additional(rrs []dns.RR) []int32 {
	var out []int32
	for _, rr := range rrs {
		text := rr.String()
		n, ok := p.records[text]
		if !ok {
			r, ok := p.record(rr)
			if !ok {
				continue
			}
			n = int32(len(p.packed.records))
			p.packed.records = append(p.packed.records, r)
			p.records[text] = n
		}
		out = append(out, n)
	}
	return out
}
