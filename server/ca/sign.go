package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/parleymesh/parley/api"
)

// maxCSR bounds a signing request; one with a key of 8192 bits takes less.
const maxCSR = 16 << 10

// Request asks for a leaf certificate.
type Request struct {
	CSR string // PEM
	ID  ID
	TTL time.Duration
	Now time.Time
}

// NewCSR makes a key and a signing request for an identity, both PEM.
func NewCSR(id ID) (csr, key string, err error) {
	signer, err := newKey(keyEC, 256)
	if err != nil {
		return "", "", fmt.Errorf("make a key for %s: %w", id, err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id.URI()}}, signer)
	if err != nil {
		return "", "", fmt.Errorf("make a signing request for %s: %w", id, err)
	}
	if key, err = encodeKey(signer); err != nil {
		return "", "", fmt.Errorf("write the key of %s: %w", id, err)
	}
	return encodePEM("CERTIFICATE REQUEST", der), key, nil
}

// CheckCSR returns the key that a signing request wants certified. It fails with status 400 unless the request is
// signed with that key, the key is strong enough, and the request is for exactly this identity. Whatever else the request
// asks for is ignored.
func CheckCSR(text string, id ID) (crypto.PublicKey, error) {
	pub, err := checkCSR(text, id)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "CSR for %s: %v", id, err)
	}
	return pub, nil
}

func checkCSR(text string, id ID) (crypto.PublicKey, error) {
	if len(text) > maxCSR {
		return nil, fmt.Errorf("it is %d bytes long, at most %d are allowed", len(text), maxCSR)
	}
	csr, err := parseCSR(text)
	if err != nil {
		return nil, err
	}
	if _, _, err := keyType(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	if len(csr.URIs) != 1 {
		return nil, fmt.Errorf("it names %d URIs, exactly one is wanted", len(csr.URIs))
	}
	asked, err := ParseID(csr.URIs[0].String())
	if err != nil {
		return nil, err
	}
	if asked != id {
		return nil, fmt.Errorf("it is for %s", asked)
	}
	return csr.PublicKey, nil
}

func parseCSR(text string) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no PEM certificate request in it")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// CSRIdentity returns the identity that a signing request names, without judging the rest of it.
func CSRIdentity(text string) (ID, error) {
	if len(text) > maxCSR {
		return ID{}, api.Errorf(http.StatusBadRequest, "CSR: it is %d bytes long, at most %d are allowed", len(text), maxCSR)
	}
	csr, err := parseCSR(text)
	if err != nil {
		return ID{}, api.Errorf(http.StatusBadRequest, "CSR: %v", err)
	}
	if len(csr.URIs) != 1 {
		return ID{}, api.Errorf(http.StatusBadRequest, "CSR: it names %d URIs, exactly one is wanted", len(csr.URIs))
	}
	id, err := ParseID(csr.URIs[0].String())
	if err != nil {
		return ID{}, api.Errorf(http.StatusBadRequest, "CSR: %v", err)
	}
	return id, nil
}

// leafTemplate is the certificate of a leaf, but for its key. It never outlives what signs it.
func leafTemplate(r Request, signerEnds time.Time) (*x509.Certificate, error) {
	if !r.Now.Before(signerEnds) {
		return nil, fmt.Errorf("sign %s: the root certificate ended at %s", r.ID, signerEnds.UTC().Format(time.RFC3339))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	ends := r.Now.Add(r.TTL)
	if ends.After(signerEnds) {
		ends = signerEnds
	}
	return &x509.Certificate{
		SerialNumber: serial,
		// The name stands in the URI alone: a subject has 64 characters, and everybody who reads it as a host name errs.
		Subject:               pkix.Name{},
		URIs:                  []*url.URL{r.ID.URI()},
		NotBefore:             r.Now.Add(-clockSkew).UTC(),
		NotAfter:              ends.UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, nil
}

// newSerial draws a serial number of 128 bits, so that no two leaves share one.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always sixteen bytes
	return new(big.Int).SetBytes(b), nil
}

// describeLeaf reads off a signed certificate what the public API tells of it.
func describeLeaf(der []byte, id ID, chain []string) (api.Leaf, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return api.Leaf{}, fmt.Errorf("read the certificate of %s: %w", id, err)
	}
	text := encodePEM("CERTIFICATE", der)
	for _, c := range chain {
		text += c
	}
	return api.Leaf{
		SerialNumber: colonHex(cert.SerialNumber.Bytes()), CertPEM: text, Service: id.Name, ServiceURI: id.String(),
		Namespace: id.Namespace, Partition: id.Partition, ValidAfter: cert.NotBefore, ValidBefore: cert.NotAfter,
	}, nil
}
