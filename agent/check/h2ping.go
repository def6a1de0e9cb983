package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"

	"github.com/parleymesh/parley/api"
)

// maxFrame is the largest frame that a client must be ready for which has not said otherwise.
const maxFrame = 16 << 10

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
	// The end of the context ends whatever is being read or written.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	return pingFrames(http2.NewFramer(conn, conn))
}

// pingFrames opens an HTTP/2 connection as RFC 9113 wants it, sends one ping, and reads until it is answered.
func pingFrames(f *http2.Framer) error {
	f.SetMaxReadFrameSize(maxFrame)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	sent := [8]byte{'p', 'a', 'r', 'l', 'e', 'y'}
	if err := f.WritePing(false, sent); err != nil {
		return err
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			if frame.IsAck() && frame.Data == sent {
				return nil
			}
		case *http2.GoAwayFrame:
			return fmt.Errorf("the server goes away: %s", frame.ErrCode)
		}
	}
}
