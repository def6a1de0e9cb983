package builtin

import (
	"errors"
	"io"
	"net"
	"sync"
)

// halfCloser is a connection of which one half can be closed: TCP, Unix and TLS ones.
type halfCloser interface{ CloseWrite() error }

// join carries bytes both ways until both have ended. An end in good order of one way is passed on and leaves the other
// open: who has sent its question may still wait for the answer. A failure of one way ends both. It returns how b ended,
// and how many bytes had come from there.
func join(a, b net.Conn) (received int64, err error) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = carry(b, a) })
	received, err = carry(a, b)
	both.Wait()
	return received, err
}

// carry copies from one to the other, and passes on how it ended.
func carry(to, from net.Conn) (int64, error) {
	n, err := io.Copy(to, from)
	if err == nil {
		if c, ok := to.(halfCloser); ok && c.CloseWrite() == nil {
			return n, nil
		}
	}
	_ = to.Close()
	_ = from.Close()
	return n, err
}

// refused tells whether the other side of a TLS connection said that it does not want this one. With TLS 1.3 that is heard
// only after the handshake, in place of the first byte.
func refused(received int64, err error) bool {
	var op *net.OpError
	return received == 0 && errors.As(err, &op) && op.Op == "remote error"
}
