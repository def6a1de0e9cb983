package feature

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestCommandLines runs the lines that people type, to the letter.
func TestCommandLines(t *testing.T) {
	a := testutil.Dev(t)
	wants := func(out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("%q is missing in:\n%s", p, out)
			}
		}
	}
	wants(a.Must("services", "register", "-name=myapp-service", "-id=myapp-service-id", "-tags=web,api", "-address=192.168.1.100", "-port=8080"),
		"Registered service: myapp-service")
	testutil.Eventually(t, "the service in the catalog", func(context.Context) error {
		if out := a.Must("catalog", "services", "-tags"); !strings.Contains(out, "myapp-service") {
			return errors.New(out)
		}
		return nil
	})
	wants(a.Must("catalog", "services", "-tags"), "consul", "myapp-service", "api,web")
	wants(a.Must("catalog", "nodes"), "dev", "127.0.0.1", "dc1")
	wants(a.Must("members"), "dev", "alive", "server")
	wants(a.Must("info"), "leader", "true")
	wants(a.Must("operator", "raft", "list-peers"), "dev", "leader", "true")

	wants(a.Must("intention", "create", "myapp-service", "webapp-service", "-allow"), "Created: myapp-service => webapp-service (allow)")
	wants(a.Must("intention", "list"), "myapp-service", "webapp-service", "allow")
	wants(a.Must("intention", "check", "myapp-service", "webapp-service"), "Allowed")
	wants(a.Must("intention", "get", "myapp-service", "webapp-service"), "myapp-service", "allow")
	wants(a.Must("intention", "match", "webapp-service"), "myapp-service")
	wants(a.Must("intention", "delete", "myapp-service", "webapp-service"), "deleted")
	if out, _, code := a.Run("intention", "check", "myapp-service", "webapp-service"); code == 0 || !strings.Contains(out, "Denied") {
		t.Errorf("without an intention: exit status %d, %q", code, out)
	}

	wants(a.Must("kv", "put", "config/colour", "blue"), "Success! Data written to: config/colour")
	if got := a.Must("kv", "get", "config/colour"); got != "blue\n" {
		t.Errorf("kv get: %q", got)
	}
	wants(a.Must("kv", "delete", "config/colour"), "Success! Deleted key: config/colour")
	if _, errs, code := a.Run("kv", "get", "config/colour"); code != 1 || !strings.Contains(errs, "No key exists at: config/colour") {
		t.Errorf("kv get of a deleted key: %d, %q", code, errs)
	}
	wants(a.Must("services", "deregister", "-id=myapp-service-id"), "Deregistered service: myapp-service-id")
	wants(a.Must("version"), "Parley")
	wants(a.Must("version", "-format=json"), `"Version"`)

	if _, errs, code := a.Run("catalog", "servces"); code != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("a mistyped command: %d, %q, want one line", code, errs)
	}
}

// TestRegisterFromFiles registers the same service from JSON and from HCL.
func TestRegisterFromFiles(t *testing.T) {
	a := testutil.Dev(t)
	for name, text := range map[string]string{
		"web.json": `{"service": {"name": "web", "port": 80, "tags": ["v1"], "check": {"ttl": "30s"}}}`,
		"web.hcl":  `service { name = "web" port = 81 tags = ["v1"] check { ttl = "30s" } }`,
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := a.Must("services", "register", file); out != "Registered service: web\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
	services, _, err := a.API.Agent().Services(t.Context(), nil)
	if err != nil || len(services) != 1 {
		t.Fatalf("%v, %v", services, err)
	}
	bad := filepath.Join(t.TempDir(), "bad.hcl")
	if err := os.WriteFile(bad, []byte(`service { name = "web" prot = 1 }`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := a.Run("services", "register", bad); code != 1 || !strings.Contains(errs, "prot") || !strings.Contains(errs, "bad.hcl") {
		t.Errorf("a mistyped key: %d, %q", code, errs)
	}
}

// TestStartRefused asks for agents that cannot start: one clear line, and exit status 1.
func TestStartRefused(t *testing.T) {
	running := testutil.Durable(t, "first", "-server", "-bootstrap-expect=1")
	running.Start()
	running.WaitLeader()

	notDir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	typo := filepath.Join(t.TempDir(), "typo.hcl")
	if err := os.WriteFile(typo, []byte("datacentre = \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		want []string
	}{
		{"the data directory of another", []string{"-data-dir=" + running.DataDir}, []string{running.DataDir, fmt.Sprint(running.Pid())}},
		{"a port in use", []string{"-dev", fmt.Sprintf("-http-port=%d", running.Ports.HTTP)}, []string{"in use", "ports.http"}},
		{"an unreadable data directory", []string{"-data-dir=" + notDir}, []string{notDir}},
		{"a mistyped key", []string{"-dev", "-config-file=" + typo}, []string{"datacentre", "datacenter", "typo.hcl:1"}},
		{"no data directory", nil, []string{"data_dir"}},
		{"an unknown flag", []string{"-dev", "-sever"}, []string{"sever"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := testutil.New(t, "second", c.args...)
			a.Start()
			if code := a.ExitCode(); code != 1 {
				t.Errorf("exit status %d", code)
			}
			for _, w := range c.want {
				if !strings.Contains(a.Log(), w) {
					t.Errorf("%q is missing in %q", w, a.Log())
				}
			}
			if strings.Count(a.Log(), "\n") != 1 {
				t.Errorf("more than one line:\n%s", a.Log())
			}
		})
	}
	if _, errs, code := running.Run("kv", "put", "still", "here"); code != 0 {
		t.Errorf("the first agent was harmed: %s", errs)
	}
}
