package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cluster = "11111111-2222-3333-4444-555555555555"

// builtin returns a provider over a new root.
func builtin(t *testing.T, o RootOptions) *Builtin {
	t.Helper()
	o.ClusterID, o.Domain = cluster, "consul"
	if o.Validity == 0 {
		o.Validity = 10 * 365 * 24 * time.Hour
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	root, err := NewRoot(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenBuiltin(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sign(t *testing.T, b *Builtin, id ID, ttl time.Duration) api.Leaf {
	t.Helper()
	csr, key, err := NewCSR(id)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := b.Sign(context.Background(), Request{CSR: csr, ID: id, TTL: ttl, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	leaf.PrivateKeyPEM = key
	return leaf
}

func TestRootTellsWhatItIs(t *testing.T) {
	r := builtin(t, RootOptions{Serial: 7}).root
	if r.TrustDomain != td || r.Public.SerialNumber != 7 || !r.Public.Active || r.Public.PrivateKeyType != "ec" ||
		r.Public.PrivateKeyBits != 256 || r.Public.ExternalTrustDomain != cluster || r.Public.IntermediateCerts != nil {
		t.Errorf("root: %+v", r.Public)
	}
	cert, err := ParseCertificate(r.Public.RootCert)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://"+td || !cert.IsCA || strings.Contains(r.Public.RootCert, "PRIVATE") {
		t.Errorf("root certificate: %v", cert.URIs)
	}
	for _, o := range []RootOptions{{KeyType: "rsa", KeyBits: 2048}, {KeyBits: 384}} {
		if leaf := sign(t, builtin(t, o), ServiceID(td, "dc1", "web"), time.Hour); leaf.CertPEM == "" {
			t.Errorf("%+v signs nothing", o)
		}
	}
	for _, o := range []RootOptions{{KeyBits: 128}, {KeyType: "rsa", KeyBits: 1024}, {KeyType: "dsa"}} {
		if _, err := NewRoot(o); err == nil {
			t.Errorf("a root with %+v was made", o)
		}
	}
}

func TestLeafSaysWhoItIsFor(t *testing.T) {
	b := builtin(t, RootOptions{})
	id := ServiceID(td, "dc1", "web")
	before := time.Now()
	leaf := sign(t, b, id, 72*time.Hour)
	cert, err := ParseCertificate(leaf.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Service != "web" || leaf.ServiceURI != id.String() || leaf.SerialNumber != colonHex(cert.SerialNumber.Bytes()) ||
		!leaf.ValidAfter.Equal(cert.NotBefore) || !leaf.ValidBefore.Equal(cert.NotAfter) {
		t.Errorf("leaf: %+v", leaf)
	}
	if cert.NotBefore.After(before.Add(-clockSkew)) || cert.NotAfter.Sub(before) < 72*time.Hour-time.Second {
		t.Errorf("it runs from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != x509.KeyUsageDigitalSignature || len(cert.ExtKeyUsage) != 2 {
		t.Errorf("it may be used for %v %v, CA %t", cert.KeyUsage, cert.ExtKeyUsage, cert.IsCA)
	}
	if again := sign(t, b, id, time.Hour); again.SerialNumber == leaf.SerialNumber {
		t.Error("two leaves have one serial number")
	}
}

func TestLeafEndsWithItsRoot(t *testing.T) {
	b := builtin(t, RootOptions{Validity: time.Hour})
	leaf := sign(t, b, ServiceID(td, "dc1", "web"), 72*time.Hour)
	if !leaf.ValidBefore.Equal(b.cert.NotAfter) {
		t.Errorf("the leaf ends at %s, its root at %s", leaf.ValidBefore, b.cert.NotAfter)
	}
	csr, _, _ := NewCSR(ServiceID(td, "dc1", "web"))
	_, err := b.Sign(context.Background(), Request{CSR: csr, ID: ServiceID(td, "dc1", "web"), TTL: time.Hour, Now: time.Now().Add(2 * time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "root certificate ended") {
		t.Errorf("signing under an ended root: %v", err)
	}
}

func TestSigningRequestMustBeForTheIdentity(t *testing.T) {
	b := builtin(t, RootOptions{})
	web := ServiceID(td, "dc1", "web")
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	request := func(key any, ids ...ID) string {
		tmpl := &x509.CertificateRequest{}
		for _, id := range ids {
			tmpl.URIs = append(tmpl.URIs, id.URI())
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
		if err != nil {
			t.Fatal(err)
		}
		return encodePEM("CERTIFICATE REQUEST", der)
	}
	forged := func() string {
		text := []byte(request(p256, web))
		text[len(text)/2+8] ^= 1
		return string(text)
	}
	for name, c := range map[string]struct{ csr, want string }{
		"another service":      {request(p256, ServiceID(td, "dc1", "db")), "it is for"},
		"another datacenter":   {request(p256, ServiceID(td, "dc2", "web")), "it is for"},
		"another trust domain": {request(p256, ServiceID("x.consul", "dc1", "web")), "it is for"},
		"the CA itself":        {request(p256, ID{Kind: Signing, TrustDomain: td}), "it is for"},
		"two identities":       {request(p256, web, ServiceID(td, "dc1", "db")), "exactly one"},
		"no identity":          {request(p256), "exactly one"},
		"a small key":          {request(p224, web), "too small"},
		"no PEM":               {"hello", "no PEM"},
		"too long":             {strings.Repeat("x", maxCSR+1), "at most"},
		"forged":               {forged(), "CSR for"},
	} {
		_, err := b.Sign(context.Background(), Request{CSR: c.csr, ID: web, TTL: time.Hour, Now: time.Now()})
		if err == nil || !strings.Contains(err.Error(), c.want) || api.StatusOf(err) != 400 {
			t.Errorf("%s: %v (status %d), want a 400 with %q", name, err, api.StatusOf(err), c.want)
		}
	}
	if _, err := b.Sign(context.Background(), Request{CSR: request(rsa2048, web), ID: web, TTL: time.Hour, Now: time.Now()}); err != nil {
		t.Errorf("an rsa key of 2048 bits: %v", err)
	}
}

func TestNothingElseOfARequestIsSigned(t *testing.T) {
	b := builtin(t, RootOptions{})
	web := ServiceID(td, "dc1", "web")
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"example.org"}, EmailAddresses: []string{"a@example.org"},
		URIs:            []*url.URL{web.URI()},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := b.Sign(context.Background(), Request{CSR: encodePEM("CERTIFICATE REQUEST", der), ID: web, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := ParseCertificate(leaf.CertPEM)
	if cert.IsCA || cert.Subject.CommonName != "" || len(cert.DNSNames)+len(cert.EmailAddresses) != 0 {
		t.Errorf("signed: CA %t, subject %s, %v %v", cert.IsCA, cert.Subject, cert.DNSNames, cert.EmailAddresses)
	}
}

// Who trusts only the old root believes a leaf of the new one, by the cross-signed certificate.
func TestCrossSignedRootIsTrustedByWhoKnowsTheOldOne(t *testing.T) {
	old, next := builtin(t, RootOptions{Serial: 1}), builtin(t, RootOptions{Serial: 2})
	cross, err := old.CrossSign(context.Background(), next.root.Public)
	if err != nil {
		t.Fatal(err)
	}
	next.root.Public.IntermediateCerts = []string{cross}
	leaf := sign(t, next, ServiceID(td, "dc1", "db"), time.Hour)
	client := sign(t, old, ServiceID(td, "dc1", "web"), time.Hour)
	if err := handshake(t, old, client, leaf); err != nil {
		t.Errorf("a leaf of the new root: %v", err)
	}
	bare := leaf
	bare.CertPEM = strings.TrimSuffix(bare.CertPEM, cross)
	if err := handshake(t, old, client, bare); err == nil {
		t.Error("a leaf without the cross-signed certificate was believed by who knows only the old root")
	}
}

// handshake does mTLS between two leaves, the client trusting one root alone.
func handshake(t *testing.T, trusted *Builtin, client, server api.Leaf) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(trusted.cert)
	pair := func(l api.Leaf) []tls.Certificate {
		c, err := tls.X509KeyPair([]byte(l.CertPEM), []byte(l.PrivateKeyPEM))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		s := tls.Server(b, &tls.Config{Certificates: pair(server), ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
		if s.Handshake() == nil {
			_, _ = s.Write([]byte("x"))
		}
		s.Close()
	}()
	c := tls.Client(a, &tls.Config{
		Certificates: pair(client), InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			inter := x509.NewCertPool()
			for _, c := range cs.PeerCertificates[1:] {
				inter.AddCert(c)
			}
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: inter})
			return err
		},
	})
	if err := c.Handshake(); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestBuiltinRefusesAKeyThatIsNotItsRoots(t *testing.T) {
	a, b := builtin(t, RootOptions{}).root, builtin(t, RootOptions{}).root
	a.PrivateKey = b.PrivateKey
	if _, err := OpenBuiltin(a); err == nil || !strings.Contains(err.Error(), "not the certificate's") {
		t.Errorf("a root with another's key: %v", err)
	}
}

func TestRenewalComesInTheSecondHalfOfLife(t *testing.T) {
	from := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.Add(100 * time.Hour)
	for chance, want := range map[float64]time.Duration{0: 50 * time.Hour, 0.5: 70 * time.Hour, 1: 90 * time.Hour, 7: 90 * time.Hour, -1: 50 * time.Hour} {
		if got := RenewAt(from, to, chance).Sub(from).Round(time.Second); got != want {
			t.Errorf("chance %v: renewed after %s, want %s", chance, got, want)
		}
	}
	if got := RenewAt(to, from, 0.3); !got.Equal(to) {
		t.Errorf("a certificate without a life is renewed at %s", got)
	}
}

func FuzzCheckCSR(f *testing.F) {
	csr, _, err := NewCSR(ServiceID(td, "dc1", "web"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := CheckCSR(text, ServiceID(td, "dc1", "web")); err == nil {
			if id, err := CSRIdentity(text); err != nil || id != ServiceID(td, "dc1", "web") {
				t.Fatalf("an accepted request is for %v (%v)", id, err)
			}
		}
	})
}
