package tlsconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates into a directory of files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

var serial int64

func template(name string) *x509.Certificate {
	serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	tmpl := template("ca")
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage, tmpl.DNSNames = true, true, x509.KeyUsageCertSign, nil
	a.key = newKey(t)
	a.cert = a.sign(tmpl, tmpl, a.key, a.key)
	a.file = filepath.Join(a.dir, "ca.pem")
	writePEM(t, a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(tmpl, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes a certificate for a DNS name over the files of that name.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	k := newKey(a.t)
	leaf := a.sign(template(name), a.cert, k, a.key)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem")
	writePEM(a.t, cert, "CERTIFICATE", leaf.Raw)
	writePEM(a.t, key, "EC PRIVATE KEY", der)
	return cert, key
}

func (a *authority) options(name string) Options {
	cert, key := a.issue(name)
	return Options{CAFile: a.file, CertFile: cert, KeyFile: key}
}

func open(t *testing.T, o Options) *Endpoint {
	t.Helper()
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// call makes one connection and returns the serial number of the server's certificate.
func call(t *testing.T, server, client *tls.Config) (int64, error) {
	t.Helper()
	// Through a socket, which has buffers: over a pipe, two sides that send an alert to one another wait for ever.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		defer b.Close()
		conn := tls.Server(b, server)
		_, err := conn.Write([]byte("x"))
		done <- err
	}()
	conn := tls.Client(a, client)
	_, err = io.ReadFull(conn, make([]byte, 1))
	state := conn.ConnectionState()
	a.Close()
	if serverErr := <-done; err != nil {
		return 0, errors.Join(err, serverErr)
	}
	return state.PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestNothingConfigured(t *testing.T) {
	e := open(t, Options{})
	if e.Listen() != nil || e.Dial("x") != nil {
		t.Error("TLS without a certificate")
	}
}

func TestVerification(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	mutual := func(a *authority, name string) Options {
		o := a.options(name)
		o.VerifyIncoming, o.VerifyOutgoing = true, true
		return o
	}
	byName := mutual(ours, "client")
	byName.VerifyServerHostname = true
	anonymous := Options{CAFile: ours.file, VerifyOutgoing: true}
	open13 := mutual(ours, "client")
	open13.TLSMinVersion = "TLSv1_3"

	cases := []struct {
		name           string
		server, client Options
		dial           string
		want           string // part of the error
	}{
		{"same CA", mutual(ours, "server.dc1.consul"), mutual(ours, "client"), "anything", ""},
		{"TLS 1.3 only", mutual(ours, "server.dc1.consul"), open13, "anything", ""},
		{"right name", mutual(ours, "server.dc1.consul"), byName, "server.dc1.consul", ""},
		{"wrong name", mutual(ours, "client.dc1.consul"), byName, "server.dc1.consul", "not server.dc1.consul"},
		{"server of another CA", mutual(theirs, "server.dc1.consul"), mutual(ours, "client"), "x", "unknown authority"},
		{"client of another CA", mutual(ours, "server.dc1.consul"), Options{CAFile: ours.file, VerifyOutgoing: true,
			CertFile: mutual(theirs, "client").CertFile, KeyFile: filepath.Join(theirs.dir, "client-key.pem")}, "x", "unknown certificate authority"},
		{"client without a certificate", mutual(ours, "server.dc1.consul"), anonymous, "x", "certificate required"},
		{"no certificate wanted", ours.options("server.dc1.consul"), anonymous, "x", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := call(t, open(t, c.server).Listen(), open(t, c.client).Dial(c.dial))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	old := newAuthority(t)
	serverOpts, clientOpts := old.options("server"), Options{CAFile: old.file, VerifyOutgoing: true}
	server, client := open(t, serverOpts), open(t, clientOpts)
	listen, dial := server.Listen("h2"), client.Dial("server", "h2") // handed out once, as to a listener
	dial.ClientSessionCache = tls.NewLRUClientSessionCache(1)

	first, err := call(t, listen, dial)
	if err != nil {
		t.Fatal(err)
	}
	old.issue("server") // over the same files
	if err := server.Reload(serverOpts); err != nil {
		t.Fatal(err)
	}
	second, err := call(t, listen, dial)
	if err != nil || second == first {
		t.Errorf("after renewal: %d, was %d, %v", second, first, err)
	}
	if err := os.WriteFile(serverOpts.CertFile, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(serverOpts); err == nil || !strings.Contains(err.Error(), serverOpts.CertFile) {
		t.Errorf("torn certificate: %v", err)
	}
	if again, err := call(t, listen, dial); err != nil || again != second {
		t.Errorf("after a failed reload: %d, was %d, %v", again, second, err)
	}
	clientOpts.CAFile = newAuthority(t).file
	if err := client.Reload(clientOpts); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, listen, dial); err == nil {
		t.Error("a CA that was taken away is still trusted")
	}
}

func TestErrors(t *testing.T) {
	a := newAuthority(t)
	good := a.options("server")
	empty := t.TempDir()
	cases := map[string]struct {
		opts Options
		want string
	}{
		"no key":                 {Options{CertFile: good.CertFile}, "cert_file needs a key_file"},
		"no cert":                {Options{KeyFile: good.KeyFile}, "key_file needs a cert_file"},
		"no file":                {Options{CertFile: "/none.pem", KeyFile: good.KeyFile}, "/none.pem"},
		"wrong key":              {Options{CertFile: good.CertFile, KeyFile: a.options("other").KeyFile}, "private key does not match"},
		"no CA file":             {Options{CAFile: "/none.pem"}, "/none.pem"},
		"key as CA":              {Options{CAFile: good.KeyFile}, "has no PEM certificate"},
		"empty path":             {Options{CAPath: empty}, "has no .pem"},
		"nothing to verify with": {Options{VerifyIncoming: true, CertFile: good.CertFile, KeyFile: good.KeyFile}, "verify_incoming needs a ca_file"},
		"old version":            {Options{TLSMinVersion: "TLSv1_1"}, "no longer safe"},
		"bad version":            {Options{TLSMinVersion: "9"}, `tls_min_version "9"`},
		"bad suite":              {Options{TLSCipherSuites: "TLS_RSA_WITH_RC4_128_SHA"}, "is not a suite"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if _, err := Open(Options{CAPath: a.dir, TLSCipherSuites: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}); err == nil || !strings.Contains(err.Error(), "-key.pem has no PEM certificate") {
		t.Errorf("a directory with keys in it: %v", err)
	}
}
