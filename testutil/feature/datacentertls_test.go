package feature

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestDatacentersTrustOneAnother has the servers of two datacenters talk by TLS and encrypt their gossip, whose keys are changed.
func TestDatacentersTrustOneAnother(t *testing.T) {
	dir := t.TempDir()
	parley := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), testutil.Binary(t), args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	parley("tls", "ca", "create")
	for _, dc := range []string{"west", "east"} {
		parley("tls", "cert", "create", "-server", "-dc="+dc)
	}
	first, second := parley("keygen"), parley("keygen")
	server := func(name, dc, cert string, args ...string) *testutil.Agent {
		file := func(name string) string { return filepath.Join(dir, name) }
		a := testutil.Durable(t, name, append([]string{"-server", "-bootstrap-expect=1", "-datacenter=" + dc, "-retry-interval-wan=200ms", "-encrypt=" + first,
			fmt.Sprintf(`-hcl=tls {
				defaults { ca_file = %q cert_file = %q key_file = %q verify_outgoing = true }
				internal_rpc { verify_incoming = true verify_server_hostname = true }
			}`, file("consul-agent-ca.pem"), file(cert+".pem"), file(cert+"-key.pem"))}, args...)...)
		a.Start()
		a.WaitLeader()
		return a
	}
	west := server("w", "west", "west-server-consul-0")
	east := server("e", "east", "east-server-consul-0", "-retry-join-wan="+west.WANAddr())
	testutil.Eventually(t, "east, from west", func(context.Context) error {
		if out, errs, code := west.Run("kv", "put", "-datacenter=east", "over", "tls"); code != 0 {
			return errors.New(out + errs)
		}
		return nil
	})
	if got := east.Must("kv", "get", "over"); got != "tls\n" {
		t.Errorf("%q", got)
	}

	// The keys of all pools are listed, and changed, from anywhere.
	lists := func(key string) error {
		out := west.Must("keyring", "-list-primary")
		for _, pool := range []string{"WAN:\n  " + key + " [2/2]", "west (LAN):\n  " + key + " [1/1]", "east (LAN):\n  " + key + " [1/1]"} {
			if !strings.Contains(out, pool) {
				return fmt.Errorf("want %q in %s", pool, out)
			}
		}
		return nil
	}
	if err := lists(first); err != nil {
		t.Error(err)
	}
	east.Must("keyring", "-install="+second)
	east.Must("keyring", "-use="+second)
	east.Must("keyring", "-remove="+first)
	if err := lists(second); err != nil {
		t.Error(err)
	}
	east.Stop()
	east.Start()
	testutil.Eventually(t, "east with the keys that it has kept", func(context.Context) error {
		if out, errs, code := west.Run("kv", "get", "-datacenter=east", "over"); code != 0 {
			return errors.New(out + errs)
		}
		return nil
	})

	// Who says that it is a server of a datacenter must have a certificate for that.
	east.Stop()
	fake := server("f", "north", "east-server-consul-0", "-encrypt="+second, "-retry-join-wan="+west.WANAddr())
	testutil.Eventually(t, "a server with another datacenter's certificate to be refused", func(ctx context.Context) error {
		_, _, err := west.API.KV().Get(ctx, "x", &api.QueryOptions{Datacenter: "north"})
		if err == nil || !strings.Contains(err.Error(), "not server.north.consul") {
			return fmt.Errorf("west: %v; north: %s", err, fake.Must("members", "-wan"))
		}
		return nil
	})
}
