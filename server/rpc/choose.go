package rpc

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Servers is what is known of the servers, from gossip.
type Servers interface {
	// Servers lists the addresses (host:port) of those that are alive.
	Servers() []string
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// How long one server is asked before another is chosen, so that agents spread over servers that came later, and how
// long one that failed is asked last.
const (
	stickFor = 5 * time.Minute
	avoidFor = 10 * time.Second
)

// chooser picks the server to ask: always the same for a while, another at once when that one fails.
type chooser struct {
	mu      sync.Mutex // guards what follows
	current string
	until   time.Time
	failed  map[string]time.Time
}

// choose picks one of the addresses; fresh tells whether it has not failed lately. None: an empty address.
func (c *chooser) choose(addrs []string) (addr string, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for a, at := range c.failed {
		if now.Sub(at) > avoidFor || !slices.Contains(addrs, a) {
			delete(c.failed, a)
		}
	}
	if _, bad := c.failed[c.current]; !bad && now.Before(c.until) && slices.Contains(addrs, c.current) {
		return c.current, true
	}
	var good []string
	for _, a := range addrs {
		if _, bad := c.failed[a]; !bad {
			good = append(good, a)
		}
	}
	if len(good) > 0 {
		c.current = good[rand.N(len(good))]
		c.until = now.Add(stickFor + rand.N(stickFor/2))
		return c.current, true
	}
	// All have failed: the one that did so longest ago.
	c.current = ""
	for _, a := range addrs {
		if addr == "" || c.failed[a].Before(c.failed[addr]) {
			addr = a
		}
	}
	return addr, false
}

// fail has another server chosen next.
func (c *chooser) fail(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]time.Time{}
	}
	c.failed[addr] = time.Now()
}

// succeed forgets that a server failed.
func (c *chooser) succeed(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, addr)
}
