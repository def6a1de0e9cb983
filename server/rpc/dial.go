package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
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
