package builtin

import (
	"io"
	"net"
	"sync"
)

// halfCloser is a connection of which one half can be closed: TCP, Unix and TLS ones.
type halfCloser interface{ CloseWrite() error }

// join carries bytes both ways until both have ended. An end in good order of one way is passed on and leaves the other
// open: who has sent its question may still wait for the answer. A failure of one way ends both.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { carry(b, a) })
	carry(a, b)
	both.Wait()
}

// carry copies from one to the other, and passes on how it ended.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err == nil {
		if c, ok := to.(halfCloser); ok && c.CloseWrite() == nil {
			return
		}
	}
	_ = to.Close()
	_ = from.Close()
}
