package rpc

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Stream is raft's part of a Listener. Raft's transport leaves open what it accepted and what it has dialled; Close closes it.
type Stream struct {
	*lane
	dialer    Dialer
	advertise net.Addr

	mu    sync.Mutex // guards what follows
	ended bool
	open  map[*streamConn]struct{}
}

var _ raft.StreamLayer = (*Stream)(nil)

// Raft is where raft's connections arrive and how it makes them. advertise is the address by which other servers know
// this one; nil is that of the listener.
func (l *Listener) Raft(d Dialer, advertise net.Addr) *Stream {
	if advertise == nil {
		advertise = l.raft.addr
	}
	return &Stream{lane: l.raft, dialer: d, advertise: advertise, open: map[*streamConn]struct{}{}}
}

// Addr implements raft.StreamLayer.
func (s *Stream) Addr() net.Addr { return s.advertise }

// Accept implements net.Listener.
func (s *Stream) Accept() (net.Conn, error) {
	conn, err := s.lane.Accept()
	if err != nil {
		return nil, err
	}
	return s.keep(conn)
}

// Dial implements raft.StreamLayer.
func (s *Stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.dialer.dial(ctx, string(addr))
	if err != nil {
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := conn.Write([]byte{tagRaft}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return s.keep(conn)
}

// keep remembers a connection until it is closed.
func (s *Stream) keep(conn net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c := &streamConn{Conn: conn, stream: s}
	s.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Listener. It closes the connections as well.
func (s *Stream) Close() error {
	s.mu.Lock()
	s.ended = true
	open := s.open
	s.open = map[*streamConn]struct{}{}
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
	return s.lane.Close()
}

// streamConn is a connection of a Stream's.
type streamConn struct {
	net.Conn
	stream *Stream
}

// Read implements net.Conn. That the stream was closed is an end like any other, of which raft has nothing to complain.
func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.stream.mu.Lock()
		defer c.stream.mu.Unlock()
		if c.stream.ended {
			err = io.EOF
		}
	}
	return n, err
}

// Close implements net.Conn.
func (c *streamConn) Close() error {
	c.stream.mu.Lock()
	delete(c.stream.open, c)
	c.stream.mu.Unlock()
	return c.Conn.Close()
}
