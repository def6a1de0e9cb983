package dns

import (
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/server/verb"
)

// answer is all that can be said to a question. How much of it is said depends on who asks; which part of it, on chance.
type answer struct {
	outline
	choices   []choice
	authority []dns.RR
	extra     []dns.RR // left out when there is no room
}

// outline is an answer without its records.
type outline struct {
	rcode         int
	authoritative bool
	shuffle       bool // the choices are equals
	addresses     bool // the choices are addresses, which ARecordLimit bounds
	limit         int  // this many choices at the most; 0: all
	chain         bool // the choices lead to one another: without the last, the first are of little use
}

// ours is the outline of what we have the say about.
var ours = outline{authoritative: true}

// choice is a record of the answer section, with what goes along in the additional section.
type choice struct {
	rr   dns.RR
	with []dns.RR // without these, the record is left out too
	text []dns.RR // left out when there is no room
}

// asked is what an answer depends on besides rows.
type asked struct {
	lookup
	qname      string // in lower case, with a dot at the end
	qtype      uint16
	cfg        *Config
	datacenter string // ours
	node       string // ours
	serial     uint32 // of the zone
}

// answerTo answers a question from rows. Which rows it takes, needs says.
func answerTo(q asked, rows []*verb.Row) answer {
	switch {
	case q.kind == foreign:
		return answer{outline: outline{rcode: dns.RcodeRefused}}
	case q.kind == reverseFor:
		return q.names(rows)
	case q.qtype == dns.TypeSOA:
		return q.authority(rows)
	case q.qtype == dns.TypeNS:
		return q.servers(rows)
	}
	switch q.kind {
	case serviceFor, meshFor:
		return q.service(rows)
	case queryFor:
		return q.query(rows)
	case virtualFor:
		return q.virtual(rows)
	case nodeFor:
		return q.nodeNamed(rows)
	case addressFor:
		return q.address()
	}
	return q.unknown()
}

// unknown denies the name.
func (q *asked) unknown() answer {
	return answer{outline: outline{rcode: dns.RcodeNameError, authoritative: true}, authority: []dns.RR{q.soa()}}
}

// empty says that the name exists, and has no such record.
func (q *asked) empty() answer {
	return answer{outline: ours, authority: []dns.RR{q.soa()}}
}

func (q *asked) soa() dns.RR {
	c := q.cfg.SOA
	return &dns.SOA{
		Hdr: header(q.zone, dns.TypeSOA, time.Duration(c.MinTTL)*time.Second),
		Ns:  "ns." + q.zone, Mbox: "hostmaster." + q.zone,
		Serial: q.serial, Refresh: c.Refresh, Retry: c.Retry, Expire: c.Expire, Minttl: c.MinTTL,
	}
}

func header(owner string, rrtype uint16, ttl time.Duration) dns.RR_Header {
	seconds := min(max(ttl/time.Second, 0), 1<<31-1)
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: uint32(seconds)}
}

// place is the datacenter that is asked about.
func (q *asked) place() string {
	if q.dc != "" {
		return q.dc
	}
	return q.datacenter
}

// nodeName is the name under which a node is found.
func (q *asked) nodeName(node string) string {
	return escape(node) + ".node." + q.place() + "." + q.zone
}

// serviceTTL is how long an answer about the service may be kept.
func (c *Config) serviceTTL(service string) time.Duration {
	var ttl time.Duration
	longest := -1
	for name, d := range c.ServiceTTL {
		if strings.EqualFold(name, service) {
			return d
		}
		prefix, ok := strings.CutSuffix(name, "*")
		if ok && len(prefix) > longest && len(prefix) <= len(service) && strings.EqualFold(prefix, service[:len(prefix)]) {
			ttl, longest = d, len(prefix)
		}
	}
	return ttl
}
