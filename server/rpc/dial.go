package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// dialTimeout bounds a connection's making, TLS included.
const dialTimeout = 3 * time.Second

// Dialer makes connections to servers. The zero value dials TCP in the clear.
type Dialer struct {
	// Dial opens a stream to host:port; nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// TLS, when set, is asked at each dialling; a nil configuration is for a connection in the clear.
	TLS func() *tls.Config
}

func (d Dialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	open := d.Dial
	if open == nil {
		open = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	conn, err := open(ctx, addr)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if d.TLS != nil {
		config = d.TLS()
	}
	if config == nil {
		return conn, nil
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	inner := tls.Client(conn, config)
	if err := inner.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", addr, err)
	}
	return inner, nil
}

// Stream is raft's part of a Listener.
type Stream struct {
	*lane
	dialer    Dialer
	advertise net.Addr
}

var _ raft.StreamLayer = (*Stream)(nil)

// Raft is where raft's connections arrive and how it makes them. advertise is the address by which other servers know
// this one; nil is that of the listener.
func (l *Listener) Raft(d Dialer, advertise net.Addr) *Stream {
	if advertise == nil {
		advertise = l.raft.addr
	}
	return &Stream{lane: l.raft, dialer: d, advertise: advertise}
}

// Addr implements raft.StreamLayer.
func (s *Stream) Addr() net.Addr { return s.advertise }

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
	return conn, nil
}
