package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"golang.org/x/net/http2"

	"github.com/parleymesh/parley/api"
)

// h2pingProbe sends HTTP/2's own ping.
type h2pingProbe struct {
	address string
	tls     *tls.Config // nil: in the clear
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newH2PingProbe(def *api.CheckDefinition, o Options) *h2pingProbe {
	p := &h2pingProbe{address: def.H2PING, dial: o.Dial}
	if def.H2PingUseTLS == nil || *def.H2PingUseTLS {
		p.tls = o.tlsConfig(def, hostOf(def.H2PING), http2.NextProtoTLS)
	}
	return p
}

func (p *h2pingProbe) Run(ctx context.Context) (status, output string) {
	if err := p.ping(ctx); err != nil {
		return api.Critical, fmt.Sprintf("HTTP2 ping %s: %s", p.address, err)
	}
	return api.Passing, "HTTP2 ping was successful"
}

func (p *h2pingProbe) ping(ctx context.Context) error {
	conn, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.tls != nil {
		session := tls.Client(conn, p.tls)
		if err := session.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		if got := session.ConnectionState().NegotiatedProtocol; got != http2.NextProtoTLS {
			return fmt.Errorf("the server does not speak HTTP/2 over TLS")
		}
		conn = session
	}
	client, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}
