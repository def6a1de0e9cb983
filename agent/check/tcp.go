package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/parleymesh/parley/api"
)

// tcpProbe opens a connection, and a TLS session where that is wanted, and closes it.
type tcpProbe struct {
	address string
	tls     *tls.Config // nil: in the clear
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newTCPProbe(def *api.CheckDefinition, o Options) *tcpProbe {
	p := &tcpProbe{address: def.TCP, dial: o.Dial}
	if def.TCPUseTLS {
		p.tls = o.tlsConfig(def, hostOf(def.TCP))
	}
	return p
}

func (p *tcpProbe) Run(ctx context.Context) (status, output string) {
	conn, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return api.Critical, err.Error()
	}
	defer conn.Close()
	if p.tls != nil {
		if err := tls.Client(conn, p.tls).HandshakeContext(ctx); err != nil {
			return api.Critical, fmt.Sprintf("TLS handshake with %s: %s", p.address, err)
		}
	}
	return api.Passing, fmt.Sprintf("TCP connect %s: Success", p.address)
}

// hostOf returns the host of a host:port that Validate accepted.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
