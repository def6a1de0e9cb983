package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The types of key, as the public configuration names them.
const (
	keyEC  = "ec"
	keyRSA = "rsa"
)

// newKey makes a private key; an empty type is ECDSA P-256.
func newKey(kind string, bits int) (crypto.Signer, error) {
	curves := map[int]elliptic.Curve{0: elliptic.P256(), 256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}
	switch {
	case kind == "" || kind == keyEC:
		curve, ok := curves[bits]
		if !ok {
			return nil, fmt.Errorf("PrivateKeyBits %d: an ec key has 256, 384 or 521", bits)
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	case kind == keyRSA:
		if bits != 2048 && bits != 4096 {
			return nil, fmt.Errorf("PrivateKeyBits %d: an rsa key has 2048 or 4096", bits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	}
	return nil, fmt.Errorf("PrivateKeyType %q: use ec or rsa", kind)
}

// keyType names the type and size of a public key. It fails for keys that may not be certified: small ones, and types
// that not every proxy understands.
func keyType(pub crypto.PublicKey) (kind string, bits int, err error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		bits = k.Curve.Params().BitSize
		if bits < 256 {
			return "", 0, fmt.Errorf("an ec key of %d bits is too small, use 256", bits)
		}
		return keyEC, bits, nil
	case *rsa.PublicKey:
		bits = k.N.BitLen()
		if bits < 2048 || bits > 8192 {
			return "", 0, fmt.Errorf("an rsa key of %d bits is not accepted, use 2048 or 4096", bits)
		}
		return keyRSA, bits, nil
	}
	return "", 0, fmt.Errorf("a key of type %T is not accepted, use ec or rsa", pub)
}

// encodeKey writes a private key as PEM in the form that OpenSSL and proxies name by the key's type.
func encodeKey(key crypto.Signer) (string, error) {
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		der, err := x509.MarshalECPrivateKey(k)
		return encodePEM("EC PRIVATE KEY", der), err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encodePEM("PRIVATE KEY", der), err
}

// parseKey reads a private key from PEM.
func parseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("private key: no PEM in it")
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key: a %T cannot sign", key)
	}
	return signer, nil
}

// ParseCertificate reads the first certificate of a PEM text.
func ParseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certificate: no PEM certificate in it")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return cert, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// colonHex writes bytes as serial numbers and key ids are shown: two digits each, colons between.
func colonHex(b []byte) string {
	var s strings.Builder
	for i, x := range b {
		if i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%02x", x)
	}
	return s.String()
}
