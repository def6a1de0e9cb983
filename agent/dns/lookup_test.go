package dns

import (
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"
)

func TestLookup(t *testing.T) {
	service := func(name, tag, dc string) lookup {
		return lookup{kind: serviceFor, name: name, tag: tag, dc: dc, zone: "consul."}
	}
	none := lookup{kind: nothing, zone: "consul."}
	address := func(text string) lookup {
		return lookup{kind: addressFor, addr: netip.MustParseAddr(text), zone: "consul."}
	}
	owner := func(text string) lookup {
		l := lookup{kind: reverseFor, zone: "consul."}
		if text != "" {
			l.addr = netip.MustParseAddr(text)
		}
		return l
	}
	tests := map[string]lookup{
		"web.service.consul.":                              service("web", "", ""),
		"web.service.dc1.consul.":                          service("web", "", ""),
		"web.service.dc1.dc.consul.":                       service("web", "", ""),
		"web.service.dc2.consul.":                          service("web", "", "dc2"),
		"web.service.dc2.dc.consul.":                       service("web", "", "dc2"),
		"v1.web.service.consul.":                           service("web", "v1", ""),
		"v1.2.web.service.consul.":                         service("web", "v1.2", ""),
		"_web._tcp.service.consul.":                        service("web", "", ""),
		"_web._v1.service.consul.":                         service("web", "v1", ""),
		"_web._v1.service.dc2.consul.":                     service("web", "v1", "dc2"),
		"_web._tcp.consul.":                                service("web", "", ""),
		"_web._tcp.dc2.consul.":                            service("web", "", "dc2"),
		"service.service.consul.":                          service("service", "", ""),
		"node.service.consul.":                             service("node", "", ""),
		"web.service.parley.":                              {kind: serviceFor, name: "web", zone: "parley."},
		"web.service.default.ns.consul.":                   service("web", "", ""),
		"web.service.default.ns.default.ap.dc2.dc.consul.": service("web", "", "dc2"),
		"web.service.other.ns.consul.":                     none,
		"web.service.other.peer.consul.":                   none,
		"web.service.a.b.c.consul.":                        none,
		"web.connect.consul.":                              {kind: meshFor, name: "web", zone: "consul."},
		"web.connect.dc2.consul.":                          {kind: meshFor, name: "web", dc: "dc2", zone: "consul."},
		"v1.web.connect.consul.":                           none,
		"n1.node.consul.":                                  {kind: nodeFor, name: "n1", zone: "consul."},
		"n1.node.dc2.consul.":                              {kind: nodeFor, name: "n1", dc: "dc2", zone: "consul."},
		"n1.example.node.consul.":                          {kind: nodeFor, name: "n1.example", zone: "consul."},
		"0a000001.addr.consul.":                            address("10.0.0.1"),
		"0a000001.addr.dc9.consul.":                        address("10.0.0.1"),
		"20010db8000000000000000000000006.addr.consul.":    address("2001:db8::6"),
		"0a0000.addr.consul.":                              none,
		"zz.addr.consul.":                                  none,
		"a.0a000001.addr.consul.":                          none,
		"consul.":                                          none,
		"service.consul.":                                  none,
		"node.consul.":                                     none,
		"addr.consul.":                                     none,
		"dc1.consul.":                                      none,
		"q.query.consul.":                                  {kind: queryFor, name: "q", zone: "consul."},
		"a.b.query.dc2.consul.":                            {kind: queryFor, name: "a.b", dc: "dc2", zone: "consul."},
		"_q._tcp.query.consul.":                            {kind: queryFor, name: "q", zone: "consul."},
		"query.consul.":                                    none,
		"web.virtual.consul.":                              {kind: virtualFor, name: "web", zone: "consul."},
		"v1.web.virtual.consul.":                           none,
		"web.ingress.consul.":                              none,
		"_web.consul.":                                     none,
		"_._.service.consul.":                              service("_", "_", ""),
		"example.com.":                                     {},
		"web.service.consul.example.com.":                  {},
		"notconsul.":                                       {},
		".":                                                {},
		"arpa.":                                            {},
		"1.0.0.10.in-addr.arpa.":                           owner("10.0.0.1"),
		"0.0.10.in-addr.arpa.":                             owner(""),
		"256.0.0.10.in-addr.arpa.":                         owner(""),
		"in-addr.arpa.":                                    owner(""),
		"ip6.arpa.":                                        owner(""),
		"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.":  owner("2001:db8::6"),
		"66.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": owner(""),
	}
	z := newZones("DC1", "Consul.", "parley")
	for name, want := range tests {
		wire := make([]byte, 256)
		n, err := mdns.PackDomainName(name, wire, 0, nil, false)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := z.lookup(wire[:n]); got != want {
			t.Errorf("%s\n got %+v\nwant %+v", name, got, want)
		}
	}
}
