package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// A server that vanished without a word is noticed after about keepaliveEvery and keepaliveFor together.
const (
	keepaliveEvery = 10 * time.Second // the least that gRPC allows
	keepaliveFor   = 3 * time.Second
)

// link is the connection to one server, which is made and made again as needed.
type link struct {
	addr string
	conn *grpc.ClientConn
	why  atomic.Pointer[error] // the last failure of dialling
}

// pool keeps one link for each address.
type pool struct {
	dialer Dialer
	mu     sync.Mutex // guards what follows
	links  map[string]*link
	closed bool
}

func newPool(d Dialer) *pool { return &pool{dialer: d, links: map[string]*link{}} }

// link returns the link to an address.
func (p *pool) link(addr string) (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if l := p.links[addr]; l != nil {
		return l, nil
	}
	l := &link{addr: addr}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		// TLS is the dialer's: its configuration may be another at each dialling.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := p.dialer.dial(ctx, addr)
			if err != nil {
				l.why.Store(&err)
			}
			return conn, err
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(msgpack{}), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: keepaliveFor, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: dialTimeout,
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: time.Second},
		}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("server address %q: %w", addr, err)
	}
	l.conn = conn
	p.links[addr] = l
	return l, nil
}

// keep closes the links to all other addresses. Calls under way over them fail.
func (p *pool) keep(addrs []string) {
	var gone []*link
	p.mu.Lock()
	for addr, l := range p.links {
		if !slices.Contains(addrs, addr) {
			gone = append(gone, l)
			delete(p.links, addr)
		}
	}
	p.mu.Unlock()
	for _, l := range gone {
		_ = l.conn.Close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.keep(nil)
}

// ready waits until the connection stands. When it returns an error nothing has been sent.
func (l *link) ready(ctx context.Context) error {
	for {
		s := l.conn.GetState()
		switch s {
		case connectivity.Ready:
			return nil
		case connectivity.Idle:
			l.conn.Connect()
		case connectivity.TransientFailure:
			return l.unreachable()
		case connectivity.Shutdown:
			return fmt.Errorf("server %s: %w", l.addr, net.ErrClosed)
		}
		if !l.conn.WaitForStateChange(ctx, s) {
			return fmt.Errorf("server %s: %w", l.addr, ctx.Err())
		}
	}
}

func (l *link) unreachable() error {
	if why := l.why.Load(); why != nil {
		return fmt.Errorf("server %s: %w", l.addr, *why)
	}
	return fmt.Errorf("server %s: %w", l.addr, errors.New("the connection broke"))
}
