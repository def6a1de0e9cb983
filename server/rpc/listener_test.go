package rpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/verb"
)

// certificate returns what a listener shows and a dialler trusts.
func certificate(t *testing.T) (*tls.Config, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"s1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

// listener is a Listener in memory with what it has logged.
type listener struct {
	*Listener
	*network
	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer.
func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *listener) logged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func listening(t *testing.T, o ListenOptions) *listener {
	t.Helper()
	l := &listener{network: newNetwork()}
	o.Listener, o.Logger = l.listen("s1"), slog.New(slog.NewTextHandler(l, nil))
	var err error
	if l.Listener, err = Listen(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// echo answers what comes to a lane, after its name.
func echo(t *testing.T, name string, in net.Listener) {
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := in.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				b := make([]byte, 8)
				n, _ := c.Read(b)
				for n < 3 {
					m, err := c.Read(b[n:])
					if n += m; err != nil {
						return
					}
				}
				_, _ = c.Write([]byte(name + ":" + string(b[:n])))
			})
		}
	})
	t.Cleanup(func() { _ = in.Close(); done.Wait() })
}

// say dials, sends and returns the answer.
func (l *listener) say(t *testing.T, config *tls.Config, text string) (string, error) {
	t.Helper()
	d := Dialer{Dial: l.dial}
	if config != nil {
		d.TLS = func() *tls.Config { return config }
	}
	c, err := d.dial(t.Context(), "s1:8300")
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestListenerRoutesByTheFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		show, trust := certificate(t)
		l := listening(t, ListenOptions{TLS: show})
		l.hosts["s1:8300"] = l.hosts["s1"]
		echo(t, "raft", l.Raft(Dialer{}, nil))
		echo(t, "grpc", l.GRPC())
		for _, config := range []*tls.Config{nil, trust} {
			for text, want := range map[string]string{"\xa7abc": "raft:abc", "PRI": "grpc:PRI"} {
				if got, err := l.say(t, config, text); got != want {
					t.Errorf("%q was answered %q, %v; TLS %v", text, got, err, config != nil)
				}
			}
		}
		got, _ := l.say(t, nil, "GET / HTTP")
		synctest.Wait()
		if got != "" || !strings.Contains(l.logged(), "is the port right?") {
			t.Errorf("%q, logged %s", got, l.logged())
		}
		// A datacenter that has moved to TLS refuses the rest, and only the rest.
		l.RequireTLS(true)
		if got, _ := l.say(t, nil, "PRI"); got != "" {
			t.Errorf("in the clear: %q", got)
		}
		if got, _ := l.say(t, trust, "PRI"); got != "grpc:PRI" {
			t.Errorf("over TLS: %q", got)
		}
		if _, err := l.say(t, &tls.Config{RootCAs: x509.NewCertPool()}, "PRI"); err == nil {
			t.Error("a certificate that nobody trusts")
		}
	})
}

func TestListenerWithoutCertificate(t *testing.T) {
	if _, err := Listen(ListenOptions{RequireTLS: true}); err == nil || !strings.Contains(err.Error(), "cert_file") {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, trust := certificate(t)
		l := listening(t, ListenOptions{})
		l.hosts["s1:8300"] = l.hosts["s1"]
		_, err := l.say(t, trust, "PRI")
		synctest.Wait()
		if err == nil || !strings.Contains(l.logged(), "cert_file") {
			t.Errorf("%v, logged %s", err, l.logged())
		}
	})
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, ListenOptions{})
		var conns []net.Conn
		for range maxUnroutedByOne {
			c, err := l.dial(t.Context(), "s1")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		synctest.Wait()
		// One more than may be silent is closed at once, and who speaks is let in again after the silent ones are gone.
		c, err := l.dial(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1))
		synctest.Wait() // it is logged after it is closed
		if !errors.Is(err, io.EOF) || !strings.Contains(l.logged(), "too many") {
			t.Errorf("%v, logged %s", err, l.logged())
		}
		began := time.Now()
		for _, c := range conns {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != routeTimeout {
			t.Errorf("closed after %s", took)
		}
		synctest.Wait()
		if n := strings.Count(l.logged(), "\n"); n != 1 {
			t.Errorf("%d lines for one source in a minute", n)
		}
		echo(t, "grpc", l.GRPC())
		l.hosts["s1:8300"] = l.hosts["s1"]
		if got, err := l.say(t, nil, "PRI"); got != "grpc:PRI" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestListenerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, ListenOptions{})
		s := l.Raft(Dialer{Dial: l.dial}, &net.TCPAddr{Port: 1})
		if s.Addr().String() != ":1" {
			t.Errorf("advertised as %s", s.Addr())
		}
		silent, err := l.dial(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := s.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- c
		}()
		dialled, err := s.Dial(raft.ServerAddress("s1"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c := <-accepted
		// Raft waits for its next message on connections that it leaves open.
		go func() { time.Sleep(time.Second); _ = s.Close() }()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("accepted: %v", err)
		}
		if _, err := dialled.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("dialled: %v", err)
		}
		if _, err := s.Dial("s1", time.Second); err == nil {
			t.Error("a closed stream dials")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := silent.Read(make([]byte, 1)); err == nil {
			t.Error("a silent connection outlives its listener")
		}
		if _, err := l.GRPC().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

// Over real sockets, with TLS: a client, a server, and raft on one port.
func TestRealSockets(t *testing.T) {
	show, trust := certificate(t)
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(ListenOptions{Listener: in, TLS: show, RequireTLS: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	trust.ServerName = "s1"
	dialer := Dialer{TLS: func() *tls.Config { return trust }}
	echo(t, "raft", l.Raft(dialer, nil))
	s := &server{network: newNetwork(), board: newBoard(t), applied: make(chan verb.Envelope, 1)}
	g := NewServer(s)
	var done sync.WaitGroup
	done.Go(func() { _ = g.Serve(l.GRPC()) })
	defer done.Wait()
	defer g.Stop()
	c := NewClient(ClientOptions{Servers: known(in.Addr().String()), Dialer: dialer})
	defer c.Close()
	if _, err := c.Apply(t.Context(), verb.Options{}, put{}); err != nil {
		t.Fatal(err)
	}
	r, err := c.Watch(t.Context(), verb.Options{}, list{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if a := mustNext(t, r); len(a.Rows) != 2 {
		t.Errorf("%d rows", len(a.Rows))
	}
	out := l.Raft(dialer, nil)
	defer out.Close()
	conn, err := out.Dial(raft.ServerAddress(in.Addr().String()), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); string(b) != "raft:abc" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestConnectionsOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening(t, ListenOptions{MaxConnsPerClient: 2})
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := l.GRPC().Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					defer c.Close()
					b := make([]byte, 3)
					if _, err := io.ReadFull(c, b); err == nil {
						_, _ = c.Write(b)
						_, _ = io.Copy(io.Discard, c) // until the other side ends
					}
				})
			}
		})
		open := func() (net.Conn, string) {
			c, err := l.dial(t.Context(), "s1")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write([]byte("PRI"))
			b := make([]byte, 3)
			n, _ := io.ReadFull(c, b)
			return c, string(b[:n])
		}
		first, a := open()
		second, b := open()
		third, refused := open()
		synctest.Wait()
		if a != "PRI" || b != "PRI" || refused != "" || !strings.Contains(l.logged(), "limits.rpc_max_conns_per_client") {
			t.Errorf("answered %q, %q and %q, logged %s", a, b, refused, l.logged())
		}
		_ = first.Close()
		synctest.Wait()
		fourth, again := open()
		if again != "PRI" {
			t.Errorf("after one had ended: %q", again)
		}
		_, _, _ = second.Close(), third.Close(), fourth.Close()
		_ = l.GRPC().Close()
		serving.Wait()
	})
}
