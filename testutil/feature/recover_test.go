package feature

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestRecover loses two of three servers for good and goes on with the third.
func TestRecover(t *testing.T) {
	c := testutil.NewCluster(t, 3, 1)
	client := c.Clients[0]
	client.Must("kv", "put", "kept", "yes")
	_, followers := c.Leader()
	left := followers[0]
	testutil.Eventually(t, "the write at the survivor", func(context.Context) error {
		if out, errs, code := left.Run("kv", "get", "-stale", "kept"); code != 0 || out != "yes\n" {
			return fmt.Errorf("%q %q", out, errs)
		}
		return nil
	})
	for _, s := range c.Servers {
		if s != left {
			s.Kill()
		}
	}
	peers := filepath.Join(left.DataDir, "raft", "peers.json")
	nothing := func(what string) {
		t.Helper()
		if _, err := os.Stat(peers); !os.IsNotExist(err) {
			t.Fatalf("%s: peers.json: %v; want none", what, err)
		}
	}

	if _, errs, code := left.Run("operator", "recover", "-data-dir="+left.DataDir, "-yes"); code != 1 || !strings.Contains(errs, fmt.Sprint(left.Pid())) {
		t.Errorf("beside a running agent: %d %q; want its pid, %d", code, errs, left.Pid())
	}
	left.Stop()
	out := left.Must("operator", "recover", "-data-dir="+left.DataDir, "-dry-run")
	if !strings.Contains(out, "stays, alone") || strings.Count(out, "is left out") != 2 || !strings.Contains(out, "What is lost") {
		t.Errorf("-dry-run printed %q", out)
	}
	nothing("-dry-run")
	if _, errs, code := left.Run("operator", "recover", "-data-dir="+left.DataDir); code != 1 || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("without consent: %d %q", code, errs)
	}
	nothing("without consent")
	if _, errs, code := left.Run("operator", "recover", "-data-dir="+t.TempDir(), "-yes"); code != 1 || !strings.Contains(errs, "is not the data directory of a server") {
		t.Errorf("of an empty directory: %d %q", code, errs)
	}

	// A file that is wrong stops the start and nothing else.
	id, err := os.ReadFile(filepath.Join(left.DataDir, "node-id"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := fmt.Sprintf(`[{"id": %q, "address": "127.0.0.1:%d"}]`, id, left.Ports.SerfLAN)
	if err := os.WriteFile(peers, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	left.Start()
	if code := left.ExitCode(); code != 1 || !strings.Contains(left.Log(), fmt.Sprintf("but this server's RPC is at 127.0.0.1:%d", left.Ports.Server)) {
		t.Errorf("with a wrong port in peers.json the agent ended with %d", code)
	}
	if err := os.Remove(peers); err != nil {
		t.Fatal(err)
	}

	left.Must("operator", "recover", "-data-dir="+left.DataDir, "-yes")
	left.Start()
	left.WaitLeader()
	nothing("after the start")
	testutil.Eventually(t, "the client agent", func(context.Context) error {
		if out, errs, code := client.Run("kv", "get", "kept"); code != 0 || out != "yes\n" {
			return fmt.Errorf("%q %q", out, errs)
		}
		return nil
	})
	client.Must("kv", "put", "new", "1")

	// Two new ones make three again.
	for _, name := range []string{"server-4", "server-5"} {
		testutil.Durable(t, name, "-server", "-retry-join="+left.SerfAddr(), "-retry-interval=200ms").Start()
	}
	testutil.Eventually(t, "three voters", func(context.Context) error {
		out := left.Must("operator", "raft", "list-peers")
		for _, name := range []string{left.Name, "server-4", "server-5"} {
			if !strings.Contains(out, name+" ") {
				return fmt.Errorf("%s is not there: %s", name, out)
			}
		}
		if n := strings.Count(out, " true "); n != 3 {
			return fmt.Errorf("%d voters: %s", n, out)
		}
		return nil
	})
	if got := client.Must("kv", "get", "new"); got != "1\n" {
		t.Errorf("after all, a write of between is %q", got)
	}
}
