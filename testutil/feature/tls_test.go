package feature

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestTLS has three servers and a client agent trust one another by files that `parley tls` made, and nobody else.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	tls := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), testutil.Binary(t), append([]string{"tls"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tls %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	tls("ca", "create")
	for range 3 {
		tls("cert", "create", "-server")
	}
	tls("cert", "create", "-client")

	config := func(cert string) []string {
		file := func(name string) string { return filepath.Join(dir, name) }
		return []string{fmt.Sprintf(`-hcl=tls {
			defaults { ca_file = %q cert_file = %q key_file = %q verify_outgoing = true }
			internal_rpc { verify_incoming = true verify_server_hostname = true }
		}`, file("consul-agent-ca.pem"), file(cert+".pem"), file(cert+"-key.pem"))}
	}
	c := testutil.NewCluster(t, 3, 1, func(name string) []string {
		kind, n, _ := strings.Cut(name, "-")
		if kind == "client" {
			return config("dc1-client-consul-0")
		}
		return config("dc1-server-consul-" + string(n[0]-1))
	})
	one := c.Clients[0]
	one.Must("kv", "put", "over", "tls")
	leader, followers := c.Leader()
	if got := followers[0].Must("kv", "get", "over"); got != "tls\n" {
		t.Errorf("%q", got)
	}
	leader.Kill()
	one.Must("kv", "put", "over", "tls, still")

	for name, args := range map[string][]string{
		"without a certificate": nil,
		"of another authority":  other(t),
	} {
		a := testutil.Durable(t, "stranger-"+strings.Fields(name)[0], append(args, "-retry-join="+one.SerfAddr(), "-retry-interval=200ms")...)
		a.Start()
		testutil.Eventually(t, "a stranger to be refused", func(context.Context) error {
			if !strings.Contains(followers[0].Log()+followers[1].Log(), "connection closed") {
				return fmt.Errorf("no server says so")
			}
			return nil
		})
		if _, errs, code := a.Run("kv", "get", "over"); code == 0 {
			t.Errorf("%s: it reads, %q", name, errs)
		}
		a.Stop()
	}

	// A client's certificate does not make a server: the others see that it is not called one.
	fake := testutil.Durable(t, "server-x", append(config("dc1-client-consul-0"), "-server", "-retry-join="+one.SerfAddr(), "-retry-interval=200ms")...)
	fake.Start()
	testutil.Eventually(t, "a server with a client's certificate to be refused", func(context.Context) error {
		for _, a := range followers {
			if strings.Contains(a.Log(), "certificate is valid for client.dc1.consul, localhost, not server.dc1.consul") {
				return nil
			}
		}
		return fmt.Errorf("nobody has refused it")
	})
}

// other returns the configuration of who has files of another authority.
func other(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{{"tls", "ca", "create"}, {"tls", "cert", "create", "-client"}} {
		cmd := exec.CommandContext(t.Context(), testutil.Binary(t), args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return []string{fmt.Sprintf(`-hcl=tls { defaults { ca_file = %q cert_file = %q key_file = %q verify_outgoing = true } }`,
		filepath.Join(dir, "consul-agent-ca.pem"), filepath.Join(dir, "dc1-client-consul-0.pem"), filepath.Join(dir, "dc1-client-consul-0-key.pem"))}
}
