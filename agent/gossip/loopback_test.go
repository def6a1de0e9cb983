package gossip

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// loopback are options for a real network; the port is any that is free.
func loopback(name string, n int) Options {
	o := Default()
	o.NodeName, o.NodeID, o.Datacenter = name, id(n), "dc1"
	o.Bind = mustAddrPort("127.0.0.1:0")
	o.EncryptKeys = [][]byte{[]byte("0123456789abcdef")}
	o.Timing = Timing{GossipInterval: 20 * time.Millisecond, ProbeInterval: 50 * time.Millisecond, ProbeTimeout: 25 * time.Millisecond, SuspicionMult: 2}
	return o
}

func startReal(t *testing.T, o Options) *Pool {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func waitFor(t *testing.T, p *Pool, name string, s api.MemberStatus) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := p.Changed()
		if status(p, name) == s {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s is not %s: %s", name, s, statuses(p))
		}
	}
}

func TestOnLoopback(t *testing.T) {
	first := loopback("a", 1)
	first.Server, first.RPCPort = true, 8300
	a := startReal(t, first)
	b, c := startReal(t, loopback("b", 2)), startReal(t, loopback("c", 3))
	addr := a.Local().Addr.String()
	for _, p := range []*Pool{b, c} {
		if err := p.RetryJoin(t.Context(), []string{"127.0.0.1:1", addr}, time.Second, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, b, "c", api.MemberAlive)
	if got := b.Servers(); len(got) != 1 || got[0] != "127.0.0.1:8300" {
		t.Errorf("servers are %v", got)
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, a, "c", api.MemberLeft)
	b.Close()
	waitFor(t, a, "b", api.MemberFailed)
	if a.Stats()["members"] != "3" || a.Stats()["encrypted"] != "true" {
		t.Errorf("stats are %v", a.Stats())
	}
}

func TestWhatListensThere(t *testing.T) {
	p := startReal(t, loopback("a", 1))
	plain := loopback("b", 2)
	plain.EncryptKeys = nil
	q := startReal(t, plain)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		words string
	}{
		"nothing is said": {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, "not the gossip port"},
		"HTTP": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		}, "does not speak gossip"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					c.serve(conn)
					conn.Close()
				}
			}()
			t.Cleanup(func() { l.Close(); <-served })
			_, err = q.Join(t.Context(), []string{l.Addr().String()})
			wantRefused(t, err, c.words, l.Addr().String())
			if _, err = p.Join(t.Context(), []string{l.Addr().String()}); err == nil {
				t.Error("joined it")
			} else {
				t.Logf("with a key: %s", err)
			}
		})
	}
}

// udpAlone listens on a port that is free for TCP.
func udpAlone(t *testing.T) net.PacketConn {
	t.Helper()
	for range 50 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			tcp.Close()
			return udp
		}
		udp.Close()
	}
	t.Fatal("no port is free for TCP")
	return nil
}

func TestCannotListen(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp := udpAlone(t)
	defer udp.Close()
	for name, c := range map[string]struct {
		bind  string
		words []string
	}{
		"TCP in use":          {tcp.Addr().String(), []string{tcp.Addr().String() + " (tcp): address already in use", "ports.serf_lan"}},
		"UDP in use":          {udp.LocalAddr().String(), []string{udp.LocalAddr().String() + " (udp): address already in use", "ports.serf_lan"}},
		"not of this machine": {"192.0.2.1:0", []string{"192.0.2.1:0 (tcp): cannot assign requested address", "-bind"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := loopback("a", 1)
			o.Bind = mustAddrPort(c.bind)
			p, err := New(o)
			if err == nil {
				p.Close()
				t.Fatal("it listens")
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
					t.Errorf("want %q: %s", w, err)
				}
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		words  string
	}{
		"no name":        {func(o *Options) { o.NodeName = "" }, "node name"},
		"a bad name":     {func(o *Options) { o.NodeName = "a/b" }, "slash"},
		"no id":          {func(o *Options) { o.NodeID = "" }, "node id"},
		"no datacenter":  {func(o *Options) { o.Datacenter = "" }, "datacenter"},
		"a short key":    {func(o *Options) { o.EncryptKeys = [][]byte{{1}} }, "encryption key 1 has 1 bytes"},
		"no RPC port":    {func(o *Options) { o.Server = true }, "RPC port"},
		"a bad RPC addr": {func(o *Options) { o.Server, o.RPCAddr = true, "here" }, "host:port"},
		"another pool":   {func(o *Options) { o.Pool = "man" }, `"man"`},
		"nowhere":        {func(o *Options) { o.Bind = netip.AddrPort{} }, "bind"},
		"everywhere":     {func(o *Options) { o.Bind = mustAddrPort("[::]:0") }, "advertise_addr"},
		"too much to say": {
			func(o *Options) { o.Datacenter = strings.Repeat("d", 600) }, "512 is the most",
		},
		"a snapshot in a file": {func(o *Options) { o.SnapshotPath = "/dev/null/x" }, "list of known members"},
	} {
		t.Run(name, func(t *testing.T) {
			o := loopback("a", 1)
			c.change(&o)
			p, err := New(o)
			if err == nil {
				p.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.words) {
				t.Errorf("want %q: %s", c.words, err)
			}
		})
	}
}
