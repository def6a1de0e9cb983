package feature

import (
	"context"
	"encoding/json"
	"fmt"
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
