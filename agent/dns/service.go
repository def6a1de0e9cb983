package dns

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// service answers from the rows of catalog.Health.
func (q *asked) service(rows []*verb.Row) answer {
	return q.instances(q.seenFromHere(q.usable(rows)), q.cfg.serviceTTL(q.name))
}

// instances answers with instances that are equals.
func (q *asked) instances(usable []*api.ServiceEntry, ttl time.Duration) answer {
	if len(usable) == 0 {
		return q.unknown()
	}
	var a answer
	switch q.qtype {
	case dns.TypeSRV:
		a = q.endpoints(usable, ttl)
	case dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT:
		// Who asks a service for text is told its addresses, as the public interface has it.
		a = q.serviceAddresses(usable, ttl)
	}
	if len(a.choices) == 0 {
		return q.empty()
	}
	a.authoritative, a.shuffle = true, true
	return a
}

// usable are the instances that are healthy enough and have the tag.
func (q *asked) usable(rows []*verb.Row) []*api.ServiceEntry {
	out := make([]*api.ServiceEntry, 0, len(rows))
	for _, r := range rows {
		e := r.Value.(*api.ServiceEntry)
		if (q.tag == "" || catalog.HasTag(e.Service.Tags, q.tag)) && catalog.Passing(e, q.cfg.OnlyPassing) {
			out = append(out, e)
		}
	}
	return out
}

// serviceAddresses are the addresses of the family asked or, when there is none, the name of one host elsewhere.
func (q *asked) serviceAddresses(entries []*api.ServiceEntry, ttl time.Duration) answer {
	qtype := q.qtype
	if qtype == dns.TypeTXT {
		qtype = dns.TypeANY
	}
	a, hosts := answer{outline: outline{addresses: true}}, answer{outline: outline{limit: 1}}
	told := map[string]bool{} // several instances may share a node
	for _, e := range entries {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		if told[address] {
			continue
		}
		told[address] = true
		rr := addressRR(q.qname, address, ttl)
		switch {
		case rr == nil:
		case rr.Header().Rrtype == dns.TypeCNAME:
			hosts.choices = append(hosts.choices, choice{rr: rr})
		case fits(rr, qtype):
			a.choices = append(a.choices, choice{rr: rr})
		}
	}
	if len(a.choices) == 0 {
		return hosts
	}
	return a
}

// endpoints are the SRV records, each with the address of its target.
func (q *asked) endpoints(entries []*api.ServiceEntry, ttl time.Duration) answer {
	type endpoint struct {
		target string
		port   int
	}
	var a answer
	told := map[endpoint]bool{}
	for _, e := range entries {
		target, addr := q.target(e)
		if end := (endpoint{target, e.Service.Port}); target == "" || told[end] {
			continue
		} else {
			told[end] = true
		}
		c := choice{rr: &dns.SRV{
			Hdr: header(q.qname, dns.TypeSRV, ttl), Priority: 1, Weight: weight(e), Port: uint16(e.Service.Port), Target: target,
		}}
		if addr.IsValid() {
			c.with = []dns.RR{ipRR(target, addr, ttl)}
		}
		if q.cfg.EnableAdditionalNodeMetaTXT {
			c.text = metaText(q.nodeName(e.Node.Node), e.Node.Meta, ttl)
		}
		a.choices = append(a.choices, c)
	}
	return a
}

// target is the name of the host of an instance, and its address where it is ours to tell. It is empty when the instance
// cannot be named.
func (q *asked) target(e *api.ServiceEntry) (string, netip.Addr) {
	address, own := e.Service.Address, true
	if address == "" {
		address, own = e.Node.Address, false
	}
	addr, ok := parseIP(address)
	switch {
	case !ok:
		host, _ := hostName(address)
		return host, addr
	case own:
		return hex.EncodeToString(addr.AsSlice()) + ".addr." + q.place() + "." + q.zone, addr
	}
	return q.nodeName(e.Node.Node), addr
}

// weight is an instance's share of traffic by its health.
func weight(e *api.ServiceEntry) uint16 {
	w := e.Service.Weights.Passing
	if api.WorstStatus(e.Checks) != api.Passing {
		w = e.Service.Weights.Warning
	}
	return uint16(min(max(w, 0), 65535))
}

// nameServers are the servers, as the zone's. The zone is this datacenter's, whichever the name asked is about.
func (q *asked) nameServers(rows []*verb.Row) []choice {
	home := *q
	home.dc = ""
	server := func(node string) choice {
		return choice{rr: &dns.NS{Hdr: header(q.zone, dns.TypeNS, q.cfg.NodeTTL), Ns: home.nodeName(node)}}
	}
	var out []choice
	for _, r := range rows {
		e := r.Value.(*api.ServiceEntry)
		if !catalog.Passing(e, false) {
			continue
		}
		c := server(e.Node.Node)
		if addr, ok := parseIP(e.Node.Address); ok {
			c.with = []dns.RR{ipRR(home.nodeName(e.Node.Node), addr, q.cfg.NodeTTL)}
		}
		out = append(out, c)
	}
	if out == nil {
		// Who answers can at least name itself.
		out = []choice{server(q.node)}
	}
	return out
}

// maxNameServers is how many servers are named at once.
const maxNameServers = 3

// servers answers with the zone's name servers.
func (q *asked) servers(rows []*verb.Row) answer {
	return answer{outline: outline{authoritative: true, shuffle: true, limit: maxNameServers}, choices: q.nameServers(rows)}
}

// authority answers with the zone's start of authority.
func (q *asked) authority(rows []*verb.Row) answer {
	a := answer{outline: ours, choices: []choice{{rr: q.soa()}}}
	for i, c := range q.nameServers(rows) {
		if i == maxNameServers {
			break
		}
		a.authority = append(a.authority, c.rr)
		a.extra = append(a.extra, c.with...)
	}
	return a
}
