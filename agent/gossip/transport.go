package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport stands between memberlist and the network. It lets nothing in until serf is whole, which hands itself out
// to memberlist before it is, and its Shutdown ends what is under way: otherwise an exchange with a silent host would live
// on for as long as that may take.
type transport struct {
	memberlist.NodeAwareTransport
	self    netip.AddrPort // what is advertised
	bound   netip.AddrPort // where it listens; invalid for a transport from the options
	dialTCP bool           // dial here, where it can be ended
	allows  func(netip.Addr) bool
	streams chan net.Conn
	ready   chan struct{}
	open    func() // closes ready, once

	ctx    context.Context // ends with Shutdown
	cancel context.CancelFunc
	accept sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
	down  bool
}

// newTransport takes the options' transport, or listens.
func newTransport(o *Options) (*transport, error) {
	t := &transport{
		NodeAwareTransport: o.Transport, allows: o.allows, streams: make(chan net.Conn), ready: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	t.open = sync.OnceFunc(func() { close(t.ready) })
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if o.Transport == nil {
		sockets, err := listen(o)
		if err != nil {
			return nil, err
		}
		t.bound = netip.AddrPortFrom(o.Bind.Addr(), uint16(sockets.GetAutoBindPort()))
		t.NodeAwareTransport, t.dialTCP = sockets, true
	}
	t.accept.Go(t.acceptStreams)
	if err := t.advertise(o); err != nil {
		return nil, errors.Join(err, t.Shutdown())
	}
	return t, nil
}

// advertise finds out what the others are told.
func (t *transport) advertise(o *Options) error {
	ip, port := "", 0
	if a := o.Advertise; a.Addr().IsValid() {
		ip, port = a.Addr().String(), int(a.Port())
		if port == 0 {
			port = int(t.bound.Port())
		}
	} else if t.bound.Addr().IsUnspecified() && t.bound.Addr().Is6() {
		return fmt.Errorf("gossip listens on all addresses (%s): set the one to advertise (advertise_addr, -advertise)", t.bound.Addr())
	}
	final, port, err := t.FinalAdvertiseAddr(ip, port)
	if err != nil {
		return fmt.Errorf("gossip: find the address to advertise, set advertise_addr (-advertise) to choose it: %w", err)
	}
	addr, ok := netip.AddrFromSlice(final)
	if !ok || port <= 0 || port > 1<<16-1 {
		return fmt.Errorf("gossip cannot advertise %s port %d", final, port)
	}
	t.self = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	if !o.allows(t.self.Addr()) {
		return fmt.Errorf("gossip: the agent's own address %s is not among the allowed networks %v (%s)", t.self.Addr(), o.AllowedCIDRs, o.kind.cidrs)
	}
	return nil
}

// listen takes the port for TCP and UDP.
func listen(o *Options) (*memberlist.NetTransport, error) {
	c := &memberlist.NetTransportConfig{
		BindAddrs: []string{o.Bind.Addr().String()}, BindPort: int(o.Bind.Port()), Logger: libraryLog(o.Logger, nil),
	}
	tries := 1
	if c.BindPort == 0 {
		tries = 10 // the port that is free for TCP may be taken for UDP
	}
	var err error
	for range tries {
		var t *memberlist.NetTransport
		if t, err = memberlist.NewNetTransport(c); err == nil {
			return t, nil
		}
	}
	if why := o.kind.tryListen(o.Bind); why != nil {
		return nil, why
	}
	return nil, fmt.Errorf("gossip cannot listen on %s: %w", o.Bind, err)
}

// tryListen listens and stops, for the error: that of memberlist does not tell one cause from another.
func (k *kind) tryListen(a netip.AddrPort) error {
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return k.listenError(a, "tcp", err)
	}
	defer tcp.Close()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return k.listenError(a, "udp", err)
	}
	return udp.Close()
}

func (k *kind) listenError(a netip.AddrPort, network string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf(": stop the program that has the port, or choose another one (%s, %s)", k.portKey, k.flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = ": this host has no such address, choose one that it has (bind_addr, -bind)"
	case errors.Is(err, syscall.EACCES):
		advice = fmt.Sprintf(": choose a port above 1023 (%s, %s)", k.portKey, k.flag)
	}
	var sys syscall.Errno
	if errors.As(err, &sys) {
		err = sys
	}
	return fmt.Errorf("gossip cannot listen on %s (%s): %w%s", a, network, err, advice)
}

// PacketCh waits until serf is whole.
func (t *transport) PacketCh() <-chan *memberlist.Packet {
	<-t.ready
	return t.NodeAwareTransport.PacketCh()
}

// StreamCh waits until serf is whole.
func (t *transport) StreamCh() <-chan net.Conn {
	<-t.ready
	return t.streams
}

// acceptStreams hands on what others open. Whose address is not allowed is hung up on: memberlist would answer, and its
// agent take itself for a member.
func (t *transport) acceptStreams() {
	for {
		select {
		case c := <-t.NodeAwareTransport.StreamCh():
			if from, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && !t.allows(from.Addr().Unmap()) {
				c.Close()
				continue
			}
			if c = t.track(c); c == nil {
				continue
			}
			select {
			case t.streams <- c:
			case <-t.ctx.Done():
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// DialAddressTimeout opens a stream.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	var c net.Conn
	var err error
	if t.dialTCP {
		d := net.Dialer{Timeout: timeout}
		c, err = d.DialContext(t.ctx, "tcp", a.Addr)
	} else {
		c, err = t.NodeAwareTransport.DialAddressTimeout(a, timeout)
	}
	if err != nil {
		return nil, err
	}
	if c = t.track(c); c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

// track remembers a stream until it is closed. It returns nil, and has closed it, when all is over.
func (t *transport) track(c net.Conn) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		c.Close()
		return nil
	}
	k := &conn{Conn: c, t: t}
	t.conns[k] = struct{}{}
	return k
}

// conn is a stream that Shutdown closes.
type conn struct {
	net.Conn
	t *transport
}

func (c *conn) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// Shutdown ends everything. It can be called again.
func (t *transport) Shutdown() error {
	t.mu.Lock()
	if t.down {
		t.mu.Unlock()
		return nil
	}
	t.down = true
	for c := range t.conns {
		c.Conn.Close()
	}
	clear(t.conns)
	t.mu.Unlock()

	t.open()
	t.cancel()
	t.accept.Wait()
	// A listener that has something to hand over does not end before it is taken, and nobody else may be there.
	stop := make(chan struct{})
	var drain sync.WaitGroup
	drain.Go(func() {
		for {
			select {
			case <-t.NodeAwareTransport.PacketCh():
			case c := <-t.NodeAwareTransport.StreamCh():
				c.Close()
			case <-stop:
				return
			}
		}
	})
	err := t.NodeAwareTransport.Shutdown()
	close(stop)
	drain.Wait()
	return err
}
