// Package memnet is a network in memory for tests of gossip: hosts with an address each, packets and streams between
// them, and cuts. It behaves as a real network does on a bad day (packets to a full, cut or absent host vanish, dialling
// a cut host takes until the timeout, open streams across a cut stall), never blocks a sender, and uses channels and plain
// time only, so it runs under testing/synctest. What runs over it is left to the caller.
package memnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// queue is how many packets wait at a host for its reader; more are dropped, as a socket's buffer would.
const queue = 512

// Network connects hosts. The zero value is ready for use. Make it inside the synctest bubble that uses it.
type Network struct {
	mu    sync.Mutex // guards what follows
	hosts map[netip.AddrPort]*Host
	cuts  map[path]bool

	dropped atomic.Int64
}

// path is one direction between two hosts, by their names.
type path struct{ from, to string }

// Host is one end of the network: it implements memberlist.NodeAwareTransport.
type Host struct {
	net     *Network
	name    string
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
	down  bool
}

var _ memberlist.NodeAwareTransport = (*Host)(nil)

// Listen adds a host. The name is the one that Cut takes. An address can be taken again once its host has shut down.
func (n *Network) Listen(name, addr string) (*Host, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen in memory: %w", err)
	}
	h := &Host{
		net:     n,
		name:    name,
		addr:    ap,
		packets: make(chan *memberlist.Packet, queue),
		streams: make(chan net.Conn),
		closed:  make(chan struct{}),
		conns:   map[*conn]struct{}{},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[ap] != nil {
		return nil, fmt.Errorf("listen in memory on %s: %w", addr, syscall.EADDRINUSE)
	}
	if n.hosts == nil {
		n.hosts = map[netip.AddrPort]*Host{}
	}
	n.hosts[ap] = h
	return h, nil
}

// Cut parts two hosts in both directions until Heal.
func (n *Network) Cut(a, b string) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay loses what one host sends to the other; the way back stays open for packets.
func (n *Network) CutOneWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts == nil {
		n.cuts = map[path]bool{}
	}
	n.cuts[path{from, to}] = true
}

// Heal ends all cuts.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
}

// Dropped is how many packets were lost, to cuts, to full queues and to hosts that are not there.
func (n *Network) Dropped() int64 { return n.dropped.Load() }

func (n *Network) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[path{from, to}]
}

// host finds who listens at an address; nil if nobody does.
func (n *Network) host(addr string) (*Host, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial in memory: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())], nil
}

// Addr is the host's address.
func (h *Host) Addr() netip.AddrPort { return h.addr }

// FinalAdvertiseAddr is the host's address unless another is asked for.
func (h *Host) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip == "" {
		return h.addr.Addr().AsSlice(), int(h.addr.Port()), nil
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, 0, fmt.Errorf("advertise address: %w", err)
	}
	return a.AsSlice(), port, nil
}

// WriteTo sends a packet.
func (h *Host) WriteTo(b []byte, addr string) (time.Time, error) {
	return h.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet, or loses it.
func (h *Host) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := h.net.host(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	if to == nil || h.isDown() || h.net.isCut(h.name, to.name) {
		h.net.dropped.Add(1)
		return now, nil
	}
	// The receiver decrypts in place and the sender may use its buffer again.
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(h.addr), Timestamp: now}
	select {
	case to.packets <- p:
	default:
		h.net.dropped.Add(1)
	}
	return now, nil
}

// PacketCh gives the packets that arrive.
func (h *Host) PacketCh() <-chan *memberlist.Packet { return h.packets }

// StreamCh gives the streams that others open.
func (h *Host) StreamCh() <-chan net.Conn { return h.streams }

// DialTimeout opens a stream.
func (h *Host) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return h.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream: refused at once where nobody listens, after the timeout across a cut.
func (h *Host) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, err := h.net.host(a.Addr)
	if err != nil {
		return nil, err
	}
	if to == nil {
		return nil, h.dialError(a.Addr, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if h.net.isCut(h.name, to.name) || h.net.isCut(to.name, h.name) {
		select {
		case <-timer.C:
			return nil, h.dialError(a.Addr, os.ErrDeadlineExceeded)
		case <-h.closed:
			return nil, h.dialError(a.Addr, net.ErrClosed)
		}
	}
	mine, theirs := h.pipe(to)
	if err := errors.Join(h.track(mine), to.track(theirs)); err != nil {
		mine.Close()
		theirs.Close()
		return nil, h.dialError(a.Addr, err)
	}
	select {
	case to.streams <- theirs:
		return mine, nil
	case <-to.closed:
		err = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	case <-h.closed:
		err = net.ErrClosed
	case <-timer.C:
		err = os.ErrDeadlineExceeded
	}
	mine.Close()
	theirs.Close()
	return nil, h.dialError(a.Addr, err)
}

func (h *Host) dialError(addr string, err error) error {
	to, _ := netip.ParseAddrPort(addr)
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

// Shutdown takes the host off the network and closes its streams.
func (h *Host) Shutdown() error {
	h.mu.Lock()
	if h.down {
		h.mu.Unlock()
		return nil
	}
	h.down = true
	close(h.closed)
	open := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		open = append(open, c)
	}
	h.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.hosts[h.addr] == h {
		delete(h.net.hosts, h.addr)
	}
	return nil
}

func (h *Host) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// track remembers an open stream, so that Shutdown can close it.
func (h *Host) track(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return net.ErrClosed
	}
	h.conns[c] = struct{}{}
	return nil
}

func (h *Host) forget(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// pipe makes the two ends of a stream.
func (h *Host) pipe(to *Host) (mine, theirs *conn) {
	a, b := net.Pipe()
	return &conn{Conn: a, host: h, peer: to}, &conn{Conn: b, host: to, peer: h}
}

// conn is one end of a stream. A write rendezvous with the reader: whoever accepts a stream must read it.
type conn struct {
	net.Conn
	host, peer *Host
}

// Write loses what it is given while the way is cut: the reader stalls, as on a real network.
func (c *conn) Write(b []byte) (int, error) {
	if c.host.net.isCut(c.host.name, c.peer.name) {
		return len(b), nil
	}
	n, err := c.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "tcp", Addr: c.RemoteAddr(), Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return n, err
}

func (c *conn) Close() error {
	c.host.forget(c)
	return c.Conn.Close()
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.host.addr) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer.addr) }
