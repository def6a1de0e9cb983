package feature

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestLogFile has an agent log to a file of few bytes, and look after the former ones.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "agent.pid")
	a := testutil.Dev(t, "-log-file="+dir+"/", "-log-rotate-bytes=500", "-log-rotate-max-files=2", "-log-json", "-pid-file="+pid)
	if text, err := os.ReadFile(pid); err != nil || string(text) != strconv.Itoa(a.Pid()) {
		t.Errorf("pid_file has %q, %v; the process is %d", text, err, a.Pid())
	}
	a.Must("services", "register", "-name=web") // says something
	a.Stop()
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("after the end pid_file is still there: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "parley*.log"))
	if err != nil || len(files) != 3 {
		t.Fatalf("log files: %v, %v; want the current one and two former ones", files, err)
	}
	current, err := os.ReadFile(filepath.Join(dir, "parley.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(current)), "\n")
	var last struct{ Msg string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Msg != "stopped" {
		t.Errorf("the last line is %q, %v", lines[len(lines)-1], err)
	}
	if !strings.Contains(a.Log(), last.Msg) {
		t.Error("standard output has not got the log any more")
	}
}

// TestAutoReload changes what an agent's files say: what is right comes into force, and what is wrong is named.
func TestAutoReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("web.hcl", `service { name = "web" port = 80 }`)
	a := testutil.Dev(t, "-config-dir="+dir, "-auto-reload-config")
	has := func(want string) {
		t.Helper()
		testutil.Eventually(t, want, func(ctx context.Context) error {
			services, _, err := a.API.Agent().Services(ctx, nil)
			var got []string
			for _, name := range []string{"db", "web"} {
				if s, ok := services[name]; ok {
					got = append(got, fmt.Sprintf("%s:%d", name, s.Port))
				}
			}
			if text := strings.Join(got, " "); text != want {
				return fmt.Errorf("registered is %q, %v", text, err)
			}
			return nil
		})
	}
	has("web:80")
	write("web.hcl", `service { name = "web" port = 8080 }`)
	has("web:8080")
	write("db.hcl", `service { name = "db" port = 1 }`)
	has("db:1 web:8080")
	write("db.hcl", `service { nam = "db" }`)
	testutil.Eventually(t, "the mistake to be named", func(context.Context) error {
		if log := a.Log(); !strings.Contains(log, "configuration not reloaded") || !strings.Contains(log, filepath.Join(dir, "db.hcl")) {
			return fmt.Errorf("log: %s", log)
		}
		return nil
	})
	has("db:1 web:8080")
	if err := os.Remove(filepath.Join(dir, "db.hcl")); err != nil {
		t.Fatal(err)
	}
	has("web:8080")
}

// TestBadRegistrationFiles starts an agent among files that are wrong, each in another way: it runs with what is right, its log names
// what is not, and validate had found it.
func TestBadRegistrationFiles(t *testing.T) {
	dir := t.TempDir()
	bad := map[string]string{
		"key.hcl":    "service {\n name = \"a\"\n prot = 80\n}",
		"cut.hcl":    "service {\n name = \"b\"\n",
		"comma.json": `{"service": {"name": "c", "port": 80,}}`,
		"kind.json":  `{"service": {"name": "d", "kind": "proxy"}}`,
		"check.hcl":  `check { name = "e" http = "ftp://x" interval = "5s" }`,
		"script.hcl": `check { name = "f" args = ["true"] interval = "5s" }`,
		"port.hcl":   `service { name = "g" port = 70000 }`,
	}
	all := map[string]string{"web.hcl": `service { name = "web" port = 80 }`, "agent.hcl": `data_dir = "/var/lib/parley"`}
	maps.Copy(all, bad)
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := testutil.Dev(t, "-config-dir="+dir)
	services, _, err := a.API.Agent().Services(t.Context(), nil)
	if err != nil || len(services) != 1 || services["web"].Port != 80 {
		t.Errorf("registered: %v, %v", services, err)
	}
	_, found, code := a.Run("validate", dir)
	for name := range bad {
		// What is refused only when it is registered is named by what it registers.
		named := map[string]string{"kind.json": `service \"d\"`, "check.hcl": `check \"e\"`, "script.hcl": `check \"f\"`, "port.hcl": `service \"g\"`}[name]
		if named == "" {
			named = filepath.Join(dir, name)
		}
		if !strings.Contains(a.Log(), named) {
			t.Errorf("the log does not name %s", named)
		}
		if named = strings.ReplaceAll(named, `\`, ""); code == 0 || !strings.Contains(found, named) {
			t.Errorf("validate, status %d, does not name %s:\n%s", code, named, found)
		}
	}
}

// TestUnixSocket has HTTP served on a socket in the file system, for whom unix_sockets says.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	a := testutil.New(t, "dev", "-dev", fmt.Sprintf(`-hcl=addresses { http = "unix://%s" } unix_sockets { mode = "0700" user = "%d" }`, path, os.Getuid()))
	a.Start()
	testutil.Eventually(t, "the socket", func(context.Context) error {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm() != 0o700 {
			err = fmt.Errorf("its mode is %s", info.Mode())
		}
		return err
	})
	out, stderr, code := a.Run("info", "-http-addr=unix://"+path)
	if code != 0 || !strings.Contains(out, "server = true") {
		t.Errorf("status %d: %s%s", code, out, stderr)
	}
}

// TestFirstConfigEntries has a configuration bring config entries: one that is wrong is named, and what somebody has changed since stays.
func TestFirstConfigEntries(t *testing.T) {
	a := testutil.Durable(t, "s1", "-server", "-bootstrap", `-hcl=config_entries { bootstrap = [
		{ kind = "proxy-defaults" name = "global" config { protocol = "http" } },
		{ kind = "service-defaults" name = "web" protocol = "http" },
		{ kind = "service-defaults" name = "db" mode = "sideways" },
	] }`)
	a.Start()
	a.WaitLeader()
	protocol := func(want string) {
		t.Helper()
		if out := a.Must("config", "read", "-kind=service-defaults", "-name=web"); !strings.Contains(out, `"Protocol": "`+want+`"`) {
			t.Errorf("protocol is not %s: %s", want, out)
		}
	}
	protocol("http")
	a.Must("config", "read", "-kind=proxy-defaults", "-name=global")
	if log := a.Log(); !strings.Contains(log, "is refused and left out") || !strings.Contains(log, "name=db") {
		t.Error("the log does not name the entry that is wrong")
	}
	file := filepath.Join(t.TempDir(), "web.hcl")
	if err := os.WriteFile(file, []byte(`Kind = "service-defaults" Name = "web" Protocol = "grpc"`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Must("config", "write", file)
	a.Stop()
	a.Start()
	a.WaitLeader()
	protocol("grpc")
}
