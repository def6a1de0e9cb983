package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Provider signs certificates. It is called on the leader, by several goroutines at once.
type Provider interface {
	// ActiveRoot returns the root under which it signs.
	ActiveRoot(ctx context.Context) (api.CARoot, error)
	// Sign returns the leaf for a request, followed by the intermediates that lead to the root. The key stays with who asks.
	Sign(ctx context.Context, r Request) (api.Leaf, error)
	// CrossSign returns, as PEM, another root's certificate under this one's name, so that whoever trusts only this root
	// trusts what the other signs.
	CrossSign(ctx context.Context, other api.CARoot) (string, error)
}

// Builtin signs with a root key of its own.
type Builtin struct {
	root state.Root
	cert *x509.Certificate
	key  crypto.Signer
}

// OpenBuiltin returns the provider that signs with a root.
func OpenBuiltin(root state.Root) (*Builtin, error) {
	cert, err := ParseCertificate(root.Public.RootCert)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", root.Public.ID, err)
	}
	key, err := parseKey(root.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", root.Public.ID, err)
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("root %s: the private key is not the certificate's", root.Public.ID)
	}
	return &Builtin{root: root, cert: cert, key: key}, nil
}

// ActiveRoot implements Provider.
func (b *Builtin) ActiveRoot(context.Context) (api.CARoot, error) { return b.root.Public, nil }

// Sign implements Provider.
func (b *Builtin) Sign(_ context.Context, r Request) (api.Leaf, error) {
	if r.ID.TrustDomain != b.root.TrustDomain {
		return api.Leaf{}, api.Errorf(400, "sign %s: this CA vouches for %s", r.ID, b.root.TrustDomain)
	}
	pub, err := CheckCSR(r.CSR, r.ID)
	if err != nil {
		return api.Leaf{}, err
	}
	tmpl, err := leafTemplate(r, b.cert.NotAfter)
	if err != nil {
		return api.Leaf{}, err
	}
	if tmpl.SubjectKeyId, err = subjectKeyID(pub); err != nil {
		return api.Leaf{}, err
	}
	if kind, _, _ := keyType(pub); kind == keyRSA {
		tmpl.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, b.cert, pub, b.key)
	if err != nil {
		return api.Leaf{}, fmt.Errorf("sign %s: %w", r.ID, err)
	}
	return describeLeaf(der, r.ID, b.root.Public.IntermediateCerts)
}

// CrossSign implements Provider.
func (b *Builtin) CrossSign(_ context.Context, other api.CARoot) (string, error) {
	cert, err := ParseCertificate(other.RootCert)
	if err != nil {
		return "", fmt.Errorf("cross-sign root %s: %w", other.ID, err)
	}
	serial, err := newSerial()
	if err != nil {
		return "", err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: cert.Subject, URIs: cert.URIs, SubjectKeyId: cert.SubjectKeyId,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, KeyUsage: cert.KeyUsage,
		BasicConstraintsValid: true, IsCA: true,
	}
	if tmpl.NotAfter.After(b.cert.NotAfter) {
		tmpl.NotAfter = b.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, b.cert, cert.PublicKey, b.key)
	if err != nil {
		return "", fmt.Errorf("cross-sign root %s: %w", other.ID, err)
	}
	return encodePEM("CERTIFICATE", der), nil
}
