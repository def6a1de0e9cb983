// Package tlsconfig turns the names of certificate files into the tls.Config that listeners and dialers take, one
// Endpoint for each protocol of the agent. A Config that was handed out stays right: Reload reads the files again, and every
// handshake from then on uses what it read.
//
// Certificates of the mesh are no concern of this package: those are signed, not configured.
package tlsconfig

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Options are the settings of one protocol, named as in configuration files.
type Options struct {
	CAFile               string
	CAPath               string // directory of .pem, .crt and .cer files
	CertFile             string
	KeyFile              string
	TLSMinVersion        string // "TLSv1_2" (the default) or "TLSv1_3"
	TLSCipherSuites      string // names with commas between, for TLS 1.2
	VerifyIncoming       bool   // callers must show a certificate that the CA signed
	VerifyOutgoing       bool   // dial with TLS
	VerifyServerHostname bool   // whoever we dial must hold a certificate for the name we dial
}

// Endpoint is one protocol's TLS, on both sides.
type Endpoint struct {
	now atomic.Pointer[material]
}

// material is one reading of the files.
type material struct {
	opts Options
	cert *tls.Certificate // nil: none
	cas  *x509.CertPool   // nil: those of the system
	min  uint16
	ciph []uint16
}

// Open reads the files that o names.
func Open(o Options) (*Endpoint, error) {
	m, err := read(o)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{}
	e.now.Store(m)
	return e, nil
}

// Reload reads the files that o names, which may be the same. On error all stays as it was.
func (e *Endpoint) Reload(o Options) error {
	m, err := read(o)
	if err != nil {
		return err
	}
	e.now.Store(m)
	return nil
}

// Listen returns the configuration of a listener, or nil without a certificate. It names the protocols for ALPN.
func (e *Endpoint) Listen(protos ...string) *tls.Config {
	if e.now.Load().cert == nil {
		return nil
	}
	// One tls.Config per reading of the files.
	type built struct {
		from *material
		conf *tls.Config
	}
	var last atomic.Pointer[built]
	current := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := e.now.Load()
		if m.cert == nil {
			return nil, errors.New("the certificate of this listener was taken out of its configuration")
		}
		if b := last.Load(); b != nil && b.from == m {
			return b.conf, nil
		}
		b := &built{m, m.server(protos)}
		last.Store(b)
		return b.conf, nil
	}
	c := e.now.Load().server(protos)
	c.GetConfigForClient = current
	return c
}

// Dial returns the configuration for dialling serverName, or nil where connections are to be made in the clear.
// The name matters only where VerifyServerHostname says so: the servers of a datacenter are known by their CA.
func (e *Endpoint) Dial(serverName string, protos ...string) *tls.Config {
	m := e.now.Load()
	if !m.opts.VerifyOutgoing {
		return nil
	}
	return &tls.Config{
		MinVersion:           m.min,
		CipherSuites:         m.ciph,
		ServerName:           serverName,
		NextProtos:           protos,
		GetClientCertificate: e.clientCertificate,
		// VerifyConnection does the verifying, with the CAs of the hour, for resumed sessions too.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return e.now.Load().verifyServer(s, serverName)
		},
	}
}

// Client returns the configuration for dialling others than servers: it knows them by the CAs, as they are now, and shows the
// agent's certificate to whoever wants one.
func (e *Endpoint) Client() *tls.Config {
	m := e.now.Load()
	return &tls.Config{
		MinVersion: m.min, CipherSuites: m.ciph, RootCAs: m.cas,
		GetClientCertificate: e.clientCertificate,
	}
}

// clientCertificate is the certificate of the hour, or none.
func (e *Endpoint) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if cert := e.now.Load().cert; cert != nil {
		return cert, nil
	}
	return new(tls.Certificate), nil
}

func (m *material) server(protos []string) *tls.Config {
	c := &tls.Config{
		MinVersion:   m.min,
		CipherSuites: m.ciph,
		Certificates: []tls.Certificate{*m.cert},
		ClientCAs:    m.cas,
		NextProtos:   protos,
		// A resumed session would go on with a certificate, and be let in by a CA, that a reload has replaced.
		SessionTicketsDisabled: true,
	}
	if m.opts.VerifyIncoming {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c
}

func (m *material) verifyServer(s tls.ConnectionState, name string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	opts := x509.VerifyOptions{Roots: m.cas, Intermediates: x509.NewCertPool()}
	if m.opts.VerifyServerHostname {
		opts.DNSName = name
	}
	for _, cert := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(opts)
	return err
}

func read(o Options) (*material, error) {
	m := &material{opts: o}
	var errs []error
	var err error
	if m.min, err = ParseVersion(o.TLSMinVersion); err != nil {
		errs = append(errs, err)
	}
	if m.ciph, err = ParseCipherSuites(o.TLSCipherSuites); err != nil {
		errs = append(errs, err)
	}
	if m.cert, err = readCert(o.CertFile, o.KeyFile); err != nil {
		errs = append(errs, err)
	}
	if m.cas, err = readCAs(o.CAFile, o.CAPath); err != nil {
		errs = append(errs, err)
	}
	if o.VerifyIncoming && m.cas == nil && err == nil {
		errs = append(errs, errors.New("verify_incoming needs a ca_file or ca_path to verify with"))
	}
	return m, errors.Join(errs...)
}

func readCert(certFile, keyFile string) (*tls.Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "":
		return nil, errors.New("key_file needs a cert_file")
	case keyFile == "":
		return nil, errors.New("cert_file needs a key_file")
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s with key_file %s: %w", certFile, keyFile, err)
	}
	return &cert, nil
}

func readCAs(file, dir string) (*x509.CertPool, error) {
	var files []string
	if file != "" {
		files = append(files, file)
	}
	if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("ca_path: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext == ".pem" || ext == ".crt" || ext == ".cer" {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("ca_path %s has no .pem, .crt or .cer file", dir)
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("CA certificate: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("CA certificate: %s has no PEM certificate", f)
		}
	}
	return pool, nil
}

// ParseVersion reads a TLS version as configuration files spell it. An empty one is TLS 1.2.
func ParseVersion(text string) (uint16, error) {
	switch strings.ToLower(text) {
	case "", "tls_auto", "tlsv1_2", "tls12":
		return tls.VersionTLS12, nil
	case "tlsv1_3", "tls13":
		return tls.VersionTLS13, nil
	case "tlsv1_0", "tls10", "tlsv1_1", "tls11":
		return 0, fmt.Errorf("tls_min_version %s is no longer safe; use TLSv1_2 or TLSv1_3", text)
	}
	return 0, fmt.Errorf("tls_min_version %q: use TLSv1_2 or TLSv1_3", text)
}

// ParseCipherSuites reads names of cipher suites with commas between. None is Go's own choice.
func ParseCipherSuites(text string) ([]uint16, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	known := make(map[string]uint16)
	for _, s := range tls.CipherSuites() {
		known[s.Name] = s.ID
	}
	var ids []uint16
	for name := range strings.SplitSeq(text, ",") {
		id, ok := known[strings.TrimSpace(name)]
		if !ok {
			return nil, fmt.Errorf("tls_cipher_suites: %q is not a suite that is safe to use", strings.TrimSpace(name))
		}
		ids = append(ids, id)
	}
	return ids, nil
}
