package dns

import (
	"bytes"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func plainMessages() []*mdns.Msg {
	var out []*mdns.Msg
	for _, name := range []string{".", "consul.", "web.service.consul.", "WEB.Service.Consul.", strings.Repeat("a.", 127), strings.Repeat("b", 63) + ".consul."} {
		m := new(mdns.Msg)
		m.SetQuestion(name, mdns.TypeSRV)
		out = append(out, m)
		e := m.Copy()
		e.SetEdns0(1232, true)
		out = append(out, e)
	}
	return out
}

func TestReadPlain(t *testing.T) {
	for _, m := range plainMessages() {
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q question
		if !q.read(packet) {
			t.Errorf("%v is not read", m.Question)
			continue
		}
		sameQuestion(t, &q, m)
		if n := testing.AllocsPerRun(10, func() { q.read(packet) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestReadLeavesTheRest(t *testing.T) {
	option := new(mdns.Msg)
	option.SetQuestion("web.service.consul.", mdns.TypeA)
	option.SetEdns0(1232, false)
	option.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "24a5ac1122334455"}}
	version := new(mdns.Msg)
	version.SetQuestion("web.service.consul.", mdns.TypeA)
	version.SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	two := new(mdns.Msg)
	two.SetQuestion("web.service.consul.", mdns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	reply := new(mdns.Msg)
	reply.SetQuestion("web.service.consul.", mdns.TypeA)
	reply.Response = true
	notify := new(mdns.Msg)
	notify.SetNotify("consul.")
	for name, m := range map[string]*mdns.Msg{"option": option, "version": version, "two": two, "reply": reply, "notify": notify} {
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q question
		if q.read(packet) {
			t.Errorf("%s is taken for a plain message", name)
		}
	}
}

// FuzzRead holds our reading against the library's.
func FuzzRead(f *testing.F) {
	for _, m := range plainMessages() {
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
		f.Add(packet[:len(packet)-1])
		f.Add(append(packet, 0))
	}
	// A name that points to itself.
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var q, odd question
		rcode, ok := odd.readOdd(packet)
		if !q.read(packet) {
			return
		}
		m := new(mdns.Msg)
		if err := m.Unpack(packet); err != nil {
			t.Fatalf("the library does not read it: %v", err)
		}
		sameQuestion(t, &q, m)
		if !ok || rcode != mdns.RcodeSuccess {
			t.Fatalf("the other way it is refused: %d, %v", rcode, ok)
		}
		if q.id != odd.id || q.flags != odd.flags || !bytes.Equal(q.name, odd.name) || q.qtype != odd.qtype ||
			q.qclass != odd.qclass || q.limit() != odd.limit() {
			t.Fatalf("the other way it is %+v, not %+v", odd, q)
		}
		// Whatever is asked has a lookup, and a reply that can be read.
		key := appendKey(nil, &q)
		z := newZones("dc1", "consul", "parley")
		l := z.lookup(key[:len(key)-2])
		if l.kind == serviceFor || l.kind == meshFor || l.kind == nodeFor {
			return
		}
		text, _, err := mdns.UnpackDomainName(key[:len(key)-2], 0)
		if err != nil {
			t.Fatal(err)
		}
		a := answerTo(asked{lookup: l, qname: text, qtype: q.qtype, cfg: &Config{}, datacenter: "dc1", node: "n"}, nil)
		reply := newWriter(chance{}).write(&q, pack(a, key[:len(key)-2], zoneOf(l, key[:len(key)-2])), &Config{})
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("the reply cannot be read: %v", err)
		}
	})
}

func sameQuestion(t *testing.T, q *question, m *mdns.Msg) {
	t.Helper()
	name, _, err := mdns.UnpackDomainName(q.name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Question) != 1 || name != m.Question[0].Name || q.qtype != m.Question[0].Qtype || q.qclass != m.Question[0].Qclass {
		t.Fatalf("%q %d %d is read, the library reads %v", name, q.qtype, q.qclass, m.Question)
	}
	if q.id != m.Id || q.flags&flagRD != 0 != m.RecursionDesired || q.flags&flagCD != 0 != m.CheckingDisabled {
		t.Fatalf("id %d, flags %x; the library reads %v", q.id, q.flags, m.MsgHdr)
	}
	opt := m.IsEdns0()
	if q.edns.present != (opt != nil) {
		t.Fatalf("EDNS %v, the library reads %v", q.edns.present, opt)
	}
	if opt != nil && (q.edns.size != opt.UDPSize() || q.edns.do != opt.Do() || opt.Version() != 0 || len(opt.Option) > 0) {
		t.Fatalf("EDNS %+v, the library reads %v", q.edns, opt)
	}
}
