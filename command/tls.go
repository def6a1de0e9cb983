package command

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

func tlsCommand() *cli.Command {
	return &cli.Command{Name: "tls", Usage: "make certificates for the traffic among agents", Category: aboutThis, Subcommands: []*cli.Command{
		{Name: "ca", Usage: "the authority that signs them", Subcommands: []*cli.Command{{
			Name: "create", Usage: "make an authority: a certificate and its key in the current directory", Action: createCA,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "domain", Usage: "domain of the agents, as in their configuration", Value: defaultDomain},
				&cli.IntFlag{Name: "days", Usage: "how long it is valid", Value: 5 * 365},
				&cli.StringFlag{Name: "common-name", Usage: "name of the authority"},
				&cli.StringFlag{Name: "cluster-id", Usage: "id of a cluster, for a certificate that bears its trust domain"},
				&cli.BoolFlag{Name: "name-constraint", Usage: "let it sign for names of the domain and localhost alone"},
				&cli.StringSliceFlag{Name: "additional-name-constraint", Usage: "and for these names, with -name-constraint; can be given more than once"},
				formatFlag(),
			},
		}}},
		{Name: "cert", Usage: "certificates of agents and of those who call them", Subcommands: []*cli.Command{{
			Name: "create", Usage: "make a certificate and its key in the current directory", Action: createCert,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "server", Usage: "for a server"},
				&cli.BoolFlag{Name: "client", Usage: "for a client agent"},
				&cli.BoolFlag{Name: "cli", Usage: "for who calls the API"},
				&cli.StringFlag{Name: "ca", Usage: "file of the authority's certificate (<domain>-agent-ca.pem)"},
				&cli.StringFlag{Name: "key", Usage: "file of its key (<domain>-agent-ca-key.pem)"},
				&cli.StringFlag{Name: "domain", Usage: "domain of the agents, as in their configuration", Value: defaultDomain},
				&cli.StringFlag{Name: "dc", Usage: "datacenter", Value: "dc1"},
				&cli.StringFlag{Name: "node", Usage: "name of the server's node, for a name of its own"},
				&cli.IntFlag{Name: "days", Usage: "how long it is valid", Value: 365},
				&cli.StringSliceFlag{Name: "additional-dnsname", Usage: "a further name; can be given more than once"},
				&cli.StringSliceFlag{Name: "additional-ipaddress", Usage: "a further address; can be given more than once"},
				formatFlag(),
			},
		}}},
	}}
}

const defaultDomain = "consul"

const maxDays = 100 * 365

// pair is a certificate that is being made, and its key.
type pair struct {
	template x509.Certificate
	key      *ecdsa.PrivateKey
}

// newPair returns what all certificates have in common.
func newPair(days int) (pair, error) {
	if days < 1 || days > maxDays {
		return pair{}, fmt.Errorf("-days=%d: want 1 to %d", days, maxDays)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return pair{}, err
	}
	id := sha256.Sum256(public)
	now := time.Now()
	return pair{key: key, template: x509.Certificate{
		SerialNumber: serial, SubjectKeyId: id[:], BasicConstraintsValid: true,
		// The hosts' clocks need not agree to the second.
		NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, days),
	}}, nil
}

// pem signs the certificate.
func (p pair) pem(by *x509.Certificate, key *ecdsa.PrivateKey) (cert, private []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, &p.template, by, &p.key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), nil
}

func createCA(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	domain := c.String("domain")
	if err := partOfFile("domain", domain); err != nil {
		return err
	}
	if len(c.StringSlice("additional-name-constraint")) > 0 && !c.Bool("name-constraint") {
		return errors.New("-additional-name-constraint goes with -name-constraint")
	}
	file, keyFile := domain+"-agent-ca.pem", domain+"-agent-ca-key.pem"
	if err := free(file, keyFile); err != nil {
		return err
	}
	p, err := newPair(c.Int("days"))
	if err != nil {
		return err
	}
	t := &p.template
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature
	t.AuthorityKeyId = t.SubjectKeyId
	t.Subject = pkix.Name{Organization: []string{"Parley"}, CommonName: c.String("common-name")}
	if t.Subject.CommonName == "" {
		t.Subject.CommonName = fmt.Sprintf("Parley Agent CA %d", t.SerialNumber)
	}
	if id := c.String("cluster-id"); id != "" {
		t.URIs = []*url.URL{{Scheme: "spiffe", Host: id + "." + domain}}
	}
	if c.Bool("name-constraint") {
		t.PermittedDNSDomainsCritical = true
		t.PermittedDNSDomains = append([]string{"localhost", domain}, c.StringSlice("additional-name-constraint")...)
	}
	cert, key, err := p.pem(t, p.key)
	if err != nil {
		return err
	}
	return save(c, saved{file, cert, 0o644}, saved{keyFile, key, 0o600})
}

// warnServer is what a server's certificate lets its holder do.
const warnServer = `==> WARNING: whoever holds the key of a server's certificate can become a server
    and read all that the cluster knows, the keys of its authorities too. Keep it
    on hosts of servers alone, and as safe as the key of the authority.`

func createCert(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	kind, err := certKind(c)
	if err != nil {
		return err
	}
	domain, dc := c.String("domain"), c.String("dc")
	if err := errors.Join(partOfFile("domain", domain), partOfFile("dc", dc)); err != nil {
		return err
	}
	caFile, keyFile := c.String("ca"), c.String("key")
	if caFile == "" {
		caFile = domain + "-agent-ca.pem"
	}
	if keyFile == "" {
		keyFile = domain + "-agent-ca-key.pem"
	}
	ca, caKey, err := readCA(caFile, keyFile)
	if err != nil {
		return err
	}
	p, err := newPair(c.Int("days"))
	if err != nil {
		return err
	}
	if err := nameCert(&p.template, c, kind, dc, domain); err != nil {
		return err
	}
	if p.template.NotAfter.After(ca.NotAfter) {
		p.template.NotAfter = ca.NotAfter // it would not be believed for longer
	}
	p.template.AuthorityKeyId = ca.SubjectKeyId
	cert, key, err := p.pem(ca, caKey)
	if err != nil {
		return fmt.Errorf("sign by %s: %w", caFile, err)
	}
	if err := verify(cert, ca); err != nil {
		return fmt.Errorf("%s may not sign for these names: %w", caFile, err)
	}
	file, own, err := nextFiles(dc + "-" + kind + "-" + domain)
	if err != nil {
		return err
	}
	if kind == "server" {
		fmt.Fprintln(said(c), warnServer)
	}
	fmt.Fprintf(said(c), "==> Using %s and %s\n", caFile, keyFile)
	return save(c, saved{file, cert, 0o644}, saved{own, key, 0o600})
}

func certKind(c *cli.Context) (string, error) {
	kind := ""
	for _, name := range []string{"server", "client", "cli"} {
		switch {
		case c.Bool(name) && kind != "":
			return "", &complaint{line: "Please provide either -server, -client, or -cli"}
		case c.Bool(name):
			kind = name
		}
	}
	switch {
	case kind == "":
		return "", &complaint{line: "Please provide either -server, -client, or -cli"}
	case c.String("node") != "" && kind != "server":
		return "", errors.New("-node goes with -server: only a server has a name of its own")
	}
	return kind, nil
}

// nameCert says whose certificate it is, and what for.
func nameCert(t *x509.Certificate, c *cli.Context, kind, dc, domain string) error {
	name := kind + "." + dc + "." + domain
	t.Subject = pkix.Name{CommonName: name}
	t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	t.DNSNames = append([]string{name, "localhost"}, c.StringSlice("additional-dnsname")...)
	if node := c.String("node"); node != "" {
		t.DNSNames = append(t.DNSNames, node+"."+name)
	}
	for _, text := range c.StringSlice("additional-ipaddress") {
		ip := net.ParseIP(text)
		if ip == nil {
			return fmt.Errorf("-additional-ipaddress %q is no IP address", text)
		}
		t.IPAddresses = append(t.IPAddresses, ip)
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if kind != "cli" {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.IPAddresses = append(t.IPAddresses, net.IPv4(127, 0, 0, 1))
	}
	return nil
}

func verify(cert []byte, ca *x509.Certificate) error {
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err = parsed.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// readCA reads an authority, which another program may have made.
func readCA(file, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, err := readPEM(file)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s holds no certificate: %w", file, err)
	}
	if !ca.IsCA {
		return nil, nil, fmt.Errorf("%s is not an authority's certificate: parley tls ca create makes one", file)
	}
	if block, err = readPEM(keyFile); err != nil {
		return nil, nil, err
	}
	var key any
	if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			return nil, nil, fmt.Errorf("%s holds no key that is known here: %w", keyFile, err)
		}
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds a key of another kind than ECDSA", keyFile)
	}
	if !private.PublicKey.Equal(ca.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", keyFile, file)
	}
	return ca, private, nil
}

func readPEM(file string) (*pem.Block, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: parley tls ca create makes an authority, -ca and -key name another one", file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(bytes.TrimSpace(data))
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file", file)
	}
	return block, nil
}

// partOfFile refuses what would put the file elsewhere.
func partOfFile(flag, text string) error {
	if text == "" || len(text) > 200 {
		return fmt.Errorf("-%s: want a name of 1 to 200 characters", flag)
	}
	for _, r := range text {
		if r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') || text[0] == '.' {
			return fmt.Errorf("-%s=%q: want letters, digits, dots and dashes", flag, text)
		}
	}
	return nil
}

func free(files ...string) error {
	for _, f := range files {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			return &complaint{line: f + " already exists."}
		}
	}
	return nil
}

// maxCerts is how many certificates of one kind are told apart by their number.
const maxCerts = 10_000

// nextFiles returns the first names that are free.
func nextFiles(prefix string) (cert, key string, err error) {
	for n := range maxCerts {
		cert, key = fmt.Sprintf("%s-%d.pem", prefix, n), fmt.Sprintf("%s-%d-key.pem", prefix, n)
		if free(cert, key) == nil {
			return cert, key, nil
		}
	}
	return "", "", fmt.Errorf("%s-0.pem and all that follow exist already: tidy up, or go to another directory", prefix)
}

type saved struct {
	name string
	data []byte
	mode fs.FileMode
}

// save writes a certificate and its key to files that are not there yet, and leaves none behind if one of them cannot be.
func save(c *cli.Context, files ...saved) (err error) {
	var done []string
	defer func() {
		if err != nil {
			for _, name := range done {
				_ = os.Remove(name)
			}
		}
	}()
	for _, f := range files {
		w, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		done = append(done, f.name)
		_, err = w.Write(f.data)
		if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
			return err
		}
	}
	done = nil
	return show(c, fields{"Certificate": files[0].name, "Key": files[1].name}, func(w io.Writer) {
		for _, f := range files {
			fmt.Fprintf(w, "==> Saved %s\n", f.name)
		}
	})
}
