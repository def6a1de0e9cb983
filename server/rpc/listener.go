package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/server/quietlog"
)

// The first byte of a connection tells what it carries. Raft's is our own; it is none with which TLS, HTTP, SSH or any
// text begins. The tag is not part of raft's stream; the others are the first byte of theirs.
const (
	tagRaft byte = 0xA7
	tagTLS  byte = 0x16 // a TLS record that holds a handshake
	tagGRPC byte = 'P'  // of HTTP/2's preface
)

// Bounds on connections that have not yet said what they are.
const (
	routeTimeout     = 10 * time.Second
	maxUnrouted      = 1024
	maxUnroutedByOne = 64 // from one address
)

// ListenOptions is what a Listener is made of.
type ListenOptions struct {
	Listener net.Listener
	// TLS, when set, is offered to those who begin with it. It may change what it serves by GetConfigForClient.
	TLS *tls.Config
	// RequireTLS refuses connections in the clear.
	RequireTLS bool
	// RouteTimeout is how long a connection may take to say what it is, its TLS handshake included; 0: ten seconds.
	RouteTimeout time.Duration
	// MaxConnsPerClient bounds the open connections of one address; 0: no bound.
	MaxConnsPerClient int
	Logger            *slog.Logger
}

// Listener hands each connection to the protocol that its first byte names.
type Listener struct {
	in         net.Listener
	tls        *tls.Config
	requireTLS atomic.Bool
	timeout    time.Duration
	maxConns   int
	log        *slog.Logger
	refused    *quietlog.Log

	raft, grpc *lane
	ctx        context.Context
	cancel     context.CancelFunc
	done       sync.WaitGroup

	mu       sync.Mutex // guards what follows
	unrouted map[string]int
	total    int
	open     map[string]int // by address, also those handed on
}

// Listen begins to accept connections. Close closes the listener that it was given.
func Listen(o ListenOptions) (*Listener, error) {
	if o.RequireTLS && o.TLS == nil {
		return nil, errors.New("the RPC listener is to refuse connections in the clear, but has no certificate: set cert_file and key_file")
	}
	l := &Listener{
		in: o.Listener, tls: o.TLS, log: o.Logger.With("component", "rpc"),
		raft: newLane(o.Listener.Addr()), grpc: newLane(o.Listener.Addr()), unrouted: map[string]int{}, open: map[string]int{},
		timeout: cmp.Or(o.RouteTimeout, routeTimeout), maxConns: o.MaxConnsPerClient,
	}
	l.refused = quietlog.New(l.log)
	l.requireTLS.Store(o.RequireTLS)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.done.Go(l.accept)
	return l, nil
}

// RequireTLS says whether connections in the clear are refused from now on. Open ones stay.
func (l *Listener) RequireTLS(yes bool) { l.requireTLS.Store(yes) }

// GRPC is where connections that speak gRPC arrive.
func (l *Listener) GRPC() net.Listener { return l.grpc }

// Close stops accepting, drops what is not yet routed, and waits. Connections handed on stay.
func (l *Listener) Close() error {
	l.cancel()
	err := l.in.Close()
	_, _ = l.raft.Close(), l.grpc.Close()
	l.done.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Listener) accept() {
	pause := 5 * time.Millisecond
	for {
		conn, err := l.in.Accept()
		if l.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, as a rule: connections that end make room.
			l.refused.Say(slog.LevelWarn, quietlog.Key{Reason: "accept"}, "cannot accept connections", "err", err)
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
				return
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		source := host(conn.RemoteAddr())
		if why := l.admit(source); why != "" {
			_ = conn.Close()
			l.refused.Say(slog.LevelWarn, quietlog.Key{Subject: source}, "connection closed: "+why, "source", source)
			continue
		}
		l.done.Go(func() { l.serve(&counted{Conn: conn, closed: func() { l.closed(source) }}, source) })
	}
}

// admit takes a place for a connection. If there is none it tells why.
func (l *Listener) admit(source string) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.total >= maxUnrouted || l.unrouted[source] >= maxUnroutedByOne:
		return "too many have not yet said what they are"
	case l.maxConns > 0 && l.open[source] >= l.maxConns:
		return fmt.Sprintf("%d from this address are open, and no more are allowed; see limits.rpc_max_conns_per_client", l.maxConns)
	}
	l.total++
	l.unrouted[source]++
	l.open[source]++
	return ""
}

// closed gives back the place of an open connection.
func (l *Listener) closed(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[source]--; l.open[source] == 0 {
		delete(l.open, source)
	}
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	once   sync.Once
	closed func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

func (l *Listener) release(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.unrouted[source]--; l.unrouted[source] == 0 {
		delete(l.unrouted, source)
	}
}

// serve routes one connection, within a time.
func (l *Listener) serve(conn net.Conn, source string) {
	defer l.release(source)
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	to, routed, err := l.route(ctx, conn)
	inTime := stop()
	if err == nil && inTime && to.deliver(ctx, routed) {
		return
	}
	_ = conn.Close()
	// Who leaves without a word probes the port, as monitoring does; who stays without one holds a place.
	if err == nil || l.ctx.Err() != nil || inTime && errors.Is(err, errSilent) {
		return
	}
	l.refused.Say(slog.LevelWarn, quietlog.Key{Subject: source}, "connection closed", "source", source, "err", err)
}

var errSilent = errors.New("nothing was sent")

// route finds who is to have the connection, and returns it as that one is to see it.
func (l *Listener) route(ctx context.Context, conn net.Conn) (*lane, net.Conn, error) {
	first, err := firstByte(conn)
	if err != nil {
		return nil, nil, err
	}
	if first != tagTLS {
		if l.requireTLS.Load() {
			return nil, nil, errors.New("it is in the clear, and this server accepts TLS only")
		}
		return l.lane(conn, first)
	}
	if l.tls == nil {
		return nil, nil, errors.New("it begins with TLS, and this server has no certificate: set cert_file and key_file")
	}
	inner := tls.Server(&replayed{Conn: conn, first: first, have: true}, l.tls)
	if err := inner.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if first, err = firstByte(inner); err != nil {
		return nil, nil, err
	}
	return l.lane(inner, first)
}

// lane finds the protocol of a byte.
func (l *Listener) lane(conn net.Conn, first byte) (*lane, net.Conn, error) {
	switch first {
	case tagRaft:
		return l.raft, conn, nil
	case tagGRPC:
		return l.grpc, &replayed{Conn: conn, first: first, have: true}, nil
	}
	return nil, nil, fmt.Errorf("it begins with %#02x, which is nothing that is spoken here: is the port right?", first)
}

func firstByte(conn net.Conn) (byte, error) {
	var b [1]byte
	if _, err := conn.Read(b[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", errSilent, err)
	}
	return b[0], nil
}

// replayed is a connection whose first byte has been read and is to be read again.
type replayed struct {
	net.Conn
	first byte
	have  bool
}

// Read implements net.Conn. Like other connections it has one reader at a time.
func (c *replayed) Read(p []byte) (int, error) {
	if !c.have || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.have = false
	p[0] = c.first
	return 1, nil
}

// lane is the listener of one protocol.
type lane struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newLane(addr net.Addr) *lane {
	return &lane{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// deliver hands a connection to whoever accepts. It reports false when nobody does in time.
func (l *lane) deliver(ctx context.Context, conn net.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	case <-l.closed:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that come later are closed.
func (l *lane) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *lane) Addr() net.Addr { return l.addr }

// host is an address without its port.
func host(addr net.Addr) string {
	if h, _, err := net.SplitHostPort(addr.String()); err == nil {
		return h
	}
	return addr.String()
}
