package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// names answers who has an address, from rows that byAddress found, nodes or else services; or the
// service that has a virtual address.
func (q *asked) names(rows []*verb.Row) answer {
	if len(rows) == 0 {
		return q.unknown()
	}
	a := answer{outline: ours}
	told := map[string]bool{}
	for _, r := range rows {
		rr := &dns.PTR{Hdr: header(q.qname, dns.TypePTR, q.cfg.NodeTTL)}
		switch v := r.Value.(type) {
		case *api.Node:
			rr.Ptr = q.nodeName(v.Node)
		case *api.CatalogService:
			rr.Hdr = header(q.qname, dns.TypePTR, q.cfg.serviceTTL(v.ServiceName))
			rr.Ptr = escape(v.ServiceName) + ".service." + q.place() + "." + q.zone
		case *api.VirtualAddress:
			rr.Ptr = escape(v.Service) + ".virtual." + q.zone
		}
		if key := strings.ToLower(rr.Ptr); !told[key] {
			told[key] = true
			a.choices = append(a.choices, choice{rr: rr})
		}
	}
	return a
}

// byAddress sorts nodes, or instances that have an address of their own, by address.
func byAddress(rows []*verb.Row) map[netip.Addr][]*verb.Row {
	out := make(map[netip.Addr][]*verb.Row, len(rows))
	for _, r := range rows {
		var text string
		switch v := r.Value.(type) {
		case *api.Node:
			text = v.Address
		case *api.CatalogService:
			text = v.ServiceAddress
		}
		if addr, ok := parseIP(text); ok {
			out[addr] = append(out[addr], r)
		}
	}
	return out
}
