//go:build unix

package script

import (
	"context"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

// TestLeavesSomethingRunning has a program end well while what it started goes on and holds its output open.
func TestLeavesSomethingRunning(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := NewTail(100)
	cmd := Command(ctx, []string{"sh", "-c", "echo done; sleep 30 & echo pid $!"})
	cmd.Stdout = out
	began := time.Now()
	err := Run(cmd)
	if err != nil || !strings.HasPrefix(out.String(), "done\npid ") || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v, output %q", time.Since(began), err, out)
	}
	_ = cmd.Cancel() // the one that sleeps
}

// TestTail wants the last bytes however they come.
func TestTail(t *testing.T) {
	err := quick.Check(func(parts []string, limit uint8) bool {
		whole := strings.ToValidUTF8(strings.Join(parts, ""), "")
		tail := NewTail(int(limit))
		for _, p := range parts {
			_, _ = tail.Write([]byte(strings.ToValidUTF8(p, "")))
		}
		got := tail.String()
		if len(whole) <= int(limit) {
			return got == whole
		}
		end, marked := strings.CutPrefix(got, "... ")
		return len(got) <= int(limit) && (limit < 4 || marked && strings.HasSuffix(whole, end))
	}, nil)
	if err != nil {
		t.Error(err)
	}
}
