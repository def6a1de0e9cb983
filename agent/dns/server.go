package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/server/verb"
)

// Server answers questions on any number of pairs of sockets.
type Server struct {
	opts  Options
	log   *slog.Logger
	zones zones
	views *views
	hot   hot
	// asking bounds the questions over UDP that wait for the servers.
	asking  chan struct{}
	writers sync.Pool // of those who answer what waited

	config atomic.Pointer[Config]
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	// The warning about what the servers refuse to answer is given now and then only.
	warned atomic.Int64

	mu      sync.Mutex // guards what follows
	closed  bool
	serving map[*dns.Server]net.PacketConn // by TCP, and UDP
}

// maxWaiting bounds the questions over UDP that wait for the servers. Those beyond are answered with a failure.
const maxWaiting = 512

// New returns a server that serves nobody yet.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		opts: o, log: o.Logger.With("component", "dns"), zones: newZones(o.Datacenter, o.Domain, o.AltDomain),
		asking: make(chan struct{}, maxWaiting), serving: map[*dns.Server]net.PacketConn{},
	}
	s.writers.New = func() any { return newWriter(chance{}) }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.config.Store(&o.Config)
	s.views = newViews(o.Client, o.Node, o.Config.terms())
	return s
}

func (c *Config) terms() terms { return terms{c.AllowStale, c.MaxStale} }

// Configure puts another configuration into force.
func (s *Server) Configure(c Config) {
	s.config.Store(&c)
	s.views.configure(c.terms())
}

// Serve answers on both until Close, which closes them. It returns why it could not go on; nil after Close.
func (s *Server) Serve(tcp net.Listener, udp net.PacketConn) error {
	conn, ok := udp.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("dns: questions are read from a *net.UDPConn, not from a %T", udp)
	}
	stream := s.stream(tcp)
	if !s.add(stream, conn) {
		return errors.Join(ignoreClosed(tcp.Close()), ignoreClosed(conn.Close()))
	}
	ended := make(chan error, 2)
	go func() {
		defer s.work.Done()
		ended <- s.serveUDP(conn)
	}()
	go func() {
		defer s.work.Done()
		ended <- ignoreClosed(stream.ActivateAndServe())
	}()
	err := <-ended
	// One without the other is of no use.
	stop(stream, conn)
	err = errors.Join(err, <-ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.serving, stream)
	return err
}

func (s *Server) add(stream *dns.Server, conn net.PacketConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.serving[stream] = conn
	s.work.Add(2)
	return true
}

// stop closes both and wakes those who wait for a question.
func stop(stream *dns.Server, conn net.PacketConn) {
	_ = conn.Close()
	_ = stream.Listener.Close()
	// It does not wait, and one that has not been started finds its listener closed.
	_ = stream.ShutdownContext(canceled)
}

// Close stops answering, closes the sockets, and returns when all has ended; or when ctx does, with its error.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for stream, conn := range s.serving {
		stop(stream, conn)
	}
	s.mu.Unlock()
	s.cancel()

	done := make(chan struct{})
	go func() {
		defer close(done)
		s.views.close()
		s.work.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close DNS: %w", ctx.Err())
	}
}

// canceled is over.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// quick answers from what is known, nil when that does not suffice. The key is of the question; it is not kept.
func (s *Server) quick(q *question, key []byte) *packed {
	c := s.config.Load()
	if h := s.hot.get(key); h != nil && h.cfg == c && s.current(h) {
		return h.packed
	}
	p, err := s.resolve(c, q, key, func(src source) (*view, *facts, error) {
		v, f := s.views.known(src)
		if f == nil {
			return nil, nil, errUnknown
		}
		return v, f, nil
	})
	if err != nil {
		return nil
	}
	return p
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

// slow answers, and asks the servers where it has to.
func (s *Server) slow(ctx context.Context, q *question, key []byte) *packed {
	p, err := s.resolve(s.config.Load(), q, key, func(src source) (*view, *facts, error) { return s.views.ask(ctx, src) })
	if err != nil {
		s.warn(err)
		return only(dns.RcodeServerFailure)
	}
	return p
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

// resolve answers a question with the rows that get returns.
func (s *Server) resolve(c *Config, q *question, key []byte, get func(source) (*view, *facts, error)) (*packed, error) {
	name := key[:len(key)-2]
	l := s.zones.lookup(name)
	rows, deps, err := gather(l, q.qtype, get)
	if err != nil {
		return nil, err
	}
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return only(dns.RcodeFormatError), nil
	}
	a := answerTo(asked{
		lookup: l, qname: text, qtype: q.qtype, cfg: c, datacenter: s.opts.Datacenter, node: s.opts.Node,
		serial: uint32(time.Now().Unix()),
	}, rows)
	p := pack(a, name, zoneOf(l, name))
	if p.rcode == dns.RcodeSuccess {
		s.hot.put(key, &hotAnswer{p, c, deps})
	}
	return p, nil
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
