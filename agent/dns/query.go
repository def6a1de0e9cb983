package dns

import (
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// query answers from the rows of query.Execute. Instances that are sorted by distance stay so.
func (q *asked) query(rows []*verb.Row) answer {
	if len(rows) == 0 {
		return q.unknown()
	}
	about := rows[0].Value.(*query.Found).Asked
	if about == nil {
		return q.unknown() // the row that tells is not for us to see
	}
	ttl := q.cfg.serviceTTL(about.Service)
	if d, err := time.ParseDuration(about.DNS.TTL); err == nil {
		ttl = d
	}
	entries := make([]*api.ServiceEntry, 0, len(rows))
	for _, r := range rows[1:] {
		entries = append(entries, r.Value.(*query.Found).Entry)
	}
	at := *q
	if about.Datacenter != "" {
		at.dc = about.Datacenter
	}
	a := at.instances(at.seenFromHere(entries), ttl)
	a.shuffle = a.shuffle && about.Near == ""
	return a
}

// virtual answers from the rows of catalog.Virtual. A service without a virtual address has no records; whether there is
// such a service, nobody need know.
func (q *asked) virtual(rows []*verb.Row) answer {
	a := answer{outline: ours}
	for _, r := range rows {
		if addr, ok := parseIP(r.Value.(*api.VirtualAddress).Address); ok {
			if rr := ipRR(q.qname, addr, q.cfg.NodeTTL); fits(rr, q.qtype) {
				a.choices = append(a.choices, choice{rr: rr})
			}
		}
	}
	return a
}
