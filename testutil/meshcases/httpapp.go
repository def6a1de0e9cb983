package meshcases

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// What a request may ask of an HTTPApp by its headers.
const (
	AskStatus = "X-Ask-Status" // to be answered with this status
	AskOnce   = "X-Ask-Once"   // with it, but the first time only that the id is seen
	AskDelay  = "X-Ask-Delay"  // to be answered late
)

// Echo is an HTTPApp's answer: what it received, and who received it.
type Echo struct {
	Instance string
	Method   string
	Path     string // with its query
	Host     string
	Proto    string
	Header   http.Header
}

// HTTPApp is a service that speaks HTTP/1.1 and HTTP/2, and answers each request with an Echo.
type HTTPApp struct {
	Addr     *net.TCPAddr
	Name     string
	Requests atomic.Int64
	// Status, if not 0, is what all requests are answered with.
	Status atomic.Int64

	server   *http.Server
	served   sync.WaitGroup
	hijacked sync.WaitGroup
	once     sync.Map // ids of AskOnce
}

// NewHTTPApp runs a service in the clear until the test ends.
func NewHTTPApp(t testing.TB, name string) *HTTPApp {
	t.Helper()
	return newHTTPApp(t, name, nil)
}

// newNativeApp runs an instance that is in the mesh by itself, without a sidecar, and lets in whoever is of the mesh.
func newNativeApp(t testing.TB, name string, leaf api.Leaf, roots string) *HTTPApp {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(roots)) {
		t.Fatal("no roots")
	}
	return newHTTPApp(t, name, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
}

func newHTTPApp(t testing.TB, name string, config *tls.Config) *HTTPApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &HTTPApp{Addr: l.Addr().(*net.TCPAddr), Name: name}
	a.server = &http.Server{Handler: http.HandlerFunc(a.answer), TLSConfig: config, Protocols: new(http.Protocols)}
	a.server.Protocols.SetHTTP1(true)
	a.server.Protocols.SetHTTP2(config != nil)
	a.server.Protocols.SetUnencryptedHTTP2(config == nil)
	a.served.Go(func() {
		if config != nil {
			_ = a.server.ServeTLS(l, "", "")
			return
		}
		_ = a.server.Serve(l)
	})
	t.Cleanup(a.Close)
	return a
}

// Close ends the service and its connections.
func (a *HTTPApp) Close() {
	_ = a.server.Close()
	a.served.Wait()
	a.hijacked.Wait()
}

func (a *HTTPApp) answer(w http.ResponseWriter, r *http.Request) {
	a.Requests.Add(1)
	if r.Header.Get("Upgrade") == "websocket" {
		a.upgrade(w)
		return
	}
	if delay, err := time.ParseDuration(r.Header.Get(AskDelay)); err == nil {
		pause(r.Context(), delay)
	}
	w.Header().Set("X-Instance", a.Name)
	w.Header().Set("X-Secret", "1")
	if status := a.status(r); status != 0 {
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(Echo{Instance: a.Name, Method: r.Method, Path: r.RequestURI, Host: r.Host, Proto: r.Proto, Header: r.Header})
}

func (a *HTTPApp) status(r *http.Request) int {
	status, _ := strconv.Atoi(r.Header.Get(AskStatus))
	if id := r.Header.Get(AskOnce); id != "" {
		if _, seen := a.once.LoadOrStore(id, true); seen {
			return 0
		}
	}
	if all := a.Status.Load(); all != 0 {
		return int(all)
	}
	return status
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// upgrade changes the protocol and sends back every byte.
func (a *HTTPApp) upgrade(w http.ResponseWriter) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	a.hijacked.Add(1)
	defer a.hijacked.Done()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(Patience))
	if _, err := c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")); err != nil {
		return
	}
	for {
		b, err := rw.ReadByte()
		if err != nil {
			return
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
}
