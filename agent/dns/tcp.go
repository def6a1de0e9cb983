package dns

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/telemetry"
)

// What a client may take of us over TCP. A question is expected at once, another one soon.
const (
	tcpReadTimeout  = 2 * time.Second
	tcpWriteTimeout = 2 * time.Second
	tcpIdleTimeout  = 8 * time.Second
	maxTCPQueries   = 1024 // on one connection
	maxTCPConns     = 1024
	maxTCPPerClient = 128
)

// stream is the server of a listener.
func (s *Server) stream(l net.Listener) *dns.Server {
	return &dns.Server{
		Listener: &limited{Listener: l, conns: map[netip.Addr]int{}}, Handler: dns.HandlerFunc(s.serveTCP), MsgAcceptFunc: accept,
		ReadTimeout: tcpReadTimeout, MaxTCPQueries: maxTCPQueries,
		IdleTimeout: func() time.Duration { return tcpIdleTimeout },
	}
}

// serveTCP answers one question. The library calls it, one at a time for each connection.
func (s *Server) serveTCP(to dns.ResponseWriter, m *dns.Msg) {
	q := &question{tcp: true}
	w := s.writers.Get().(*writer)
	defer s.writers.Put(w)
	began := telemetry.Now()
	defer func() { s.figures.others.of(q.qtype).ObserveSince(began) }()
	// Who does not take the reply has hung up.
	_, _ = to.Write(s.answerTCP(w, q, m))
}

func (s *Server) answerTCP(w *writer, q *question, m *dns.Msg) []byte {
	c := s.config.Load()
	if rcode := q.of(m); rcode != dns.RcodeSuccess {
		return w.write(q, only(rcode), c)
	}
	key := appendKey(nil, q)
	if p, err := s.quick(q, key); err == nil {
		return w.write(q, p, c)
	}
	packet, err := m.Pack()
	if err != nil {
		return w.write(q, only(dns.RcodeServerFailure), c)
	}
	ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
	defer cancel()
	return s.answer(ctx, w, q, key, packet, false)
}

// limited bounds the connections, all together and each client's. One too many is closed: there is no way to say why.
type limited struct {
	net.Listener
	mu    sync.Mutex // guards what follows
	all   int
	conns map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		client := tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if l.admit(client) {
			return &limitedConn{TCPConn: tcp, release: sync.OnceFunc(func() { l.release(client) })}, nil
		}
		_ = c.Close()
	}
}

func (l *limited) admit(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxTCPConns || l.conns[client] >= maxTCPPerClient {
		return false
	}
	l.all++
	l.conns[client]++
	return true
}

func (l *limited) release(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.conns[client]--; l.conns[client] == 0 {
		delete(l.conns, client)
	}
}

type limitedConn struct {
	*net.TCPConn // with its way to write length and message in one piece
	release      func()
}

// SetReadDeadline implements net.Conn. The library sets no deadline for writing, so that is set along.
func (c *limitedConn) SetReadDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t.Add(answerTimeout + tcpWriteTimeout)); err != nil {
		return err
	}
	return c.TCPConn.SetReadDeadline(t)
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.release()
	return c.TCPConn.Close()
}
