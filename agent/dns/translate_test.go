package dns

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// TestTranslateWAN: an instance and a node of another datacenter are answered with the addresses that they have for it, if that
// is wanted and they have one.
func TestTranslateWAN(t *testing.T) {
	n := api.Node{Node: "n1", Address: "10.0.0.1", Datacenter: "dc2", TaggedAddresses: map[string]string{"wan": "198.51.100.1"}}
	plain := &api.ServiceEntry{Node: n, Service: api.Service{ID: "a", Service: "web", Port: 80}}
	tagged := &api.ServiceEntry{Node: n, Service: api.Service{ID: "b", Service: "web", Address: "10.0.0.2", Port: 81,
		TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "198.51.100.2", Port: 8081}}}}
	home := &api.ServiceEntry{Node: n, Service: api.Service{ID: "c", Service: "web", Port: 82}}
	home.Node.Datacenter = "dc1"
	rows := []*verb.Row{{Key: "a", Value: plain}, {Key: "b", Value: tagged}, {Key: "c", Value: home}}
	for _, c := range []struct {
		on    bool
		qtype uint16
		want  string
	}{
		{true, dns.TypeA, "198.51.100.1 198.51.100.2 10.0.0.1"},
		{true, dns.TypeSRV, "n1.node.dc2.consul.:80 c6336402.addr.dc2.consul.:8081 n1.node.dc2.consul.:82"},
		{false, dns.TypeA, "10.0.0.1 10.0.0.2"}, // the first and the last are on one node
	} {
		q := &asked{
			lookup: lookup{kind: serviceFor, name: "web", dc: "dc2", zone: "consul."}, qname: "web.service.dc2.consul.", qtype: c.qtype,
			cfg: &Config{TranslateWAN: c.on}, datacenter: "dc1",
		}
		got := ""
		for _, choice := range q.service(rows).choices {
			switch rr := choice.rr.(type) {
			case *dns.A:
				got += " " + rr.A.String()
			case *dns.SRV:
				got += fmt.Sprintf(" %s:%d", rr.Target, rr.Port)
			}
		}
		if got != " "+c.want {
			t.Errorf("translated: %t, type %d: got%s, want %s", c.on, c.qtype, got, c.want)
		}
	}
	q := &asked{lookup: lookup{kind: nodeFor, name: "n1", dc: "dc2", zone: "consul."}, qname: "n1.node.dc2.consul.", qtype: dns.TypeA,
		cfg: &Config{TranslateWAN: true}, datacenter: "dc1"}
	a := q.nodeNamed([]*verb.Row{{Key: "n1", Value: &catalog.NodePart{Node: &n}}})
	if len(a.choices) != 1 || a.choices[0].rr.(*dns.A).A.String() != "198.51.100.1" || n.Address != "10.0.0.1" {
		t.Errorf("the node: %v, and it is %v now", a.choices, n)
	}
}
