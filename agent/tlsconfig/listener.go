package tlsconfig

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// maxShaking bounds the handshakes under way.
const maxShaking = 1024

// ListenerOptions is what a Listener is made of.
type ListenerOptions struct {
	Listener net.Listener
	TLS      *tls.Config
	// Timeout bounds a handshake.
	Timeout time.Duration
	// Refused is told why a connection was closed that its owner never saw.
	Refused func(from net.Addr, err error)
}

// Listener hands out connections whose handshake is done. One that takes its time holds up no other.
type Listener struct {
	o      ListenerOptions
	conns  chan net.Conn
	places chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	failed error // why accepting ended; readable once ctx has
}

// NewListener begins to accept connections. Close closes the listener that it was given.
func NewListener(o ListenerOptions) *Listener {
	l := &Listener{o: o, conns: make(chan net.Conn), places: make(chan struct{}, maxShaking)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.done.Go(l.accept)
	return l
}

func (l *Listener) accept() {
	for {
		conn, err := l.o.Listener.Accept()
		if err != nil {
			var again interface{ Temporary() bool }
			if errors.As(err, &again) && again.Temporary() && l.pause() {
				continue // out of file descriptors, as a rule: connections that end make room
			}
			l.failed = err
			l.cancel()
			return
		}
		select {
		case l.places <- struct{}{}:
			l.done.Go(func() { l.shake(conn) })
		default:
			_ = conn.Close()
			l.o.Refused(conn.RemoteAddr(), errors.New("too many TLS handshakes are under way"))
		}
	}
}

func (l *Listener) pause() bool {
	select {
	case <-time.After(50 * time.Millisecond):
		return true
	case <-l.ctx.Done():
		return false
	}
}

// shake does one handshake and hands the connection out.
func (l *Listener) shake(raw net.Conn) {
	conn := tls.Server(raw, l.o.TLS)
	ctx, cancel := context.WithTimeout(l.ctx, l.o.Timeout)
	err := conn.HandshakeContext(ctx)
	cancel()
	<-l.places
	if err != nil {
		_ = raw.Close()
		if l.ctx.Err() == nil {
			l.o.Refused(raw.RemoteAddr(), err)
		}
		return
	}
	select {
	case l.conns <- conn:
	case <-l.ctx.Done():
		_ = raw.Close()
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.ctx.Done():
		l.done.Wait()
		return nil, l.failed
	}
}

// Close implements net.Listener. Handshakes under way are given up.
func (l *Listener) Close() error {
	l.cancel()
	err := l.o.Listener.Close()
	l.done.Wait()
	return err
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.o.Listener.Addr() }
