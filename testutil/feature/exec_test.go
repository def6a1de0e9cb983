package feature

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/testutil"
)

// TestExec runs programs on the hosts whose agents allow it, from one whose agent does not.
func TestExec(t *testing.T) {
	c := testutil.NewCluster(t, 1, 2, func(name string) []string {
		if name == "client-2" {
			return nil // what is not said is off
		}
		return []string{"-hcl=disable_remote_exec = false"}
	})
	asker := c.Clients[1]
	asker.Must("kv", "put", "_rexec-not-mine", "x") // a neighbour of the keys that are used
	nothingLeft := func() {
		t.Helper()
		testutil.Eventually(t, "keys and session to go", func(context.Context) error {
			if out := asker.Must("kv", "get", "-keys", "_rexec/"); out != "" {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	wants := func(got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("no %q in:\n%s", p, got)
			}
		}
	}

	out := asker.Must("exec", "echo one; echo two >&2; printf three")
	for _, node := range []string{"server-1", "client-1"} {
		wants(out, "    "+node+": one\n", "    "+node+": two\n", "    "+node+": three\n", "==> "+node+": finished with exit code 0\n")
	}
	wants(out, "2 / 2 node(s) completed / acknowledged\n")
	nothingLeft()

	out, _, code := asker.Run("exec", "-node=^client-", "exit 3")
	wants(out, "==> client-1: finished with exit code 3\n", "1 / 1 node(s)")
	if code != 2 {
		t.Errorf("exit status %d where a program failed", code)
	}
	out, errs, code := asker.Run("exec", "-wait=200ms", "-node=client-2", "touch "+filepath.Join(t.TempDir(), "x"))
	wants(out+errs, "0 / 0 node(s)", "disable_remote_exec = false")
	if code != 1 {
		t.Errorf("exit status %d where no agent listens", code)
	}

	t.Run("arguments as they stand", func(t *testing.T) {
		out := asker.Must("exec", "-node=server-1", "-shell=false", "printf", "%s|", "a b", "$HOME")
		wants(out, "    server-1: a b|$HOME|\n")
		out, _, _ = asker.Run("exec", "-node=server-1", "-shell=false", "/no/such/program")
		wants(out, "/no/such/program", "finished with exit code 127\n")
	})

	t.Run("by service and tag", func(t *testing.T) {
		c.Clients[0].Must("services", "register", "-name=web", "-tag=v1")
		wants(asker.Must("exec", "-wait=500ms", "-service=web", "-tag=v1", "echo hi"), "    client-1: hi\n", "1 / 1 node(s)")
		_, errs, code := asker.Run("exec", "-tag=v1", "true")
		if wants(errs, "-tag goes with -service"); code != 1 {
			t.Error(code)
		}
	})

	t.Run("a script, for programs to read", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte("#!/bin/sh\necho from $0\nexit 4\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := asker.Run("exec", "-format=json", "-node=server-1", "-script="+file)
		var got []struct {
			Node, Output string
			ExitCode     int
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
			t.Fatalf("%s%s: %v", out, errs, err)
		}
		if got[0].Node != "server-1" || got[0].ExitCode != 4 || !strings.HasPrefix(got[0].Output, "from /") || code != 2 {
			t.Errorf("%+v, exit status %d", got, code)
		}
	})

	t.Run("more output than is kept", func(t *testing.T) {
		out := asker.Must("exec", "-node=client-1", "yes 0123456789 | head -c 3000000; sleep 1; echo never; true")
		wants(out, "output beyond 1048576 bytes is left out", "finished with exit code 0")
		if strings.Contains(out, "never") || len(out) < 1<<20 {
			t.Errorf("%d bytes", len(out))
		}
	})

	t.Run("interrupted", func(t *testing.T) {
		pid := filepath.Join(t.TempDir(), "pid")
		cmd := exec.Command(testutil.Binary(t), "exec", "-node=client-1", "sleep 1000 & echo $! >"+pid+"; echo begun; wait")
		cmd.Env = append(os.Environ(), "PARLEY_HTTP_ADDR="+asker.HTTPAddr())
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		child := 0
		testutil.Eventually(t, "the program to begin", func(context.Context) error {
			data, err := os.ReadFile(pid)
			if err == nil {
				_, err = fmt.Sscan(string(data), &child)
			}
			return err
		})
		began := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("an interrupted exec has succeeded")
		}
		testutil.Eventually(t, "what it started to be killed", func(context.Context) error {
			if err := syscall.Kill(child, 0); err == nil {
				return fmt.Errorf("process %d lives", child)
			}
			return nil
		})
		t.Logf("gone %s after the interrupt", time.Since(began))
		nothingLeft()
	})

	t.Run("an agent that stops meanwhile", func(t *testing.T) {
		lost := make(chan string)
		go func() {
			out, errs, code := asker.Run("exec", "-node=client-1", "echo begun; sleep 1000")
			lost <- fmt.Sprint(out, errs, code)
		}()
		testutil.Eventually(t, "the program to begin", func(context.Context) error {
			if !strings.Contains(asker.Must("kv", "get", "-keys", "_rexec/"), "/client-1/out/00000") {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		c.Clients[0].Stop()
		wants(<-lost, "    client-1: begun\n", "==> client-1: its agent is gone", "0 / 1 node(s) completed / acknowledged\n")
	})
	if got := asker.Must("kv", "get", "_rexec-not-mine"); got != "x\n" {
		t.Error(got)
	}
}
