package feature

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestSnapshot saves at a client agent under writes, and restores into the same cluster, into a new server, and from damaged files.
func TestSnapshot(t *testing.T) {
	c := testutil.NewCluster(t, 3, 1)
	agent := c.Clients[0]
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.snap")

	agent.Must("kv", "put", "config/db", "one")
	agent.Must("services", "register", "-name=web", "-port=8080")
	agent.Must("intention", "create", "-allow", "web", "db")
	testutil.Eventually(t, "web in the catalog", func(ctx context.Context) error {
		found, _, err := agent.API.Catalog().Service(ctx, "web", nil, nil)
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%+v", found)
		}
		return err
	})
	roots, _, err := agent.API.CA().Roots(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := startWriter(agent, "busy")
	out := agent.Must("snapshot", "save", file)
	if !strings.HasPrefix(out, "Saved and verified snapshot to index ") {
		t.Errorf("%q", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	acked := w.end()
	if len(acked) == 0 {
		t.Error("nothing was written meanwhile")
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("inspect", func(t *testing.T) {
		for _, want := range []string{" ID ", " Index ", "Total", "Key Name", "config/db"} {
			if out := agent.Must("snapshot", "inspect", "-kvdetails", file); !strings.Contains(out, want) {
				t.Errorf("no %q in %s", want, out)
			}
		}
		var found struct {
			Meta  struct{ Index, Term, Version uint64 }
			Stats []struct {
				Name       string
				Sum, Count int
			}
		}
		if err := json.Unmarshal([]byte(agent.Must("snapshot", "inspect", "-format=json", file)), &found); err != nil || found.Meta.Index == 0 || len(found.Stats) == 0 {
			t.Errorf("%+v, %v", found, err)
		}
		for i, line := range strings.Split(strings.TrimSpace(agent.Must("snapshot", "decode", file)), "\n") {
			var row struct {
				Type string
				Data map[string]any
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil || row.Type == "" || i == 0 && row.Type != "SnapshotHeader" {
				t.Fatalf("%s: %v", line, err)
			}
		}
	})

	t.Run("a name that tells more", func(t *testing.T) {
		agent.Must("snapshot", "save", "-stale", "-append-filename=version,dc,node,status", filepath.Join(dir, "more.snap"))
		if got, _ := filepath.Glob(filepath.Join(dir, "more-*-dc1-"+agent.Name+"-client.snap")); len(got) != 1 {
			t.Error(got)
		}
	})

	t.Run("damaged files change nothing", func(t *testing.T) {
		agent.Must("kv", "put", "config/db", "two")
		for at := 0; at < len(good); at += len(good)/20 + 1 {
			bad := bytes.Clone(good)
			bad[at] ^= 0x10
			path := filepath.Join(dir, "bad.snap")
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, stderr, code := agent.Run("snapshot", "restore", path); code == 0 || !strings.Contains(stderr, "nothing was changed") {
				t.Errorf("byte %d: %d, %q", at, code, stderr)
			}
			if _, stderr, code := agent.Run("snapshot", "inspect", path); code == 0 {
				t.Errorf("byte %d: %q", at, stderr)
			}
		}
		if got := agent.Must("kv", "get", "config/db"); got != "two\n" {
			t.Errorf("%q", got)
		}
	})

	t.Run("restored from a client agent", func(t *testing.T) {
		agent.Must("kv", "put", "later", "x")
		_, meta, err := agent.API.KV().Get(t.Context(), "config/db", nil)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() {
			pair, now, err := agent.API.KV().Get(t.Context(), "config/db", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
			if err == nil && (pair == nil || string(pair.Value) != "one" || now.LastIndex <= meta.LastIndex) {
				err = fmt.Errorf("%+v at %d after %d", pair, now.LastIndex, meta.LastIndex)
			}
			woken <- err
		}()
		if out := agent.Must("snapshot", "restore", file); out != "Restored snapshot\n" {
			t.Errorf("%q", out)
		}
		if err := <-woken; err != nil {
			t.Error(err)
		}
		same(t, c.All(), agent)
		w := startWriter(agent, "after")
		testutil.Eventually(t, "writes to go on", func(ctx context.Context) error {
			pairs, _, err := c.Servers[0].API.KV().List(ctx, "after/", nil)
			if err == nil && len(pairs) < 10 {
				err = fmt.Errorf("%d written", len(pairs))
			}
			return err
		})
		if lost := missing(t, agent, "after", w.end()); len(lost) > 0 {
			t.Errorf("%d of the later writes are missing", len(lost))
		}
	})

	t.Run("a server that was away catches up", func(t *testing.T) {
		_, followers := c.Leader()
		followers[0].Kill()
		if err := agent.API.Snapshot().Restore(t.Context(), bytes.NewReader(good), nil); err != nil {
			t.Fatal(err)
		}
		followers[0].Start()
		followers[0].WaitLeader()
		same(t, c.Servers, agent)
	})

	t.Run("into a new cluster", func(t *testing.T) {
		fresh := testutil.Durable(t, "fresh", "-server", "-bootstrap-expect=1")
		fresh.Start()
		fresh.WaitLeader()
		fresh.Must("kv", "put", "config/db", "other")
		body, meta, err := agent.API.Snapshot().Save(t.Context(), nil)
		if err != nil || meta.LastIndex == 0 || !meta.KnownLeader {
			t.Fatalf("%+v, %v", meta, err)
		}
		data, err := io.ReadAll(body)
		_ = body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := fresh.API.Snapshot().Restore(t.Context(), bytes.NewReader(data), nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := fresh.Must("kv", "get", "config/db"); got != "one\n" {
				t.Errorf("%q", got)
			}
			if out := fresh.Must("intention", "check", "web", "db"); !strings.Contains(out, "Allowed") {
				t.Errorf("%q", out)
			}
			now, _, err := fresh.API.CA().Roots(t.Context(), nil)
			if err != nil || now.TrustDomain != roots.TrustDomain || now.ActiveRootID != roots.ActiveRootID {
				t.Errorf("%+v, want %+v, %v", now, roots, err)
			}
			// It finds its own place in the catalog that was restored, also after a restart.
			testutil.Eventually(t, "the new server to be in the catalog", func(ctx context.Context) error {
				found, _, err := fresh.API.Health().Service(ctx, "consul", nil, true, nil)
				for _, e := range found {
					if e.Node.Node == "fresh" {
						return nil
					}
				}
				return fmt.Errorf("%d servers, %v", len(found), err)
			})
			fresh.Stop()
			fresh.Start()
			fresh.WaitLeader()
		}
	})

	t.Run("what is no snapshot", func(t *testing.T) {
		path := filepath.Join(dir, "web.json")
		if err := os.WriteFile(path, []byte(`{"service":{}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := agent.Run("snapshot", "restore", path); code != 1 || !strings.HasPrefix(stderr, "Error restoring snapshot: failed to decompress snapshot: gzip: invalid header") {
			t.Errorf("%d, %q", code, stderr)
		}
		if _, stderr, code := agent.Run("snapshot", "inspect", path); code != 1 || stderr != "Error reading snapshot: failed to decompress snapshot: gzip: invalid header\n" {
			t.Errorf("%d, %q", code, stderr)
		}
		if _, _, code := agent.Run("snapshot", "save", filepath.Join(dir, "none", "x.snap")); code != 1 {
			t.Error("saved into a folder that is not there")
		}
	})
}

// same checks that all agents show what was in the snapshot, and nothing of later.
func same(t *testing.T, all []*testutil.Agent, agent *testutil.Agent) {
	t.Helper()
	for _, a := range all {
		testutil.Eventually(t, "the restored state at "+a.Name, func(ctx context.Context) error {
			pair, _, err := a.API.KV().Get(ctx, "config/db", &api.QueryOptions{Mode: api.Stale})
			if err != nil || pair == nil || string(pair.Value) != "one" {
				return fmt.Errorf("%+v, %v", pair, err)
			}
			if later, _, err := a.API.KV().Get(ctx, "later", &api.QueryOptions{Mode: api.Stale}); err != nil || later != nil {
				return fmt.Errorf("%+v, %v", later, err)
			}
			found, _, err := a.API.Catalog().Service(ctx, "web", nil, nil)
			if err != nil || len(found) != 1 || found[0].Node != agent.Name {
				return fmt.Errorf("%+v, %v", found, err)
			}
			return nil
		})
	}
}
