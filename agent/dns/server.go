package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Server answers questions on any number of pairs of sockets.
type Server struct {
	opts  Options
	log   *slog.Logger
	zones zones
	views *views
	hot   hot

	recursors *recursors
	figures   figures
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
	s.recursors = newRecursors(&s.figures)
	s.writers.New = func() any { return newWriter(chance{}) }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.config.Store(o.Config.withDefaults())
	s.views = newViews(o.Client, o.Node, o.Config.terms())
	return s
}

func (c *Config) terms() terms { return terms{c.AllowStale, c.MaxStale} }

// Configure puts another configuration into force.
func (s *Server) Configure(c Config) {
	s.config.Store(c.withDefaults())
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
