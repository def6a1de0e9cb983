// Package network makes hosts of this one: network namespaces of their own, joined by a switch in this process that passes on what
// each of them sends, and can cut, delay, drop and reorder it, in each direction by itself. So a test has real processes, real
// sockets and real bad lines, and needs nothing of the kernel but namespaces and TUN devices.
//
// What runs on the hosts, and when which line is bad, is the tests' part.
package network

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Rule is what happens to packets in one direction. The zero value passes them on.
type Rule struct {
	Cut     bool
	Loss    float64       // how many of them are lost, 0 to 1
	Delay   time.Duration // how long they take
	Jitter  time.Duration // at the most so much longer
	Reorder float64       // how many of them do not wait for those before them
}

// Network is hosts and what is between them.
type Network struct {
	t testing.TB

	mu     sync.Mutex // guards what follows
	hosts  map[netip.Addr]*Host
	links  map[direction]*link
	next   netip.Addr
	random *rand.Rand

	readers sync.WaitGroup
}

// direction is from a host to another.
type direction struct{ from, to *Host }

// link is one direction's rule, and when the last packet is to arrive that others wait for.
type link struct {
	rule Rule
	last time.Time
}

// New returns a network without hosts. The end of the test takes it down. Where the kernel refuses the test is skipped.
func New(t testing.TB, seed uint64) *Network {
	t.Helper()
	n := &Network{
		t: t, hosts: map[netip.Addr]*Host{}, links: map[direction]*link{},
		next: netip.MustParseAddr("10.77.0.1"), random: rand.New(rand.NewPCG(seed, seed)),
	}
	t.Cleanup(n.readers.Wait)
	return n
}

// Set sets the rule of one direction.
func (n *Network) Set(from, to *Host, r Rule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).rule = r
}

// link is called with mu held.
func (n *Network) link(from, to *Host) *link {
	d := direction{from, to}
	l := n.links[d]
	if l == nil {
		l = &link{}
		n.links[d] = l
	}
	return l
}

// Between sets the rule of both directions between each of some hosts and each of some others.
func (n *Network) Between(some, others []*Host, r Rule) {
	for _, a := range some {
		for _, b := range others {
			n.Set(a, b, r)
			n.Set(b, a, r)
		}
	}
}

// Heal takes all rules back.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
}

// address gives a host an address that nobody has had before.
func (n *Network) address(h *Host) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, h.addr)
	h.addr = n.next
	n.next = n.next.Next()
	n.hosts[h.addr] = h
	return h.addr
}

// read passes on what a host sends, until its device is closed.
func (n *Network) read(from *Host) {
	buf := make([]byte, 1<<16)
	for {
		size, err := from.device.Read(buf)
		if err != nil {
			return
		}
		n.forward(from, buf[:size])
	}
}

// forward passes a packet on, now or later or not at all. Only IPv4 is spoken here.
func (n *Network) forward(from *Host, packet []byte) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return
	}
	to, wait := n.judge(from, netip.AddrFrom4([4]byte(packet[16:20])))
	switch {
	case to == nil:
	case wait <= 0:
		to.receive(packet)
	default:
		packet = append([]byte(nil), packet...)
		time.AfterFunc(wait, func() {
			if !n.cut(from, to) {
				to.receive(packet)
			}
		})
	}
}

// judge says who gets a packet, and in what time; nil for nobody.
func (n *Network) judge(from *Host, dst netip.Addr) (to *Host, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to = n.hosts[dst]; to == nil {
		return nil, 0
	}
	l, ok := n.links[direction{from, to}]
	if !ok {
		return to, 0
	}
	r := l.rule
	if r.Cut || n.random.Float64() < r.Loss {
		return nil, 0
	}
	now := time.Now()
	due := now.Add(r.Delay)
	if r.Jitter > 0 {
		due = due.Add(time.Duration(n.random.Int64N(int64(r.Jitter))))
	}
	if n.random.Float64() >= r.Reorder {
		if due.Before(l.last) {
			due = l.last
		}
		l.last = due
	}
	return to, due.Sub(now)
}

func (n *Network) cut(from, to *Host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.links[direction{from, to}]
	return ok && l.rule.Cut
}
