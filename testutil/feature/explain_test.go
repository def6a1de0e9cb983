package feature

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestMembersExplain stops one of three agents for a while, and asks why it failed.
func TestMembersExplain(t *testing.T) {
	c := testutil.NewCluster(t, 1, 2)
	server, one, two := c.Servers[0], c.Clients[0], c.Clients[1]
	says := func(from *testutil.Agent, want ...string) {
		t.Helper()
		testutil.Eventually(t, "explain client-2", func(context.Context) error {
			out, errs, code := from.Run("members", "explain", "client-2")
			for _, w := range want {
				if code != 0 || !strings.Contains(out, w) {
					return errors.New(w + " is not in: " + out + errs)
				}
			}
			return nil
		})
	}
	says(one, "client-2 (127.0.0.1:", ") is alive", "2 of 2 other members answered")
	two.Signal(syscall.SIGSTOP)
	says(one, "is failed", "suspected it: no answer to its probes", "gave it up: it did not object in time")
	two.Signal(syscall.SIGCONT)
	says(one, "is alive", "and it objected")
	says(server, "is alive", "and it objected")

	var e api.MemberExplanation
	if err := json.Unmarshal([]byte(server.Must("members", "explain", "-format=json", "client-2")), &e); err != nil || e.Name != "client-2" || len(e.Events) == 0 {
		t.Errorf("for programs: %+v %v", e, err)
	}
	if _, errs, code := server.Run("members", "explain", "nobody"); code != 1 || !strings.Contains(errs, `no member is called "nobody"`) {
		t.Errorf("a member that never was: %d %q", code, errs)
	}
}
