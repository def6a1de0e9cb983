package dns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// raw sends bytes over UDP and returns what comes back; nil when nothing does.
func (r *running) raw(packet []byte) *mdns.Msg {
	r.Helper()
	conn, err := net.Dial("udp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	// The question behind it is answered later, so when its answer comes first there is none to the packet.
	sentinel, err := question("n1.node.consul", mdns.TypeA).Pack()
	if err != nil {
		r.Fatal(err)
	}
	binary.BigEndian.PutUint16(sentinel, 0xFFFF)
	for _, b := range [][]byte{packet, sentinel} {
		if _, err := conn.Write(b); err != nil {
			r.Fatal(err)
		}
	}
	in := make([]byte, 65535)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for round := 0; ; round++ {
		n, err := conn.Read(in)
		if err != nil {
			r.Fatal("the server does not answer any more:", err)
		}
		m := new(mdns.Msg)
		if err := m.Unpack(in[:n]); err != nil {
			r.Fatalf("%x: the reply cannot be read: %v", packet, err)
		}
		if m.Id != 0xFFFF {
			return m
		}
		if round == 100 {
			return nil
		}
		// There are two readers: further rounds let the other finish.
		if _, err := conn.Write(sentinel); err != nil {
			r.Fatal(err)
		}
	}
}

func TestMalformed(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", nil))
	r.ask("n1.node.consul", "A")
	good, err := question("n1.node.consul", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(good, 1)
	changed := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	set := func(at int, values ...byte) []byte {
		return changed(func(b []byte) []byte { copy(b[at:], values); return b })
	}
	badVersion := question("n1.node.consul", mdns.TypeA)
	badVersion.SetEdns0(1232, false)
	badVersion.IsEdns0().SetVersion(7)
	versionPacket, err := badVersion.Pack()
	if err != nil {
		t.Fatal(err)
	}
	twoOPT := question("n1.node.consul", mdns.TypeA)
	twoOPT.SetEdns0(1232, false)
	twoOPT.Extra = append(twoOPT.Extra, twoOPT.Extra[0])
	twoPacket, err := twoOPT.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const silence = -1
	for name, c := range map[string]struct {
		packet []byte
		rcode  int
	}{
		"as it should be":            {good, mdns.RcodeSuccess},
		"nothing":                    {[]byte{}, silence},
		"half a header":              {good[:7], silence},
		"a header alone":             {good[:12], mdns.RcodeFormatError},
		"cut in the name":            {good[:16], mdns.RcodeFormatError},
		"cut in the type":            {good[:len(good)-3], mdns.RcodeFormatError},
		"a reply":                    {set(2, 0x80), silence},
		"a status request":           {set(2, 2<<3), mdns.RcodeNotImplemented},
		"a notification":             {set(2, 4<<3), mdns.RcodeNotImplemented},
		"an update":                  {set(2, 5<<3), mdns.RcodeNotImplemented},
		"no question":                {set(4, 0, 0), mdns.RcodeFormatError},
		"two questions":              {set(4, 0, 2), mdns.RcodeFormatError},
		"65535 questions":            {set(4, 255, 255), mdns.RcodeFormatError},
		"an answer":                  {set(6, 0, 1), mdns.RcodeFormatError},
		"more than there is":         {set(10, 0, 1), mdns.RcodeSuccess}, // the question is clear
		"a pointer to itself":        {set(12, 0xC0, 12), mdns.RcodeFormatError},
		"a pointer past the end":     {set(12, 0xC1, 0), mdns.RcodeFormatError},
		"a label of a reserved kind": {set(12, 0x80), mdns.RcodeFormatError},
		"another version of EDNS":    {versionPacket, mdns.RcodeBadVers},
		"EDNS twice":                 {twoPacket, mdns.RcodeFormatError},
		"another class":              {set(len(good)-2, 0, 3), mdns.RcodeSuccess}, // answered, as the public interface has it
		"a byte too many":            {append(bytes.Clone(good), 0), mdns.RcodeSuccess},
		"noise":                      {bytes.Repeat([]byte{0xFF}, 700), silence},
		"zeros":                      {make([]byte, 700), mdns.RcodeFormatError},
	} {
		got := silence
		if m := r.raw(c.packet); m != nil {
			got = m.Rcode
			if m.Rcode != mdns.RcodeSuccess && (len(m.Answer) > 0 || m.Authoritative) {
				t.Errorf("%s: %v", name, m)
			}
		}
		if got != c.rcode {
			t.Errorf("%s: want %d, got %d", name, c.rcode, got)
		}
	}
}

func dialTCP(t *testing.T, r *running) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// TestOneConnection: questions may follow one another, also before they are answered.
func TestOneConnection(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", nil))
	conn := &mdns.Conn{Conn: dialTCP(t, r)}
	names := []string{"n1.node.consul", "none.node.consul", "n1.node.parley", "example.org"}
	for _, name := range names {
		if err := conn.WriteMsg(question(name, mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{mdns.RcodeSuccess, mdns.RcodeNameError, mdns.RcodeSuccess, mdns.RcodeRefused} {
		m, err := conn.ReadMsg()
		if err != nil || m.Rcode != want {
			t.Errorf("%s: %v, %v", names[i], m, err)
		}
	}
	notify := new(mdns.Msg)
	notify.SetNotify("consul.")
	if err := conn.WriteMsg(notify); err != nil {
		t.Fatal(err)
	}
	if m, err := conn.ReadMsg(); err != nil || m.Rcode != mdns.RcodeNotImplemented {
		t.Errorf("%v, %v", m, err)
	}
}

// TestManyConnections: a client has a bounded number, and gets others when it lets go of some.
func TestManyConnections(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", nil))
	asks := func(c net.Conn) error {
		conn := &mdns.Conn{Conn: c}
		if err := conn.WriteMsg(question("n1.node.consul", mdns.TypeA)); err != nil {
			return err
		}
		_, err := conn.ReadMsg()
		return err
	}
	var conns []net.Conn
	for range dns.MaxTCPPerClient {
		conns = append(conns, dialTCP(t, r))
		if err := asks(conns[len(conns)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := asks(dialTCP(t, r)); err == nil {
		t.Error("one connection too many is served")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("one connection too many is left hanging")
	}
	for _, c := range conns {
		c.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for asks(dialTCP(t, r)) != nil {
		if time.Now().After(deadline) {
			t.Fatal("connections given back cannot be had again")
		}
	}
}

// TestSilentConnection: who says nothing is hung up on, and does not hold up Close.
func TestSilentConnection(t *testing.T) {
	r := start(t, usual())
	silent := dialTCP(t, r)
	if _, err := io.ReadAll(silent); err != nil {
		t.Errorf("not hung up in time: %v", err)
	}
	dialTCP(t, r) // still open when the server closes
	if m := r.exchange("tcp", question("none.node.consul", mdns.TypeA)); m.Rcode != mdns.RcodeNameError {
		t.Error(m)
	}
	begin := time.Now()
	if err := r.Close(context.Background()); err != nil || time.Since(begin) > time.Second {
		t.Errorf("Close took %v: %v", time.Since(begin), err)
	}
}

// TestEveryAddress: on a socket for all addresses, a reply comes from the one that was asked.
func TestEveryAddress(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", nil))
	for _, c := range []struct{ listen, ask string }{{"0.0.0.0:0", "127.0.0.2"}, {"[::]:0", "127.0.0.3"}, {"[::]:0", "::1"}} {
		tcp, err := net.Listen("tcp", c.listen)
		if err != nil {
			t.Logf("%s: %v", c.listen, err)
			continue
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- r.Serve(tcp, udp) }()
		defer func() {
			if err := errors.Join(r.Close(context.Background()), <-served); err != nil {
				t.Error(err)
			}
		}()
		_, port, _ := net.SplitHostPort(tcp.Addr().String())
		in := *r
		in.addr = net.JoinHostPort(c.ask, port)
		probe, err := net.Dial("udp", in.addr)
		if err != nil {
			t.Logf("%s: %v", in.addr, err)
			continue
		}
		probe.Close()
		for range 2 {
			if m := in.ask("n1.node.consul", "A"); len(m.Answer) != 1 {
				t.Errorf("%s: %v", in.addr, m)
			}
		}
	}
}

func TestCloses(t *testing.T) {
	s := dns.New(dns.Options{Client: newServers()})
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	tcp, udp := listen(t, "127.0.0.1:0")
	if err := s.Serve(tcp, udp); err != nil {
		t.Error("Serve after Close:", err)
	}
	if _, err := net.Dial("tcp", tcp.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
	again, err := net.ListenPacket("udp", udp.LocalAddr().String())
	if err != nil {
		t.Error("the socket is still open:", err)
	} else {
		again.Close()
	}
}

// slow is a client whose servers do not answer until the end of the context.
type slow struct{ asked chan struct{} }

func (s slow) Query(ctx context.Context, _ verb.Options, _ verb.Query) (verb.Answer, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return verb.Answer{}, ctx.Err()
}

func (s slow) Watch(ctx context.Context, _ verb.Options, _ verb.Query) (verb.Reader, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowServers: a name that waits for the servers holds up no other, is asked for once for all who wait, and ends with
// Close.
func TestSlowServers(t *testing.T) {
	client := slow{make(chan struct{}, 10)}
	s := dns.New(dns.Options{Client: client, Config: usual()})
	r := &running{TB: t, Server: s}
	r.addr = serve(t, s)
	var waiting sync.WaitGroup
	for range 5 {
		conn := &mdns.Conn{Conn: dialTCP(t, r)}
		if err := conn.WriteMsg(question("web.service.consul", mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() {
			if m, err := conn.ReadMsg(); err == nil && m.Rcode != mdns.RcodeServerFailure {
				t.Errorf("%v", m)
			}
		})
	}
	<-client.asked
	for _, network := range []string{"udp", "tcp"} {
		if m := r.exchange(network, question("7f000001.addr.consul", mdns.TypeA)); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	if n := len(client.asked); n > 0 {
		t.Errorf("the servers are asked %d times more", n)
	}
}

// TestReload changes the configuration under load.
func TestReload(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", &api.Service{Service: "web"}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			c := usual()
			c.AllowStale = i%3 != 0
			c.NodeTTL = time.Duration(i) * time.Second
			r.Configure(c)
		}
	}()
	for asking := true; asking; {
		select {
		case <-done:
			asking = false
		default:
		}
		if m := r.ask("web.service.consul", "SRV"); m.Rcode != mdns.RcodeSuccess || len(m.Answer) != 1 {
			t.Fatalf("%v", m)
		}
	}
	if m := r.ask("n1.node.consul", "A"); m.Answer[0].Header().Ttl != 99 {
		t.Errorf("%v", m)
	}
}
