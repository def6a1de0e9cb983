package configentry

import (
	"crypto/rsa"
	"crypto/tls"

	"github.com/parleymesh/parley/api"
)

// minRSA is the least size in bits of an RSA key that Envoy takes.
const minRSA = 2048

// checkInlineCertificate wants a pair that a listener could use. Whether its time has come is not judged: that changes.
func checkInlineCertificate(e *api.InlineCertificate) error {
	pair, err := tls.X509KeyPair([]byte(e.Certificate), []byte(e.PrivateKey))
	if err != nil {
		return refusal("Certificate and PrivateKey: %v", err)
	}
	if key, ok := pair.PrivateKey.(*rsa.PrivateKey); ok && key.N.BitLen() < minRSA {
		return refusal("PrivateKey: an RSA key of %d bits is too short, Envoy wants at least %d", key.N.BitLen(), minRSA)
	}
	return nil
}

// checkFileSystemCertificate cannot look into the files: they are on the gateways' hosts.
func checkFileSystemCertificate(e *api.FileSystemCertificate) error {
	if e.Certificate == "" {
		return refusal("Certificate is required: the path of a file on the gateway's host")
	}
	if e.PrivateKey == "" {
		return refusal("PrivateKey is required: the path of a file on the gateway's host")
	}
	return nil
}
