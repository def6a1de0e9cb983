package builtin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// moment is a snapshot made ready for handshakes.
type moment struct {
	*snapshot.Snapshot
	cert    tls.Certificate
	roots   *x509.CertPool
	refused map[string]string // why, by the upstream's id
}

func newMoment(s *snapshot.Snapshot) (*moment, error) {
	m := &moment{Snapshot: s, roots: x509.NewCertPool(), refused: map[string]string{}}
	var err error
	if m.cert, err = tls.X509KeyPair([]byte(s.Leaf.CertPEM), []byte(s.Leaf.PrivateKeyPEM)); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if !m.roots.AppendCertsFromPEM([]byte(s.Roots)) {
		return nil, errors.New("there is no root certificate")
	}
	return m, nil
}

// server is the configuration of one handshake with a caller. Who is denied fails in it, and receives no byte.
func (m *moment) server(denied func(spiffe, why string)) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{m.cert},
		ClientCAs:    m.roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		// A resumed session would be one that nobody has judged.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			id, err := spiffe(state)
			if err != nil {
				return err
			}
			if d := m.Authorize(id); !d.Allowed {
				denied(id, d.Why)
				return fmt.Errorf("denied: %s", d.Why)
			}
			return nil
		},
	}
}

// client is the configuration of a handshake with an instance of a target, which must prove to be one.
func (m *moment) client(e *snapshot.Endpoints) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{m.cert},
		ServerName:   e.SNI,
		// A certificate of the mesh names a service and no host, so verifying is done below.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			id, err := spiffe(state)
			if err != nil {
				return err
			}
			o := x509.VerifyOptions{Roots: m.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			for _, c := range state.PeerCertificates[1:] {
				o.Intermediates.AddCert(c)
			}
			if _, err := state.PeerCertificates[0].Verify(o); err != nil {
				return err
			}
			if !slices.Contains(e.SPIFFE, id) {
				return fmt.Errorf("it proves to be %q, which is none of %q", id, e.SPIFFE)
			}
			return nil
		},
	}
}

// spiffe returns the identity in the other side's certificate, which has exactly one.
func spiffe(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("no certificate was shown")
	}
	uris := state.PeerCertificates[0].URIs
	if len(uris) != 1 {
		return "", fmt.Errorf("the certificate has %d URIs, where one must say whose it is", len(uris))
	}
	return uris[0].String(), nil
}
