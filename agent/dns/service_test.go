package dns_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// dnsCase is a question and what is answered, as zone file lines.
type dnsCase struct {
	name, qtype       string
	rcode             string // empty: NOERROR
	answer            []string
	denied            bool // the authority section has the start of authority
	authority, extras []string
}

func (c dnsCase) check(r *running) {
	r.Helper()
	for _, network := range []string{"udp", "udp", "tcp"} { // the first answer comes from a query, others from packed records
		m := r.exchange(network, question(c.name, mdns.StringToType[c.qtype]))
		rcode := c.rcode
		if rcode == "" {
			rcode = "NOERROR"
		}
		authority := texts(m.Ns)
		if c.denied {
			if len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != mdns.TypeSOA {
				r.Errorf("%s %s: not denied with the start of authority", c.name, c.qtype)
			}
			authority = nil
		}
		if mdns.RcodeToString[m.Rcode] != rcode || !m.Authoritative || m.RecursionAvailable || !slices.Equal(texts(m.Answer), c.answer) ||
			!slices.Equal(authority, c.authority) || !slices.Equal(texts(m.Extra), c.extras) {
			r.Errorf("%s %s by %s: want %+v, got\n%v", c.name, c.qtype, network, c, m)
		}
		if m.Question[0].Name != mdns.Fqdn(c.name) {
			r.Errorf("the question %s comes back as %s", c.name, m.Question[0].Name)
		}
	}
}

// catalogOfTwo is a service with an instance on an address of its own, one on its node's, and one that is critical.
func catalogOfTwo() []verb.Command {
	n1 := node("n1", "192.0.2.1", &api.Service{
		ID: "web-1", Service: "web", Tags: []string{"v1"}, Port: 8080, Address: "198.51.100.1", Weights: api.Weights{Passing: 5, Warning: 2},
	})
	n1.NodeMeta = map[string]string{"rack": "r1", "rfc1035-txt": `plain \ "text"`}
	return []verb.Command{
		n1,
		node("n2", "192.0.2.2", &api.Service{ID: "web-2", Service: "web", Tags: []string{"V2"}, Port: 8081}, check("web-2", api.Warning)),
		node("n3", "192.0.2.3", &api.Service{ID: "web-3", Service: "web", Tags: []string{"v3"}, Port: 8082}, check("web-3", api.Critical)),
		node("n6", "2001:db8::6", &api.Service{Service: "six", Port: 6666}),
		node("ext", "ext.example.org", &api.Service{Service: "cn", Port: 443}),
		node("n4", "192.0.2.4", &api.Service{
			Kind: api.KindConnectProxy, Service: "web-sidecar-proxy", Port: 21000, Proxy: &api.Proxy{DestinationServiceName: "web"},
		}),
		node("node-1", "192.0.2.9", &api.Service{Service: "consul", Port: 8300}),
	}
}

func TestAnswers(t *testing.T) {
	r := start(t, usual(), catalogOfTwo()...)
	text := []string{`n1.node.dc1.consul. 0 IN TXT "plain \\ \"text\""`, `n1.node.dc1.consul. 0 IN TXT "rack=r1"`}
	first := "web.service.consul. 0 IN SRV 1 5 8080 c6336401.addr.dc1.consul."
	own := "c6336401.addr.dc1.consul. 0 IN A 198.51.100.1"
	ns := "consul. 0 IN NS node-1.node.dc1.consul."
	nsAddress := "node-1.node.dc1.consul. 0 IN A 192.0.2.9"
	for _, c := range []dnsCase{
		{name: "web.service.consul", qtype: "A", answer: []string{"web.service.consul. 0 IN A 192.0.2.2", "web.service.consul. 0 IN A 198.51.100.1"}},
		{name: "web.service.parley", qtype: "A", answer: []string{"web.service.parley. 0 IN A 192.0.2.2", "web.service.parley. 0 IN A 198.51.100.1"}},
		{name: "WEB.service.DC1.consul", qtype: "A", answer: []string{"WEB.service.DC1.consul. 0 IN A 192.0.2.2", "WEB.service.DC1.consul. 0 IN A 198.51.100.1"}},
		{name: "web.service.consul", qtype: "AAAA", denied: true},
		{name: "web.service.consul", qtype: "MX", denied: true},
		{
			name: "web.service.consul", qtype: "SRV",
			answer: []string{"web.service.consul. 0 IN SRV 1 1 8081 n2.node.dc1.consul.", first},
			extras: append([]string{own}, append(slices.Clone(text), "n2.node.dc1.consul. 0 IN A 192.0.2.2")...),
		},
		{
			// The domain of targets is spelled as asked, also from packed records.
			name: "v1.web.service.conSUL", qtype: "SRV",
			answer: []string{"v1.web.service.conSUL. 0 IN SRV 1 5 8080 c6336401.addr.dc1.conSUL."},
			extras: []string{
				"c6336401.addr.dc1.conSUL. 0 IN A 198.51.100.1",
				`n1.node.dc1.conSUL. 0 IN TXT "plain \\ \"text\""`, `n1.node.dc1.conSUL. 0 IN TXT "rack=r1"`,
			},
		},
		{name: "_web._tcp.service.consul", qtype: "A", answer: []string{"_web._tcp.service.consul. 0 IN A 192.0.2.2", "_web._tcp.service.consul. 0 IN A 198.51.100.1"}},
		{name: "_web._v2.service.consul", qtype: "A", answer: []string{"_web._v2.service.consul. 0 IN A 192.0.2.2"}},
		{name: "_web._udp.service.consul", qtype: "SRV", rcode: "NXDOMAIN", denied: true},
		{name: "v3.web.service.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "none.service.consul", qtype: "SRV", rcode: "NXDOMAIN", denied: true},
		{name: "web.service.dc2.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "six.service.consul", qtype: "AAAA", answer: []string{"six.service.consul. 0 IN AAAA 2001:db8::6"}},
		{name: "six.service.consul", qtype: "A", denied: true},
		{
			name: "six.service.consul", qtype: "SRV",
			answer: []string{"six.service.consul. 0 IN SRV 1 1 6666 n6.node.dc1.consul."}, extras: []string{"n6.node.dc1.consul. 0 IN AAAA 2001:db8::6"},
		},
		{name: "cn.service.consul", qtype: "A", answer: []string{"cn.service.consul. 0 IN CNAME ext.example.org."}},
		{name: "cn.service.consul", qtype: "SRV", answer: []string{"cn.service.consul. 0 IN SRV 1 1 443 ext.example.org."}},
		{name: "web.connect.consul", qtype: "A", answer: []string{"web.connect.consul. 0 IN A 192.0.2.4"}},
		{name: "six.connect.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "none.query.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "web.virtual.consul", qtype: "A", answer: []string{"web.virtual.consul. 0 IN A 240.0.0.1"}},
		{name: "web.virtual.consul", qtype: "AAAA"},
		{name: "six.virtual.consul", qtype: "A"},
		{name: "1.0.0.240.in-addr.arpa", qtype: "PTR", answer: []string{"1.0.0.240.in-addr.arpa. 0 IN PTR web.virtual.consul."}},
		{name: "2.0.0.240.in-addr.arpa", qtype: "PTR", rcode: "NXDOMAIN", denied: true},
		{name: "web.service.other.peer.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "web.ingress.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{
			name: "N1.node.consul", qtype: "A", answer: []string{"N1.node.consul. 0 IN A 192.0.2.1"},
			extras: []string{`N1.node.consul. 0 IN TXT "plain \\ \"text\""`, `N1.node.consul. 0 IN TXT "rack=r1"`},
		},
		{
			name: "n1.node.consul", qtype: "ANY",
			answer: []string{"n1.node.consul. 0 IN A 192.0.2.1", `n1.node.consul. 0 IN TXT "plain \\ \"text\""`, `n1.node.consul. 0 IN TXT "rack=r1"`},
		},
		{name: "n6.node.consul", qtype: "A"},
		{name: "ext.node.consul", qtype: "AAAA", answer: []string{"ext.node.consul. 0 IN CNAME ext.example.org."}},
		{name: "none.node.consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
		{name: "c6336401.addr.dc1.consul", qtype: "A", answer: []string{own}},
		{name: "c6336401.addr.dc1.consul", qtype: "AAAA", extras: []string{own}},
		{name: "1.2.0.192.in-addr.arpa", qtype: "PTR", answer: []string{"1.2.0.192.in-addr.arpa. 0 IN PTR n1.node.dc1.consul."}},
		{name: "1.100.51.198.in-addr.arpa", qtype: "PTR", answer: []string{"1.100.51.198.in-addr.arpa. 0 IN PTR web.service.dc1.consul."}},
		{name: "9.100.51.198.in-addr.arpa", qtype: "PTR", rcode: "NXDOMAIN", denied: true},
		{name: "consul", qtype: "NS", answer: []string{ns}, extras: []string{nsAddress}},
		{name: "consul", qtype: "A", rcode: "NXDOMAIN", denied: true},
	} {
		t.Run(c.name+"_"+c.qtype, func(t *testing.T) {
			in := *r
			in.TB = t
			c.check(&in)
		})
	}

	soa := r.ask("anything.parley", "SOA")
	if len(soa.Answer) != 1 || !slices.Equal(texts(soa.Ns), []string{"parley. 0 IN NS node-1.node.dc1.parley."}) ||
		!slices.Equal(texts(soa.Extra), []string{"node-1.node.dc1.parley. 0 IN A 192.0.2.9"}) {
		t.Errorf("SOA: %v", soa)
	} else if rr := soa.Answer[0].(*mdns.SOA); rr.Ns != "ns.parley." || rr.Mbox != "hostmaster.parley." || rr.Refresh != 3600 ||
		rr.Retry != 600 || rr.Expire != 86400 || rr.Minttl != 0 || rr.Serial == 0 {
		t.Errorf("SOA: %v", rr)
	}
	for _, name := range []string{"example.org", "."} {
		if m := r.ask(name, "A"); m.Rcode != mdns.RcodeRefused || m.Authoritative || len(m.Answer)+len(m.Ns) > 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestHealth(t *testing.T) {
	onNode := check("", api.Critical)
	onNode.CheckID = "disk"
	commands := append(catalogOfTwo(), node("n5", "192.0.2.5", &api.Service{ID: "web-5", Service: "web"}, onNode))
	c := usual()
	c.OnlyPassing = true
	r := start(t, c, commands...)
	dnsCase{name: "web.service.consul", qtype: "A", answer: []string{"web.service.consul. 0 IN A 198.51.100.1"}}.check(r)

	r.Configure(usual())
	dnsCase{name: "web.service.consul", qtype: "A", answer: []string{"web.service.consul. 0 IN A 192.0.2.2", "web.service.consul. 0 IN A 198.51.100.1"}}.check(r)

	r.servers.apply(t, node("n1", "192.0.2.1", nil, check("web-1", api.Critical)), node("n2", "192.0.2.2", nil, check("web-2", api.Critical)))
	r.eventually("web.service.consul", "A", func(m *mdns.Msg) bool { return m.Rcode == mdns.RcodeNameError })
	// A node answers for itself however it is.
	dnsCase{name: "n5.node.consul", qtype: "A", answer: []string{"n5.node.consul. 0 IN A 192.0.2.5"}}.check(r)
}

func TestTTLs(t *testing.T) {
	c := usual()
	c.NodeTTL = 5 * time.Second
	c.ServiceTTL = map[string]time.Duration{"*": 2 * time.Second, "we*": 3 * time.Second, "Web": 7 * time.Second, "w*": 4 * time.Second}
	c.SOA.MinTTL = 9
	r := start(t, c,
		node("n1", "192.0.2.1", &api.Service{Service: "web"}), node("n1", "192.0.2.1", &api.Service{Service: "weather"}),
		node("n1", "192.0.2.1", &api.Service{Service: "work"}), node("n1", "192.0.2.1", &api.Service{Service: "db"}))
	for name, want := range map[string]uint32{
		"n1.node.consul": 5, "web.service.consul": 7, "weather.service.consul": 3, "work.service.consul": 4, "db.service.consul": 2,
		"c0000201.addr.consul": 5,
	} {
		if m := r.ask(name, "A"); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != want {
			t.Errorf("%s: want %d, got %v", name, want, m)
		}
	}
	if m := r.ask("none.service.consul", "A"); len(m.Ns) != 1 || m.Ns[0].Header().Ttl != 9 {
		t.Errorf("a denial may not be kept as configured: %v", m)
	}
	if m := r.ask("web.service.consul", "SRV"); len(m.Extra) != 1 || m.Extra[0].Header().Ttl != 7 {
		t.Errorf("%v", m)
	}
}

// many registers a service of n instances, each on a node of its own.
func many(n int) []verb.Command {
	var out []verb.Command
	for i := range n {
		out = append(out, node(fmt.Sprintf("t%04d", i), fmt.Sprintf("10.%d.%d.%d", i/62500, i/250%250, i%250+1), &api.Service{Service: "many", Port: 1000 + i%1000}))
	}
	return out
}

func TestSizes(t *testing.T) {
	r := start(t, usual(), many(60)...)
	set := func(change func(*dns.Config)) dns.Config {
		c := usual()
		change(&c)
		return c
	}
	unlimited := set(func(c *dns.Config) { c.UDPAnswerLimit = 0 })
	truncate := set(func(c *dns.Config) { c.EnableTruncate = true })
	tests := []struct {
		config    dns.Config
		network   string
		qtype     uint16
		edns      uint16
		answers   int
		extras    int
		truncated bool
	}{
		{usual(), "udp", mdns.TypeA, 0, 3, 0, false},
		{usual(), "udp", mdns.TypeA, 512, 3, 0, false},
		{usual(), "udp", mdns.TypeA, 100, 3, 0, false},
		{usual(), "udp", mdns.TypeA, 1232, 60, 0, false},
		{usual(), "udp", mdns.TypeSRV, 0, 3, 3, false},
		{usual(), "udp", mdns.TypeSRV, 1232, 20, 20, false},
		{usual(), "udp", mdns.TypeSRV, 4096, 60, 60, false},
		{usual(), "tcp", mdns.TypeSRV, 0, 60, 60, false},
		{usual(), "tcp", mdns.TypeA, 0, 60, 0, false},
		{truncate, "udp", mdns.TypeA, 0, 3, 0, true},
		{truncate, "udp", mdns.TypeSRV, 1232, 20, 20, true},
		{truncate, "udp", mdns.TypeA, 1232, 60, 0, false},
		{truncate, "tcp", mdns.TypeA, 0, 60, 0, false},
		{unlimited, "udp", mdns.TypeA, 0, 29, 0, false}, // 512 bytes less 38 for header and question, by 16
		{set(func(c *dns.Config) { c.ARecordLimit = 2 }), "tcp", mdns.TypeA, 0, 2, 0, false},
		{set(func(c *dns.Config) { c.ARecordLimit = 10 }), "udp", mdns.TypeA, 0, 3, 0, false},
		{set(func(c *dns.Config) { c.ARecordLimit = 2 }), "tcp", mdns.TypeSRV, 0, 60, 60, false},
		{set(func(c *dns.Config) { c.DisableCompression = true }), "udp", mdns.TypeSRV, 1232, 12, 12, false},
	}
	for _, c := range tests {
		r.Configure(c.config)
		m := question("many.service.consul", c.qtype)
		if c.edns > 0 {
			m.SetEdns0(c.edns, false)
		}
		got := r.exchange(c.network, m)
		if len(got.Answer) != c.answers || len(texts(got.Extra)) != c.extras || got.Truncated != c.truncated || (got.IsEdns0() != nil) != (c.edns > 0) {
			t.Errorf("%+v: %d answers, %d extras, truncated %v", c, len(got.Answer), len(texts(got.Extra)), got.Truncated)
		}
		told := map[string]bool{}
		for _, line := range texts(got.Answer) {
			if told[line] {
				t.Errorf("%+v: %s is told twice", c, line)
			}
			told[line] = true
		}
	}
}

// TestNoRoom: what does not fit at all is told to be asked for over TCP, whatever the configuration.
func TestNoRoom(t *testing.T) {
	n := node("n1", "192.0.2.1", nil)
	long := make([]byte, 600)
	for i := range long {
		long[i] = 'x'
	}
	n.NodeMeta = map[string]string{"long": string(long)}
	r := start(t, usual(), n)
	if m := r.ask("n1.node.consul", "TXT"); !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("over UDP: %v", m)
	}
	if m := r.ask("n1.node.consul", "A"); m.Truncated || len(m.Answer) != 1 || len(m.Extra) != 0 {
		t.Errorf("an address with text that does not fit: %v", m)
	}
	m := r.exchange("tcp", question("n1.node.consul", mdns.TypeTXT))
	if len(m.Answer) != 1 || len(m.Answer[0].(*mdns.TXT).Txt) != 3 {
		t.Errorf("over TCP: %v", m)
	}
}

// TestLarge: a service beyond what compression pointers reach and a message holds.
func TestLarge(t *testing.T) {
	r := start(t, usual(), many(2500)...)
	m := r.exchange("tcp", question("many.service.consul", mdns.TypeSRV))
	if len(m.Answer) < 900 || len(m.Answer) != len(m.Extra) || m.Truncated {
		t.Fatalf("%d answers with %d addresses", len(m.Answer), len(m.Extra))
	}
	addresses := map[string]bool{}
	for _, rr := range m.Extra {
		addresses[rr.Header().Name] = true
	}
	for _, rr := range m.Answer {
		if !addresses[rr.(*mdns.SRV).Target] {
			t.Fatalf("%v has no address", rr)
		}
	}
}

func TestShared(t *testing.T) {
	r := start(t, usual(),
		node("n1", "192.0.2.1", &api.Service{ID: "a", Service: "web", Port: 80}),
		node("n1", "192.0.2.1", &api.Service{ID: "b", Service: "web", Port: 81}),
		node("n1", "192.0.2.1", &api.Service{ID: "c", Service: "web", Port: 81}))
	dnsCase{name: "web.service.consul", qtype: "A", answer: []string{"web.service.consul. 0 IN A 192.0.2.1"}}.check(r)
	dnsCase{
		name: "web.service.consul", qtype: "SRV",
		answer: []string{"web.service.consul. 0 IN SRV 1 1 80 n1.node.dc1.consul.", "web.service.consul. 0 IN SRV 1 1 81 n1.node.dc1.consul."},
		extras: []string{"n1.node.dc1.consul. 0 IN A 192.0.2.1"},
	}.check(r)
}

// TestShuffled: over many answers every instance comes first about as often.
func TestShuffled(t *testing.T) {
	for _, n := range []int{5, 40} {
		r := start(t, usual(), many(n)...)
		first := map[string]int{}
		const rounds = 4000
		for range rounds {
			m, err := r.Answer(t.Context(), question("many.service.consul", mdns.TypeA))
			if err != nil || len(m.Answer) != 3 {
				t.Fatal(err, m)
			}
			first[m.Answer[0].String()]++
		}
		for line, times := range first {
			if want := rounds / n; times < want/2 || times > want*2 {
				t.Errorf("of %d: %s came first %d times, which should be about %d", n, line, times, want)
			}
		}
		if len(first) != n {
			t.Errorf("%d of %d ever came first", len(first), n)
		}
	}
}

func TestSubnet(t *testing.T) {
	r := start(t, usual(), catalogOfTwo()...)
	m := question("n6.node.consul", mdns.TypeAAAA)
	m.SetEdns0(4096, true)
	m.IsEdns0().Option = []mdns.EDNS0{
		&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "24a5ac1122334455"},
		&mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, SourceScope: 0, Address: []byte{10, 1, 2, 0}},
	}
	got := r.exchange("udp", m).IsEdns0()
	if got == nil || !got.Do() || len(got.Option) != 1 || got.Option[0].String() != "10.1.2.0/24/0" {
		t.Errorf("%v", got)
	}
}
