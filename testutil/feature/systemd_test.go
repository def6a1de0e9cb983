package feature

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/testutil"
)

// TestNotify has an agent tell a service manager how it is: that it serves, that it lives, that it reloads, and that it stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// want reads what the manager is told until the line comes, and says what came before it.
	want := func(line string) (before []string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(testutil.Patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v; the manager was told %q", line, err, before)
			}
			text := string(buf[:n])
			if strings.HasPrefix(text, line) {
				return append(before, text)
			}
			before = append(before, text)
		}
	}

	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	a := testutil.New(t, "notifying", "-dev")
	a.Start()
	if told := want("READY=1"); len(told) != 1 || !strings.Contains(told[0], "STATUS=true, alone") {
		t.Errorf("at first the manager was told %q", told)
	}
	if out := a.Must("info"); !strings.Contains(out, "agent") {
		t.Errorf("an agent that said it was ready answers %q", out)
	}
	want("WATCHDOG=1")

	a.Signal(syscall.SIGHUP)
	told := want("RELOADING=1")
	if last := told[len(told)-1]; !strings.Contains(last, "\nMONOTONIC_USEC=") {
		t.Errorf("a reload was told as %q, without its time", last)
	}
	want("READY=1")

	a.Stop()
	want("STOPPING=1")
}

// TestUnit has systemd judge the unit that the documentation hands out.
func TestUnit(t *testing.T) {
	analyze := testutil.Tool(t, "systemd-analyze")
	text, err := os.ReadFile("../../website/docs/parley.service")
	if err != nil {
		t.Fatal(err)
	}
	// systemd wants to see the program and the user; those of this host stand in.
	unit := filepath.Join(t.TempDir(), "parley.service")
	here := strings.NewReplacer("/usr/local/bin/parley", testutil.Binary(t), "User=parley\n", "", "Group=parley\n", "").Replace(string(text))
	if err := os.WriteFile(unit, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
