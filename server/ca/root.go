package ca

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// clockSkew is how long before the moment of its making a certificate begins, for hosts whose clock is behind.
const clockSkew = time.Minute

// RootOptions is what a root certificate is made of.
type RootOptions struct {
	ClusterID string // a UUID that no other cluster has
	Domain    string // the DNS domain, "consul"
	Serial    uint64
	Validity  time.Duration
	KeyType   string // "ec" or "rsa"; empty is ec
	KeyBits   int    // 0 is 256
	Now       time.Time
}

// TrustDomain is the name of all that the roots of one cluster vouch for.
func TrustDomain(clusterID, domain string) string {
	return strings.ToLower(clusterID + "." + strings.Trim(domain, "."))
}

// NewRoot makes a root certificate with a new key. The indexes are left to the state.
func NewRoot(o RootOptions) (state.Root, error) {
	key, err := newKey(o.KeyType, o.KeyBits)
	if err != nil {
		return state.Root{}, fmt.Errorf("make a root key: %w", err)
	}
	td := TrustDomain(o.ClusterID, o.Domain)
	keyID, err := subjectKeyID(key.Public())
	if err != nil {
		return state.Root{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          new(big.Int).SetUint64(o.Serial),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Parley CA %s %d", strings.SplitN(o.ClusterID, "-", 2)[0], o.Serial)},
		URIs:                  []*url.URL{ID{Kind: Signing, TrustDomain: td}.URI()},
		NotBefore:             o.Now.Add(-clockSkew).UTC(),
		NotAfter:              o.Now.Add(o.Validity).UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          keyID,
		AuthorityKeyId:        keyID,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return state.Root{}, fmt.Errorf("make a root certificate: %w", err)
	}
	text, err := encodeKey(key)
	if err != nil {
		return state.Root{}, fmt.Errorf("write the root key: %w", err)
	}
	return describeRoot(encodePEM("CERTIFICATE", der), text, td)
}

// describeRoot reads off a root certificate what the public API tells of it.
func describeRoot(certPEM, keyPEM, trustDomain string) (state.Root, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return state.Root{}, fmt.Errorf("root %w", err)
	}
	kind, bits, err := keyType(cert.PublicKey)
	if err != nil {
		return state.Root{}, fmt.Errorf("root certificate: %w", err)
	}
	sum := sha256.Sum256(cert.Raw)
	return state.Root{
		Public: api.CARoot{
			ID: colonHex(sum[:20]), Name: "Parley CA Root Cert", SerialNumber: cert.SerialNumber.Uint64(),
			SigningKeyID: colonHex(cert.SubjectKeyId), ExternalTrustDomain: strings.SplitN(trustDomain, ".", 2)[0],
			NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, RootCert: certPEM,
			Active: true, PrivateKeyType: kind, PrivateKeyBits: bits,
		},
		PrivateKey: keyPEM, TrustDomain: trustDomain,
	}, nil
}

// subjectKeyID names a key by its content.
func subjectKeyID(pub any) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("name a key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}
