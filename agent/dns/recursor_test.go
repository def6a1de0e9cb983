package dns_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
)

// elsewhere is a DNS server that is asked about names which are not ours.
type elsewhere struct {
	addr  string
	asked atomic.Int64

	mu   sync.Mutex
	last *mdns.Msg // question
	by   string    // network
}

// newElsewhere answers by a function until the test ends. It returns nil for no answer at all.
func newElsewhere(t testing.TB, answer func(m *mdns.Msg) *mdns.Msg) *elsewhere {
	t.Helper()
	e := &elsewhere{}
	tcp, udp := listen(t, "127.0.0.1:0")
	e.addr = tcp.Addr().String()
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, m *mdns.Msg) {
		e.asked.Add(1)
		e.mu.Lock()
		e.last, e.by = m, w.RemoteAddr().Network()
		e.mu.Unlock()
		if reply := answer(m); reply != nil {
			if err := w.WriteMsg(reply); err != nil {
				t.Error(err)
			}
		}
	})
	var group sync.WaitGroup
	var servers []*mdns.Server
	for _, s := range []*mdns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		servers = append(servers, s)
		group.Go(func() { _ = s.ActivateAndServe() })
		<-started
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
		group.Wait()
	})
	return e
}

// zone answers from records.
func zone(t testing.TB, records ...string) func(m *mdns.Msg) *mdns.Msg {
	var all []mdns.RR
	for _, text := range records {
		rr, err := mdns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return func(m *mdns.Msg) *mdns.Msg {
		reply := new(mdns.Msg)
		reply.SetReply(m)
		reply.RecursionAvailable = true
		name := m.Question[0].Name
		for range all {
			for _, rr := range all {
				if !strings.EqualFold(rr.Header().Name, name) || slices.Contains(reply.Answer, rr) {
					continue
				}
				if cname, ok := rr.(*mdns.CNAME); ok {
					reply.Answer, name = append(reply.Answer, rr), cname.Target
				} else if rr.Header().Rrtype == m.Question[0].Qtype {
					reply.Answer = append(reply.Answer, rr)
				}
			}
		}
		if len(reply.Answer) == 0 {
			reply.Rcode = mdns.RcodeNameError
		}
		if opt := m.IsEdns0(); opt != nil {
			reply.Extra = append(reply.Extra, opt)
		}
		return reply
	}
}

func code(rcode int) func(m *mdns.Msg) *mdns.Msg {
	return func(m *mdns.Msg) *mdns.Msg { return new(mdns.Msg).SetRcode(m, rcode) }
}

func silent(*mdns.Msg) *mdns.Msg { return nil }

func withRecursors(all ...*elsewhere) dns.Config {
	c := usual()
	c.RecursorTimeout = 300 * time.Millisecond
	for _, e := range all {
		c.Recursors = append(c.Recursors, e.addr)
	}
	return c
}

func TestForwarding(t *testing.T) {
	e := newElsewhere(t, zone(t, "www.example.org. 60 A 203.0.113.7", "8.8.8.8.in-addr.arpa. 60 PTR dns.example.org."))
	r := start(t, withRecursors(e), node("n1", "192.0.2.1", &api.Service{Service: "web"}))
	for _, network := range []string{"udp", "tcp"} {
		m := question("WWW.example.org", mdns.TypeA)
		m.SetEdns0(1400, true)
		m.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0011223344556677"}}
		reply := r.exchange(network, m)
		if got := texts(reply.Answer); !slices.Equal(got, []string{"www.example.org. 60 IN A 203.0.113.7"}) || reply.Authoritative || !reply.RecursionAvailable {
			t.Errorf("by %s: %v", network, reply)
		}
		if opt := reply.IsEdns0(); opt == nil || opt.UDPSize() != 1400 || !opt.Do() || len(opt.Option) != 1 {
			t.Errorf("by %s: EDNS was not kept: %v", network, reply)
		}
		e.mu.Lock()
		if e.by != network || e.last.Question[0].Name != "WWW.example.org." || e.last.IsEdns0() == nil || !e.last.RecursionDesired {
			t.Errorf("by %s: the recursor was asked by %s: %v", network, e.by, e.last)
		}
		e.mu.Unlock()
	}
	if m := r.ask("none.example.org", "A"); m.Rcode != mdns.RcodeNameError || m.Authoritative {
		t.Errorf("what does not exist elsewhere: %v", m)
	}
	if m := r.ask("8.8.8.8.in-addr.arpa", "PTR"); len(m.Answer) != 1 {
		t.Errorf("an address that is nobody's here: %v", m)
	}
	if m := r.ask("1.2.0.192.in-addr.arpa", "PTR"); !m.Authoritative || len(m.Answer) != 1 {
		t.Errorf("an address that is somebody's here: %v", m)
	}
	if m := r.ask("web.service.consul", "A"); !m.RecursionAvailable || !m.Authoritative {
		t.Errorf("a name of ours: %v", m)
	}
	before := e.asked.Load()
	m := question("www.example.org", mdns.TypeA)
	m.RecursionDesired = false
	if got := r.exchange("udp", m); got.Rcode != mdns.RcodeRefused {
		t.Errorf("without a wish for recursion: %v", got)
	}
	if m := r.ask("none.service.consul", "A"); m.Rcode != mdns.RcodeNameError || !m.Authoritative {
		t.Errorf("a name of ours that does not exist: %v", m)
	}
	if after := e.asked.Load(); after != before {
		t.Errorf("the recursor was asked %d times for what is not its business", after-before)
	}
}

// TestRecursorsInTurn: the next one is asked when one is silent, refuses or fails, and a silent one is asked last from then on.
func TestRecursorsInTurn(t *testing.T) {
	dead, refuses, fails := newElsewhere(t, silent), newElsewhere(t, code(mdns.RcodeRefused)), newElsewhere(t, code(mdns.RcodeServerFailure))
	good := newElsewhere(t, zone(t, "www.example.org. 60 A 203.0.113.7"))
	r := start(t, withRecursors(dead, refuses, fails, good))
	for range 10 {
		if m := r.ask("www.example.org", "A"); len(m.Answer) != 1 {
			t.Fatal(m)
		}
	}
	if n := dead.asked.Load(); n != 1 {
		t.Errorf("one that is silent was asked %d times", n)
	}
	for _, c := range []struct {
		recursors []*elsewhere
		want      int
	}{
		{[]*elsewhere{refuses, dead}, mdns.RcodeRefused},
		{[]*elsewhere{fails}, mdns.RcodeServerFailure},
		{[]*elsewhere{dead}, mdns.RcodeServerFailure},
	} {
		r.Configure(withRecursors(c.recursors...))
		if m := r.ask("www.example.org", "A"); m.Rcode != c.want || !m.RecursionAvailable && c.want == mdns.RcodeServerFailure && c.recursors[0] == dead {
			t.Errorf("want %s, got %v", mdns.RcodeToString[c.want], m)
		}
	}
	r.Configure(usual())
	if m := r.ask("www.example.org", "A"); m.Rcode != mdns.RcodeRefused || m.RecursionAvailable {
		t.Errorf("without recursors: %v", m)
	}
}

// TestRandomRecursor: with that strategy all are asked.
func TestRandomRecursor(t *testing.T) {
	a, b := newElsewhere(t, zone(t, "www.example.org. 60 A 203.0.113.7")), newElsewhere(t, zone(t, "www.example.org. 60 A 203.0.113.7"))
	c := withRecursors(a, b)
	c.RandomRecursor = true
	r := start(t, c)
	for range 64 {
		r.ask("www.example.org", "A")
	}
	if a.asked.Load() == 0 || b.asked.Load() == 0 || a.asked.Load()+b.asked.Load() != 64 {
		t.Errorf("asked %d and %d times", a.asked.Load(), b.asked.Load())
	}
}

// TestDeadRecursor: questions that wait for a recursor keep no other question from being answered.
func TestDeadRecursor(t *testing.T) {
	dead := newElsewhere(t, silent)
	c := withRecursors(dead)
	c.RecursorTimeout = 5 * time.Second
	r := start(t, c, node("n1", "192.0.2.1", &api.Service{Service: "web"}), node("n2", "www.example.org", &api.Service{Service: "away"}))
	conn, err := net.Dial("udp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 2000 {
		m := question(fmt.Sprintf("host-%d.example.org", i), mdns.TypeA)
		if i%2 == 0 {
			m = question("away.service.consul", mdns.TypeA)
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	// A datagram may be lost among so many; resolvers ask again.
	client := &mdns.Client{Timeout: 500 * time.Millisecond}
	for try := range 5 {
		m, _, err := client.Exchange(question("web.service.consul", mdns.TypeA), r.addr)
		if err == nil && len(m.Answer) == 1 {
			return
		}
		if try == 4 {
			t.Errorf("%v, %v", m, err)
		}
	}
}

// TestLeadingElsewhere: an answer that is the name of another host has that one's address with it.
func TestLeadingElsewhere(t *testing.T) {
	e := newElsewhere(t, zone(t, "ext.example.org. 60 CNAME host.example.org.", "host.example.org. 30 A 203.0.113.9",
		"host.example.org. 30 AAAA 2001:db8::9"))
	r := start(t, withRecursors(e),
		node("ext", "ext.example.org", &api.Service{Service: "away", Port: 80}),
		node("n1", "192.0.2.1", nil),
		node("n2", "n1.node.consul", &api.Service{Service: "home", Port: 81}),
		node("n3", "a.node.consul", nil), node("a", "b.node.consul", nil), node("b", "a.node.consul", nil),
		node("gone", "gone.example.org", nil),
	)
	for range 2 { // the second time, the rows are known
		for _, c := range []struct {
			name, qtype string
			answer      []string
		}{
			{"ext.node.consul", "A", []string{
				"ext.example.org. 60 IN CNAME host.example.org.", "ext.node.consul. 0 IN CNAME ext.example.org.", "host.example.org. 30 IN A 203.0.113.9"}},
			{"away.service.consul", "CNAME", []string{"away.service.consul. 0 IN CNAME ext.example.org."}},
			{"away.service.consul", "AAAA", []string{
				"away.service.consul. 0 IN CNAME ext.example.org.", "ext.example.org. 60 IN CNAME host.example.org.", "host.example.org. 30 IN AAAA 2001:db8::9"}},
			{"home.service.consul", "A", []string{"home.service.consul. 0 IN CNAME n1.node.consul.", "n1.node.consul. 0 IN A 192.0.2.1"}},
			{"gone.node.consul", "A", []string{"gone.node.consul. 0 IN CNAME gone.example.org."}},
			{"n3.node.consul", "A", []string{ // going round in circles has an end
				"a.node.consul. 0 IN CNAME b.node.consul.", "a.node.consul. 0 IN CNAME b.node.consul.", "b.node.consul. 0 IN CNAME a.node.consul.",
				"n3.node.consul. 0 IN CNAME a.node.consul."}},
		} {
			for _, network := range []string{"udp", "tcp"} {
				m := r.exchange(network, question(c.name, mdns.StringToType[c.qtype]))
				if !slices.Equal(texts(m.Answer), c.answer) || !m.Authoritative {
					t.Errorf("%s %s by %s: %v", c.name, c.qtype, network, m)
				}
				if m.Answer[0].Header().Name != mdns.Fqdn(c.name) {
					t.Errorf("%s %s: the first record is not the name's own: %v", c.name, c.qtype, m)
				}
			}
		}
		if m := r.ask("away.service.consul", "SRV"); len(m.Answer) != 1 || !slices.Equal(texts(m.Extra), []string{
			"ext.example.org. 60 IN CNAME host.example.org.", "host.example.org. 30 IN A 203.0.113.9", "host.example.org. 30 IN AAAA 2001:db8::9"}) {
			t.Errorf("SRV: %v", m)
		}
	}
	r.Configure(usual())
	if m := r.ask("ext.node.consul", "A"); len(m.Answer) != 1 {
		t.Errorf("without recursors: %v", m)
	}
}

// FuzzReply: what a recursor sends is taken for a reply only if it is one to the question.
func FuzzReply(f *testing.F) {
	asked := question("www.example.org", mdns.TypeA)
	asked.Id = 7
	sent, err := asked.Pack()
	if err != nil {
		f.Fatal(err)
	}
	reply := func(change func(*mdns.Msg)) []byte {
		m := zone(f, "www.example.org. 60 A 203.0.113.7")(asked)
		change(m)
		data, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	good := reply(func(*mdns.Msg) {})
	for _, c := range []struct {
		reply []byte
		want  bool
	}{
		{good, true},
		{sent, false},
		{good[:20], false},
		{reply(func(m *mdns.Msg) { m.Id = 8 }), false},
		{reply(func(m *mdns.Msg) { m.Question[0].Name = "WWW.example.org." }), true},
		{reply(func(m *mdns.Msg) { m.Question[0].Name = "xxx.example.org." }), false},
		{reply(func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA }), false},
		{reply(func(m *mdns.Msg) { m.Question, m.Answer = nil, nil }), false},
		{reply(func(m *mdns.Msg) { m.Question, m.Answer, m.Rcode = nil, nil, mdns.RcodeFormatError }), true},
	} {
		if got := dns.Answers(c.reply, sent); got != c.want {
			f.Errorf("%x: %v", c.reply, got)
		}
		f.Add(c.reply)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m mdns.Msg
		if dns.Answers(data, sent) && m.Unpack(data) == nil && m.Id != asked.Id {
			t.Errorf("%x is taken for a reply", data)
		}
	})
}
