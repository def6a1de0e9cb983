package tlsconfig

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestListener has a client that says nothing hold up nobody, be told of, and be gone in time.
func TestListener(t *testing.T) {
	ca := newAuthority(t)
	e := open(t, ca.options("server"))
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 8)
	l := NewListener(ListenerOptions{
		Listener: in, TLS: e.Listen("http/1.1"), Timeout: 200 * time.Millisecond, Refused: func(_ net.Addr, err error) { refused <- err },
	})
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("x"))
			_ = conn.Close()
		}
		served <- err
	}()
	client := e.Client()
	client.ServerName = "server"
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(conn)
	_ = conn.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := <-refused; err == nil {
		t.Error("nobody was told of the silent client")
	}
	if _, err := io.ReadAll(silent); err != nil {
		t.Errorf("the silent client was not hung up on: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v, %v", conn, err)
	}
}
