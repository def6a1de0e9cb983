package dns_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// servers is a dns.Client over a true store, without Raft. It can be away, and counts what it is asked.
type servers struct {
	store *state.Store

	mu      sync.Mutex // guards what follows
	index   uint64
	changed chan struct{} // closed and replaced at each change, also of away
	away    error
	queries int
	watches int // open
}

func newServers() *servers {
	return &servers{store: state.New(), changed: make(chan struct{}), index: 1}
}

var errAway = errors.New("no servers")

func (s *servers) apply(t testing.TB, commands ...verb.Command) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range commands {
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		s.index++
		tx := s.store.Write()
		tx.At(api.Tenant{}, s.index)
		if _, err := c.Apply(tx); err != nil {
			tx.Abort()
			t.Fatal(err)
		}
		tx.Commit()
	}
	s.wake()
}

func (s *servers) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// setAway cuts the servers off, or brings them back with nil.
func (s *servers) setAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
	s.wake()
}

func (s *servers) counts() (queries, watches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries, s.watches
}

func (s *servers) read(o verb.Options, q verb.Query) (verb.Answer, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return verb.Answer{}, s.changed, s.away
	}
	if o.Datacenter != "" && o.Datacenter != "dc1" {
		return verb.Answer{}, s.changed, verb.ErrNoPath
	}
	tx, _ := s.store.Watch()
	rows, err := q.Read(tx)
	slices.SortFunc(rows, func(a, b *verb.Row) int { return strings.Compare(a.Key, b.Key) })
	_, index := tx.Seen()
	return verb.Answer{Index: index, Rows: rows, KnownLeader: true}, s.changed, err
}

func (s *servers) Query(_ context.Context, o verb.Options, q verb.Query) (verb.Answer, error) {
	s.mu.Lock()
	s.queries++
	s.mu.Unlock()
	a, _, err := s.read(o, q)
	return a, err
}

func (s *servers) Watch(_ context.Context, o verb.Options, q verb.Query) (verb.Reader, error) {
	if _, _, err := s.read(o, q); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	return &reader{servers: s, o: o, q: q, close: sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watches--
	})}, nil
}

type reader struct {
	servers *servers
	o       verb.Options
	q       verb.Query
	last    uint64
	close   func()
}

func (r *reader) Next(ctx context.Context) (verb.Answer, error) {
	for {
		a, changed, err := r.servers.read(r.o, r.q)
		if err != nil {
			return verb.Answer{}, err
		}
		if a.Index > r.last {
			r.last = a.Index
			return a, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return verb.Answer{}, ctx.Err()
		}
	}
}

func (r *reader) Close() { r.close() }

// running is a server on loopback.
type running struct {
	testing.TB
	*dns.Server
	servers *servers
	addr    string
}

func usual() dns.Config {
	return dns.Config{
		AllowStale: true, UDPAnswerLimit: 3, EnableAdditionalNodeMetaTXT: true,
		SOA: dns.SOA{Refresh: 3600, Retry: 600, Expire: 86400},
	}
}

func start(t testing.TB, c dns.Config, commands ...verb.Command) *running {
	t.Helper()
	s := newServers()
	s.apply(t, commands...)
	r := &running{TB: t, servers: s}
	r.Server = dns.New(dns.Options{
		Client: s, Node: "node-1", Datacenter: "dc1", Domain: "consul", AltDomain: "parley", Config: c,
	})
	r.addr = serve(t, r.Server)
	return r
}

// serve serves on a free port of loopback until the test ends.
func serve(t testing.TB, s *dns.Server) string {
	t.Helper()
	tcp, udp := listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- s.Serve(tcp, udp) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
	})
	return tcp.Addr().String()
}

// listen binds TCP and then the same port of UDP.
func listen(t testing.TB, addr string) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp
		}
		_ = tcp.Close()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil, nil
}

// exchange sends a message and returns the reply. A datagram larger than the message allows is not understood.
func (r *running) exchange(network string, m *mdns.Msg) *mdns.Msg {
	r.Helper()
	c := &mdns.Client{Net: network, Timeout: 10 * time.Second}
	reply, _, err := c.Exchange(m, r.addr)
	if err != nil {
		r.Fatalf("%v: %v", m.Question, err)
	}
	return reply
}

func question(name string, qtype uint16) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetQuestion(mdns.Fqdn(name), qtype)
	return m
}

// ask asks over UDP.
func (r *running) ask(name, qtype string) *mdns.Msg {
	r.Helper()
	return r.exchange("udp", question(name, mdns.StringToType[qtype]))
}

// eventually asks until done holds, for what has to travel through a watch first.
func (r *running) eventually(name, qtype string, done func(*mdns.Msg) bool) *mdns.Msg {
	r.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		m := r.ask(name, qtype)
		if done(m) {
			return m
		}
		if time.Now().After(deadline) {
			r.Fatalf("the answer stays\n%v", m)
		}
	}
}

// texts are the records of a section, sorted, with single blanks.
func texts(rrs []mdns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != mdns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	slices.Sort(out)
	return out
}

// node registers a node, and on it a service unless that is nil.
func node(name, address string, s *api.Service, checks ...api.Check) catalog.Register {
	return catalog.Register{Registration: api.Registration{Node: name, Address: address, Service: s, Checks: checks}}
}

func check(service, status string) api.Check {
	return api.Check{CheckID: "check-" + service, ServiceID: service, Status: status}
}
