// Package clients tests what users of other people's programs see when those programs talk to Parley: client libraries, and tools
// that were written for Consul. Nothing of them is replaced or adapted: `make clients` installs them, in pinned versions. There
// is one file for each, with its scripts and templates in testdata.
package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testutil.Clean()
	os.Exit(code)
}

// client returns the path of a program that make clients installs and names in a variable. Where it is missing the test is
// skipped, or fails under CI=true.
func client(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path != "" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s names no program (%q): run this test by make test, which installs it", variable, path)
	}
	t.Skipf("skipped: %s names no program (%q); run make test, which installs it", variable, path)
	return ""
}

// debian returns the path of a program of Debian's. They may lie outside an ordinary user's path.
func debian(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path
	}
	return testutil.Tool(t, name)
}

// program is a process that a test started. Programs differ in the signal that they stop at in good order.
type program struct {
	name string
	end  os.Signal
	cmd  *exec.Cmd
	done chan struct{}
	log  *testutil.Log
}

// start starts a program. The end of the test stops it, and shows what it said if the test has failed.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{name: filepath.Base(cmd.Path), end: syscall.SIGTERM, cmd: cmd, done: make(chan struct{}), log: new(testutil.Log)}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A test that is killed takes its programs along.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// What a killed program's children hold open must not hold up the test.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.log)
		}
	})
	return p
}

// stop ends a program in good order. One that does not end in time is a failure.
func (p *program) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(p.end)
	select {
	case <-p.done:
	case <-time.After(testutil.Patience):
		t.Errorf("%s did not stop", p.name)
		p.kill()
	}
}

// kill ends a program without a word to it.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// run runs a program to its end and returns what it printed. Another exit status than zero is fatal.
func run(t *testing.T, cmd ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testutil.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, cmd[0], cmd[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd, " "), err, out)
	}
	return string(out)
}

// steps runs a script that drives one client library against an agent, and wants every line `ok NAME` that it prints to be one of
// a step that it has; `not ok NAME: why` is a failure of this step.
func steps(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	timer := time.AfterFunc(2*testutil.Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	passed := 0
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			t.Run(strings.TrimSpace(name), func(*testing.T) { passed++ })
		} else if name, ok := strings.CutPrefix(line, "not ok "); ok {
			name, why, _ := strings.Cut(name, ": ")
			t.Run(name, func(t *testing.T) { t.Error(why) })
		}
	}
	if err != nil || passed == 0 {
		t.Errorf("%s: %v, %d steps passed\n%s", cmd, err, passed, out)
	}
}

// wantFile waits until a file has exactly this content.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	testutil.Eventually(t, fmt.Sprintf("%s to hold %q", filepath.Base(path), want), func(context.Context) error {
		got, err := os.ReadFile(path)
		if err == nil && string(got) != want {
			err = fmt.Errorf("it holds %q", got)
		}
		return err
	})
}

// writeFile writes a file of the test.
func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fetch returns what a URL answers with.
func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// A connection for each call: a balancer chooses anew each time.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + ": " + string(body))
	}
	return string(body), err
}

// register registers a service at an agent, with a TTL check that starts as passing.
func register(t *testing.T, a *testutil.Agent, s api.ServiceDefinition) {
	t.Helper()
	s.Checks = append(s.Checks, api.CheckDefinition{CheckID: "alive-" + s.ID, TTL: api.Duration(time.Hour), Status: api.Passing})
	if err := a.API.Agent().RegisterService(t.Context(), &s, false, nil); err != nil {
		t.Fatal(err)
	}
}
