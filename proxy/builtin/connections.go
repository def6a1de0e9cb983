package builtin

import (
	"net"
	"sync"
	"time"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// connections are those that are open. One from the mesh is known by its caller's identity, so that it can be judged again.
type connections struct {
	mu    sync.Mutex // guards what follows
	open  map[net.Conn]string
	empty chan struct{} // closed when the last one has gone while somebody waits
}

func newConnections() *connections { return &connections{open: map[net.Conn]string{}} }

// add registers a connection; the caller is empty for one of the proxy's own service.
func (c *connections) add(conn net.Conn, caller string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = caller
}

// count is how many there are.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// remove forgets a connection.
func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
	if len(c.open) == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// judge closes the connections whose callers a snapshot does not allow, and returns how many there were.
func (c *connections) judge(s *snapshot.Snapshot) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	closed := 0
	verdicts := map[string]bool{"": true}
	for conn, caller := range c.open {
		allowed, known := verdicts[caller]
		if !known {
			allowed = s.Authorize(caller).Allowed
			verdicts[caller] = allowed
		}
		if !allowed {
			cut(conn)
			closed++
		}
	}
	return closed
}

// drain waits until all have ended, but no longer than it may, and closes the rest.
func (c *connections) drain(wait time.Duration) {
	c.mu.Lock()
	empty := make(chan struct{})
	if len(c.open) == 0 {
		close(empty)
	} else {
		c.empty = empty
	}
	c.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		cut(conn)
	}
}

// cut ends a connection at once: what is on its way in the buffers is thrown away.
func cut(conn net.Conn) {
	// Closing a TLS connection would first wait to say so.
	type wrapper interface{ NetConn() net.Conn }
	for {
		w, ok := conn.(wrapper)
		if !ok {
			break
		}
		conn = w.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
