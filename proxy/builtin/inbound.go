package builtin

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/quietlog"
)

// handshakeTime bounds a caller's handshake.
const handshakeTime = 10 * time.Second

// inbound serves one connection from the mesh: it judges the caller and leads it to the service.
func (p *proxy) inbound(raw net.Conn) {
	defer raw.Close()
	ctx, cancel := context.WithTimeout(p.dialing, handshakeTime)
	defer cancel()
	from := raw.RemoteAddr().String()
	m := p.now.Load()
	denied := func(caller, why string) {
		p.quiet.Say(slog.LevelInfo, quietlog.Key{Subject: caller, Reason: why}, "connection denied", "caller", caller, "from", from, "why", why)
	}
	conn := tls.Server(raw, m.server(denied))
	if err := conn.HandshakeContext(ctx); err != nil {
		p.log.Debug("handshake failed", "from", from, "err", err)
		return
	}
	caller, err := spiffe(conn.ConnectionState())
	if err != nil {
		return // VerifyConnection has found one
	}
	p.open.add(conn, caller)
	defer p.open.remove(conn)
	// A snapshot that came during the handshake has judged all connections but this one.
	now := p.now.Load()
	if d := now.Authorize(caller); !d.Allowed {
		denied(caller, d.Why)
		return
	}
	service, err := dialService(p.dialing, now.Snapshot)
	if err != nil {
		p.quiet.Say(slog.LevelWarn, quietlog.Key{Subject: now.Service, Reason: err.Error()}, "the service does not answer", "service", now.Service, "err", err)
		return
	}
	defer service.Close()
	_, _ = join(conn, service)
}

// dialService connects to the service that the proxy stands for.
func dialService(ctx context.Context, s *snapshot.Snapshot) (net.Conn, error) {
	d := net.Dialer{Timeout: s.LocalConnectTimeout()}
	if proxy := s.Proxy.Proxy; proxy != nil && proxy.LocalServiceSocketPath != "" {
		return d.DialContext(ctx, "unix", proxy.LocalServiceSocketPath)
	}
	return d.DialContext(ctx, "tcp", s.LocalApp.String())
}
