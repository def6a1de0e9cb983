package command_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func certOf(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLS(t *testing.T) {
	t.Chdir(t.TempDir())
	do := func(line string) string {
		t.Helper()
		out, errs, code := run("", strings.Fields("parley "+line)...)
		if code != 0 {
			t.Fatalf("%s: exit status %d, %s%s", line, code, out, errs)
		}
		return out
	}
	refused := func(line, want string) {
		t.Helper()
		if _, errs, code := run("", strings.Fields("parley "+line)...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit status %d, %q; want %q", line, code, errs, want)
		}
	}
	refused("tls cert create -server", "consul-agent-ca.pem is not there")
	if out := do("tls ca create"); out != "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n" {
		t.Errorf("%q", out)
	}
	refused("tls ca create", "consul-agent-ca.pem already exists.")
	refused("tls cert create", "Please provide either -server, -client, or -cli")
	refused("tls cert create -server -client", "Please provide either")
	refused("tls cert create -client -node=n", "-node goes with -server")
	refused("tls cert create -client -dc=../x", "-dc=")
	refused("tls cert create -client -days=0", "-days=0")
	refused("tls cert create -client -additional-ipaddress=x", "is no IP address")

	ca := certOf(t, "consul-agent-ca.pem")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range []struct {
		line, file string
		names      []string
		usages     []x509.ExtKeyUsage
	}{
		{"-server -node=n1", "dc1-server-consul-0.pem", []string{"server.dc1.consul", "n1.server.dc1.consul", "localhost", "127.0.0.1"},
			[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
		{"-server", "dc1-server-consul-1.pem", []string{"server.dc1.consul"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		{"-client -dc=dc2 -additional-dnsname=a.example.org -additional-ipaddress=192.0.2.1", "dc2-client-consul-0.pem",
			[]string{"client.dc2.consul", "a.example.org", "192.0.2.1"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}},
		{"-cli", "dc1-cli-consul-0.pem", []string{"cli.dc1.consul"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		out := do("tls cert create " + c.line)
		if !strings.Contains(out, "==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n==> Saved "+c.file+"\n") ||
			strings.Contains(out, "WARNING") != strings.Contains(c.line, "-server") {
			t.Errorf("%s: %q", c.line, out)
		}
		got := certOf(t, c.file)
		for _, name := range c.names {
			if _, err := got.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: c.usages}); err != nil {
				t.Errorf("%s: %v", c.line, err)
			}
		}
		for _, usage := range c.usages {
			if !slices.Contains(got.ExtKeyUsage, usage) {
				t.Errorf("%s: is not for %v", c.line, usage)
			}
		}
		key := strings.TrimSuffix(c.file, ".pem") + "-key.pem"
		if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info, err)
		}
	}

	do("tls ca create -domain=example.org -days=10 -name-constraint -additional-name-constraint=example.com -cluster-id=c1 -common-name=Ours")
	other := certOf(t, "example.org-agent-ca.pem")
	if other.Subject.CommonName != "Ours" || other.URIs[0].String() != "spiffe://c1.example.org" || time.Until(other.NotAfter) > 10*24*time.Hour ||
		!slices.Equal(other.PermittedDNSDomains, []string{"localhost", "example.org", "example.com"}) {
		t.Errorf("%+v", other)
	}
	do("tls cert create -server -domain=example.org -additional-dnsname=www.example.com")
	if got := certOf(t, "dc1-server-example.org-0.pem"); got.NotAfter.After(other.NotAfter) {
		t.Error("it outlives its authority")
	}
	refused("tls cert create -server -domain=example.org -additional-dnsname=www.example.net", "may not sign for these names")
	refused("tls cert create -client -key=example.org-agent-ca-key.pem", "is not the key of")
	refused("tls cert create -client -ca=dc1-cli-consul-0.pem", "is not an authority's certificate")
	refused("tls ca create -domain=x -additional-name-constraint=y", "goes with -name-constraint")
	if err := os.WriteFile("bad.pem", []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("tls cert create -client -ca=bad.pem", "is not a PEM file")
}
