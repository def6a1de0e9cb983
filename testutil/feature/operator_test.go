package feature

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestOperator hands over, gives up a killed server and replaces it, all from a client agent.
func TestOperator(t *testing.T) {
	c := testutil.NewCluster(t, 3, 1)
	one := c.Clients[0]

	t.Run("handing over under writes loses nothing", func(t *testing.T) {
		w := startWriter(one, "handover")
		for range 3 {
			before, _ := c.Leader()
			time.Sleep(200 * time.Millisecond)
			if out := one.Must("operator", "raft", "transfer-leader"); out != "Success\n" {
				t.Errorf("%q", out)
			}
			testutil.Eventually(t, "another to lead", func(context.Context) error {
				if now, _ := c.Leader(); now == before {
					return fmt.Errorf("%s leads still", now.Name)
				}
				return nil
			})
		}
		_, followers := c.Leader()
		to := nodeID(t, followers[0])
		one.Must("operator", "raft", "transfer-leader", "-id="+to)
		testutil.Eventually(t, "the one that was named to lead", func(context.Context) error {
			if now, _ := c.Leader(); now != followers[0] {
				return fmt.Errorf("%s leads", now.Name)
			}
			return nil
		})
		acked := w.end()
		if len(acked) == 0 {
			t.Fatal("nothing was written")
		}
		if lost := missing(t, followers[0], "handover", acked); len(lost) > 0 {
			t.Errorf("%d of %d acknowledged writes are lost, the first is %s", len(lost), len(acked), lost[0])
		}
	})

	t.Run("usage and rules", func(t *testing.T) {
		one.Must("services", "register", "-name=web", "-port=8080")
		testutil.Eventually(t, "the service to be counted", func(context.Context) error {
			if out := one.Must("operator", "usage", "instances"); !strings.Contains(out, "dc1 Billable Service Instances: 1\n") ||
				!strings.Contains(out, "Total           4\n") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		if out := one.Must("operator", "autopilot", "set-config", "-server-stabilization-time=1s", "-min-quorum=3"); out != "Configuration updated!\n" {
			t.Errorf("%q", out)
		}
		if out := one.Must("operator", "autopilot", "get-config"); !strings.Contains(out, "ServerStabilizationTime = 1s\n") ||
			!strings.Contains(out, "MinQuorum = 3\n") || !strings.Contains(out, "CleanupDeadServers = true\n") {
			t.Errorf("%s", out)
		}
		if _, errs, code := one.Run("operator", "autopilot", "set-config", "-min-quorum=many"); code != 1 || !strings.Contains(errs, "-min-quorum=many") {
			t.Errorf("exit status %d, %q", code, errs)
		}
		testutil.Eventually(t, "all to be healthy", func(context.Context) error {
			if out := one.Must("operator", "autopilot", "state"); !strings.HasPrefix(out, "Healthy:                      true\nFailure Tolerance:            1\n") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		var state api.AutopilotState
		if err := json.Unmarshal([]byte(one.Must("operator", "autopilot", "state", "-format=json")), &state); err != nil || len(state.Voters) != 3 {
			t.Errorf("%+v, %v", state, err)
		}
	})

	_, followers := c.Leader()
	dead := followers[0]
	deadID := nodeID(t, dead)

	t.Run("a killed server is shown as such and can be removed", func(t *testing.T) {
		dead.Kill()
		testutil.Eventually(t, "it to be shown as failed", func(context.Context) error {
			out := one.Must("operator", "raft", "list-peers")
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, dead.Name+" ") && strings.Contains(line, "failed") {
					return nil
				}
			}
			return fmt.Errorf("%s", out)
		})
		health, _, err := one.API.Operator().AutopilotHealth(t.Context(), nil)
		if err != nil || health.Healthy || health.FailureTolerance != 0 {
			t.Errorf("%+v, %v", health, err)
		}
		if out := one.Must("operator", "raft", "remove-peer", "-id="+deadID); out != fmt.Sprintf("Removed peer with id %q\n", deadID) {
			t.Errorf("%q", out)
		}
		if out := one.Must("operator", "raft", "list-peers"); strings.Contains(out, deadID) || strings.Count(out, "server-") != 2 {
			t.Errorf("%s", out)
		}
		if _, errs, code := one.Run("operator", "raft", "remove-peer", "-id="+deadID); code != 1 || !strings.Contains(errs, "was not found in the Raft configuration") {
			t.Errorf("exit status %d, %q", code, errs)
		}
	})

	t.Run("it comes back and gets its vote again", func(t *testing.T) {
		dead.Start()
		testutil.Eventually(t, "three voters that are healthy", func(ctx context.Context) error {
			s, _, err := one.API.Operator().AutopilotState(ctx, nil)
			if err == nil && (!s.Healthy || len(s.Voters) != 3 || s.FailureTolerance != 1) {
				err = fmt.Errorf("%+v", s)
			}
			return err
		})
	})

	t.Run("a replacement takes the place of a dead server", func(t *testing.T) {
		_, followers := c.Leader()
		dead := followers[0]
		id := nodeID(t, dead)
		dead.Kill()
		fourth := testutil.Durable(t, "server-4", "-server", "-retry-interval=200ms", "-retry-join="+one.SerfAddr())
		fourth.Start()
		testutil.Eventually(t, "the fourth in the place of the dead one", func(ctx context.Context) error {
			s, _, err := one.API.Operator().AutopilotState(ctx, nil)
			if err != nil {
				return err
			}
			if _, still := s.Servers[id]; still || len(s.Voters) != 3 || !s.Healthy {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		testutil.Eventually(t, "the dead one to be gone from the catalog", func(ctx context.Context) error {
			n, _, err := one.API.Catalog().Node(ctx, dead.Name, nil)
			if err == nil && n != nil {
				err = fmt.Errorf("%+v", n)
			}
			return err
		})
	})
}

func nodeID(t *testing.T, a *testutil.Agent) string {
	t.Helper()
	self, _, err := a.API.Agent().Self(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return self.Config.NodeID
}

// TestKeyring changes the key of a running pool, and restarts agents in between.
func TestKeyring(t *testing.T) {
	first, second := key(1), key(2)
	c := testutil.NewCluster(t, 3, 1, func(string) []string { return []string{"-encrypt=" + first} })
	one := c.Clients[0]
	list := func(flag, key string, n int) {
		t.Helper()
		testutil.Eventually(t, flag, func(context.Context) error {
			out, errs, _ := one.Run("keyring", flag)
			if !strings.Contains(out, fmt.Sprintf("%s [%d/4]", key, n)) {
				return fmt.Errorf("%s%s", out, errs)
			}
			return nil
		})
	}
	list("-list", first, 4)
	if _, errs, code := one.Run("keyring", "-use="+second); code != 1 || !strings.Contains(errs, "install it first") {
		t.Errorf("a key that nobody knows: exit status %d, %q", code, errs)
	}
	one.Must("keyring", "-install="+second)
	list("-list", second, 4)
	_, followers := c.Leader()
	again := followers[0]
	kept := filepath.Join(again.DataDir, "serf", "keyring.json")
	testutil.Eventually(t, "the key to be kept", func(context.Context) error {
		data, err := os.ReadFile(kept)
		if err == nil && !bytes.Contains(data, []byte(second)) {
			err = fmt.Errorf("it is not in %s", kept)
		}
		return err
	})
	again.Kill()
	again.Start()
	again.WaitLeader()
	list("-list", second, 4)
	one.Must("keyring", "-use="+second)
	list("-list-primary", second, 4)
	if _, errs, code := one.Run("keyring", "-remove="+second); code != 1 || !strings.Contains(errs, "primary key") {
		t.Errorf("the key in use: exit status %d, %q", code, errs)
	}
	one.Must("keyring", "-remove="+first)
	if out := one.Must("keyring", "-list"); strings.Contains(out, first) || !strings.Contains(out, second+" [4/4]") {
		t.Errorf("%s", out)
	}
	// All are restarted, though their command lines have the first key.
	for _, a := range c.All() {
		a.Stop()
		a.Start()
		a.WaitLeader()
	}
	list("-list-primary", second, 4)
	if log := one.Log(); !strings.Contains(log, "encrypt is not among the keys") || strings.Contains(log, first) || strings.Contains(log, second) {
		t.Error("the agent does not say that encrypt has no effect, or shows a key")
	}
	if _, errs, code := one.Run("keyring", "-install=short"); code != 1 || strings.Contains(errs, "short") {
		t.Errorf("a bad key: exit status %d, %q", code, errs)
	}
}

func key(n byte) string {
	return map[byte]string{1: "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=", 2: "MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI="}[n]
}
