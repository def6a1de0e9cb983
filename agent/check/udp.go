package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/parleymesh/parley/api"
)

// defaultUDPWait is how long silence is listened to. Silence passes, and a refusal comes back within a round trip, so
// there is no need for the ten seconds of the others.
const defaultUDPWait = time.Second

// udpProbe sends a datagram. A target that refuses it (an ICMP error comes back) is critical; one that answers or says
// nothing passes, since UDP services need not answer what they do not understand.
type udpProbe struct {
	address string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newUDPProbe(def *api.CheckDefinition, o Options) *udpProbe {
	return &udpProbe{address: def.UDP, dial: o.Dial}
}

func (p *udpProbe) Run(ctx context.Context) (status, output string) {
	conn, err := p.dial(ctx, "udp", p.address)
	if err != nil {
		return api.Critical, err.Error()
	}
	defer conn.Close()
	// The end of the context ends the read: that is silence, not an error.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write([]byte("parley udp check")); err != nil {
		return api.Critical, err.Error()
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return api.Critical, err.Error()
	}
	return api.Passing, fmt.Sprintf("UDP connect %s: Success", p.address)
}
