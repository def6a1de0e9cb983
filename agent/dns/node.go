package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// nodeNamed answers from the rows of catalog.Node.
func (q *asked) nodeNamed(rows []*verb.Row) answer {
	n := nodeOf(rows)
	if n == nil {
		return q.unknown()
	}
	n = q.nodeFromHere(n)
	ttl := q.cfg.NodeTTL
	a := answer{outline: ours}
	address := q.qtype == dns.TypeA || q.qtype == dns.TypeAAAA
	if rr := addressRR(q.qname, n.Address, ttl); rr != nil && (address || q.qtype == dns.TypeANY) && fits(rr, q.qtype) {
		a.choices = []choice{{rr: rr}}
	}
	switch {
	case address && q.cfg.EnableAdditionalNodeMetaTXT:
		a.extra = metaText(q.qname, n.Meta, ttl)
	case q.qtype == dns.TypeTXT || q.qtype == dns.TypeANY:
		for _, rr := range metaText(q.qname, n.Meta, ttl) {
			a.choices = append(a.choices, choice{rr: rr})
		}
	}
	return a
}

func nodeOf(rows []*verb.Row) *api.Node {
	for _, r := range rows {
		if p := r.Value.(*catalog.NodePart); p.Node != nil {
			return p.Node
		}
	}
	return nil
}

// address answers for a name that spells its address. Who asks for the other family's is told in passing.
func (q *asked) address() answer {
	rr := ipRR(q.qname, q.addr, q.cfg.NodeTTL)
	if fits(rr, q.qtype) {
		return answer{outline: ours, choices: []choice{{rr: rr}}}
	}
	return answer{outline: ours, extra: []dns.RR{rr}}
}

// fits tells whether a record answers a question for addresses of that type. A CNAME answers any.
func fits(rr dns.RR, qtype uint16) bool {
	t := rr.Header().Rrtype
	return t == qtype || t == dns.TypeCNAME || qtype == dns.TypeANY
}

// addressRR is the record of an address that is an IP or the name of a host elsewhere; nil when it is neither.
func addressRR(owner, address string, ttl time.Duration) dns.RR {
	if addr, ok := parseIP(address); ok {
		return ipRR(owner, addr, ttl)
	}
	if host, ok := hostName(address); ok {
		return &dns.CNAME{Hdr: header(owner, dns.TypeCNAME, ttl), Target: host}
	}
	return nil
}

func ipRR(owner string, addr netip.Addr, ttl time.Duration) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: addr.AsSlice()}
}

func parseIP(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr.WithZone("").Unmap(), err == nil
}

// hostName is the name with a dot at the end, if it can be one.
func hostName(text string) (string, bool) {
	if _, ok := dns.IsDomainName(text); !ok || text == "" || text == "." {
		return "", false
	}
	return dns.Fqdn(text), true
}

// metaText tells a node's metadata, by key. A key that begins with rfc1035- has its value stand alone.
func metaText(owner string, meta map[string]string, ttl time.Duration) []dns.RR {
	var out []dns.RR
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		text := k + "=" + meta[k]
		if strings.HasPrefix(strings.ToLower(k), "rfc1035-") {
			text = meta[k]
		}
		out = append(out, &dns.TXT{Hdr: header(owner, dns.TypeTXT, ttl), Txt: textStrings(text)})
	}
	return out
}

// textStrings cuts a text into strings of 255 bytes, which is what one can hold.
func textStrings(text string) []string {
	var out []string
	for len(text) > 255 {
		out = append(out, escapeText(text[:255]))
		text = text[255:]
	}
	return append(out, escapeText(text))
}

// escapeText writes what the library would otherwise read as an escape.
func escapeText(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

// escape does the same for a name: its dots separate labels, all else is taken as it stands.
func escape(name string) string { return strings.ReplaceAll(name, `\`, `\\`) }
