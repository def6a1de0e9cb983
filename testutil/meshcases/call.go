package meshcases

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// callTimeout bounds one exchange.
const callTimeout = 5 * time.Second

// Call has web call db once, over a new connection.
func (w *World) Call() error { return call(w.Upstream) }

func call(addr string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Exchange()
}

// Conn is an open connection from web to db.
type Conn struct {
	net.Conn
	r *bufio.Reader
	n int
}

// Open opens a connection and sees that it works.
func (w *World) Open() *Conn {
	w.T.Helper()
	c, err := dial(w.Upstream)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = c.Close() })
	if err := c.Exchange(); err != nil {
		w.T.Fatal(err)
	}
	return c
}

func dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, r: bufio.NewReader(c)}, nil
}

// Exchange sends a line and wants it back.
func (c *Conn) Exchange() error {
	if err := c.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	c.n++
	sent := fmt.Sprintf("message %d\n", c.n)
	if _, err := io.WriteString(c, sent); err != nil {
		return err
	}
	got, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	if got != sent {
		return fmt.Errorf("sent %q, got %q", sent, got)
	}
	return nil
}

// Ends waits until the other side has ended the connection. It fails with what was received instead.
func (c *Conn) Ends(within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	got, err := io.ReadAll(c.r)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the connection is still open after %s", within)
	case len(got) > 0:
		return fmt.Errorf("received %q", got)
	}
	return nil
}

// Direct opens a connection to db's sidecar with a certificate, as its caller's sidecar would, and reads until that ends or
// wait has passed. It returns what was received, and the certificate that the sidecar shows.
func (w *World) Direct(leaf *api.Leaf, sessions tls.ClientSessionCache, wait time.Duration) (received []byte, server *x509.Certificate, err error) {
	config := &tls.Config{
		InsecureSkipVerify: true, // who it is is not the question here
		ClientSessionCache: sessions, ServerName: "db.default.dc1.internal." + w.Authority.TrustDomain,
		VerifyConnection: func(s tls.ConnectionState) error {
			server = s.PeerCertificates[0]
			return nil
		},
	}
	if leaf != nil {
		pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
		if err != nil {
			return nil, nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: callTimeout}, "tcp", w.Public, config)
	if err != nil {
		return nil, server, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, server, err
	}
	received, err = io.ReadAll(c)
	return received, server, err
}

// Load is callers that do not stop.
type Load struct {
	calls, failed atomic.Int64
	newFailed     atomic.Int64 // failed counts exchanges on the open connection
	stop          chan struct{}
	wg            sync.WaitGroup
	once          sync.Once
	mu            sync.Mutex // guards first
	first         error
}

// StartLoad has callers call db, each over new connections, and one over an open one, until the load is stopped.
func (w *World) StartLoad() *Load {
	l := &Load{stop: make(chan struct{})}
	for range 3 {
		l.wg.Go(func() { l.run(w.Call, &l.newFailed) })
	}
	open := w.Open()
	l.wg.Go(func() { l.run(open.Exchange, &l.failed) })
	w.T.Cleanup(l.end)
	return l
}

func (l *Load) run(call func() error, failed *atomic.Int64) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-pause.C:
		}
		l.calls.Add(1)
		if err := call(); err != nil {
			failed.Add(1)
			l.mu.Lock()
			if l.first == nil {
				l.first = err
			}
			l.mu.Unlock()
		}
	}
}

func (l *Load) end() {
	l.once.Do(func() { close(l.stop) })
	l.wg.Wait()
}

// More waits for some more calls.
func (w *World) More(l *Load) {
	w.T.Helper()
	from := l.calls.Load()
	w.Eventually("more calls", func() error {
		if n := l.calls.Load() - from; n < 100 {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
}

// NoneFailed stops the load and wants all calls to have passed.
func (l *Load) NoneFailed(t testing.TB) {
	t.Helper()
	l.end()
	t.Logf("%d calls", l.calls.Load())
	if n := l.failed.Load() + l.newFailed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed; the first: %v", n, l.calls.Load(), l.first)
	}
}
