package dns

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// quick answers from what is known. When that does not suffice, it is errForward if it takes a recursor, and errUnknown if
// it takes the servers. The key is of the question; it is not kept.
func (s *Server) quick(q *question, key []byte) (*packed, error) {
	c := s.config.Load()
	if h := s.hot.get(key); h != nil && h.cfg == c && s.current(h) {
		s.countStale(h.from)
		return h.packed, nil
	}
	return s.resolve(c, q, key, knowledge{rows: func(src source) (*view, *facts, error) {
		v, f := s.views.known(src)
		if f == nil {
			return nil, nil, errUnknown
		}
		return v, f, nil
	}})
}

// knowledge is where answers come from.
type knowledge struct {
	rows func(source) (*view, *facts, error)
	// addresses asks a recursor for a host's records of a type. Nil: that cannot be done now.
	addresses func(host string, qtype uint16) []dns.RR
	// elsewhere asks the other datacenters that a prepared query names. Nil: likewise.
	elsewhere func(about *query.Asked, dc string) []*verb.Row
}

var errUnknown = errors.New("not known here")

func (s *Server) current(h *hotAnswer) bool {
	t := h.cfg.terms()
	for i := range h.from {
		if !s.views.current(h.from[i].view, h.from[i].facts, t) {
			return false
		}
	}
	return true
}

// slow answers, and asks the servers where it has to. It is errForward if the question itself is one for a recursor.
func (s *Server) slow(ctx context.Context, c *Config, q *question, key []byte) (*packed, error) {
	return s.resolve(c, q, key, knowledge{
		rows:      func(src source) (*view, *facts, error) { return s.views.ask(ctx, src) },
		addresses: func(host string, qtype uint16) []dns.RR { return s.addresses(ctx, c, host, qtype) },
		elsewhere: func(about *query.Asked, dc string) []*verb.Row { return s.elsewhere(ctx, c, about, dc) },
	})
}

// warnEvery keeps a cluster that is away from filling the log.
const warnEvery = 10 * time.Second

func (s *Server) warn(err error) {
	now, last := time.Now().UnixNano(), s.warned.Load()
	if s.ctx.Err() == nil && now-last > int64(warnEvery) && s.warned.CompareAndSwap(last, now) {
		s.log.Warn("cannot answer; clients are told so", "err", err)
	}
}

// only is a reply that says nothing but a code.
func only(rcode int) *packed {
	return &packed{outline: outline{rcode: rcode}, names: [][]byte{nil}}
}

// from is what an answer was made from.
type from struct {
	view  *view
	facts *facts
}

// resolve answers a question from what is known.
func (s *Server) resolve(c *Config, q *question, key []byte, know knowledge) (*packed, error) {
	name := key[:len(key)-2]
	l := s.zones.lookup(name)
	if s.forwards(c, q, l) {
		return nil, errForward
	}
	rows, deps, err := gather(l, q.qtype, know.rows)
	if err != nil {
		return nil, err
	}
	s.countStale(deps)
	rows, moved, err := failover(l, rows, know)
	if err != nil {
		return nil, err
	}
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return only(dns.RcodeFormatError), nil
	}
	if l.kind == reverseFor && len(rows) == 0 && q.recursive(c) {
		return nil, errForward // the address is nobody's here
	}
	about := s.about(c, l, text, q.qtype)
	a, chased, err := s.chase(&about, answerTo(about, rows), know)
	if err != nil {
		return nil, err
	}
	p := pack(a, name, zoneOf(l, name))
	if p.rcode == dns.RcodeSuccess && !chased && !moved {
		s.hot.put(key, &hotAnswer{p, c, deps})
	}
	return p, nil
}

// about is a question with what its answer depends on besides rows.
func (s *Server) about(c *Config, l lookup, name string, qtype uint16) asked {
	return asked{
		lookup: l, qname: name, qtype: qtype, cfg: c, datacenter: s.opts.Datacenter, node: s.opts.Node, serial: uint32(time.Now().Unix()),
	}
}

// zoneOf is the end of the name that is the zone's; none when the name lies elsewhere.
func zoneOf(l lookup, name []byte) []byte {
	if l.kind == foreign || l.kind == reverseFor {
		return nil
	}
	return name[len(name)-len(l.zone)-1:]
}

// gather finds the rows that answerTo takes.
func gather(l lookup, qtype uint16, get func(source) (*view, *facts, error)) (rows []*verb.Row, deps []from, err error) {
	take := func(src source) (*facts, error) {
		v, f, err := get(src)
		if err == nil {
			deps = append(deps, from{v, f})
		}
		return f, err
	}
	var src source
	switch {
	case l.kind == foreign:
		return nil, nil, nil
	case l.kind == reverseFor:
		rows, err = owners(l, take)
		return rows, deps, err
	case qtype == dns.TypeSOA || qtype == dns.TypeNS:
		src = source{serviceRows, "", "consul"}
	case l.kind == serviceFor:
		src = source{serviceRows, l.dc, l.name}
	case l.kind == meshFor:
		src = source{meshRows, l.dc, l.name}
	case l.kind == nodeFor:
		src = source{nodeRows, l.dc, l.name}
	case l.kind == queryFor:
		src = source{queryRows, l.dc, l.name}
	case l.kind == virtualFor:
		src = source{virtualRows, l.dc, l.name}
	default:
		return nil, nil, nil
	}
	f, err := take(src)
	if err != nil {
		return nil, nil, err
	}
	return f.rows, deps, nil
}

// virtualNet holds all virtual addresses.
var virtualNet = netip.MustParsePrefix("240.0.0.0/4")

// owners finds who has an address: a service that it stands for, or nodes, or else instances.
func owners(l lookup, take func(source) (*facts, error)) ([]*verb.Row, error) {
	if !l.addr.IsValid() {
		return nil, nil
	}
	if virtualNet.Contains(l.addr) {
		f, err := take(source{kind: ownerRows, name: l.addr.String()})
		if err != nil {
			return nil, err
		}
		if len(f.rows) > 0 {
			return f.rows, nil
		}
	}
	for _, kind := range []sourceKind{allNodes, allInstances} {
		f, err := take(source{kind: kind})
		if err != nil {
			return nil, err
		}
		if rows := f.byAddress()[l.addr]; rows != nil {
			return rows, nil
		}
	}
	return nil, nil
}
