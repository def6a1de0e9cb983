package feature

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestCluster takes three servers and two client agents through bad days.
func TestCluster(t *testing.T) {
	c := testutil.NewCluster(t, 3, 2)
	one, two := c.Clients[0], c.Clients[1]

	t.Run("a client agent does what a server does", func(t *testing.T) {
		one.Must("services", "register", "-name=web", "-port=8080", "-address=10.1.2.3")
		two.Must("kv", "put", "a/b", "c")
		one.Must("intention", "create", "-allow", "web", "db")
		for _, a := range c.All() {
			testutil.Eventually(t, "web at "+a.Name, func(ctx context.Context) error {
				found, _, err := a.API.Catalog().Service(ctx, "web", nil, nil)
				if err == nil && (len(found) != 1 || found[0].Node != one.Name || found[0].ServiceAddress != "10.1.2.3") {
					err = fmt.Errorf("%v", found)
				}
				return err
			})
			if got := a.Must("kv", "get", "a/b"); got != "c\n" {
				t.Errorf("%s: kv get: %q", a.Name, got)
			}
			if out := a.Must("intention", "check", "web", "db"); !strings.Contains(out, "Allowed") {
				t.Errorf("%s: %q", a.Name, out)
			}
			if out := a.Must("operator", "raft", "list-peers"); strings.Count(out, "server-") != 3 || !strings.Contains(out, "leader") {
				t.Errorf("%s: %q", a.Name, out)
			}
			testutil.Eventually(t, "members at "+a.Name, func(context.Context) error {
				if out := a.Must("members"); strings.Count(out, "alive") != 5 {
					return errors.New(out)
				}
				return nil
			})
		}
	})

	t.Run("a blocking query at a client agent wakes", func(t *testing.T) {
		_, meta, err := one.API.KV().Get(t.Context(), "wake", nil)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() {
			pair, _, err := one.API.KV().Get(t.Context(), "wake", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
			if err == nil && pair == nil {
				err = errors.New("woken without the key")
			}
			woken <- err
		}()
		two.Must("kv", "put", "wake", "up")
		select {
		case err := <-woken:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(testutil.Patience):
			t.Error("not woken")
		}
	})

	t.Run("the leader is killed under writes", func(t *testing.T) {
		w := startWriter(one, "failover")
		leader, followers := c.Leader()
		time.Sleep(200 * time.Millisecond)
		began := time.Now()
		leader.Kill()
		if err := two.API.KV().Put(t.Context(), &api.KVPair{Key: "after/kill", Value: []byte("x")}, nil); err != nil {
			t.Errorf("the next write: %v", err)
		}
		t.Logf("the next write was done %v after the kill", time.Since(began).Round(time.Millisecond))
		acked := w.end()
		if lost := missing(t, followers[0], "failover", acked); len(lost) > 0 {
			t.Errorf("%d of %d acknowledged writes are lost, the first is %s", len(lost), len(acked), lost[0])
		}
		testutil.Eventually(t, "the killed server to be critical", func(ctx context.Context) error {
			return serfHealth(ctx, one, leader.Name, api.Critical)
		})
		leader.Start()
		leader.WaitLeader()
		testutil.Eventually(t, "the server to be back", func(ctx context.Context) error {
			return serfHealth(ctx, one, leader.Name, api.Passing)
		})
		if lost := missing(t, leader, "failover", acked); len(lost) > 0 {
			t.Errorf("the server that came back lacks %d of %d writes", len(lost), len(acked))
		}
	})

	t.Run("a client agent is stopped and comes back", func(t *testing.T) {
		two.Must("services", "register", "-name=cache", "-port=6379")
		two.Signal(syscall.SIGSTOP)
		testutil.Eventually(t, "the stopped agent to be critical", func(ctx context.Context) error {
			return serfHealth(ctx, one, two.Name, api.Critical)
		})
		two.Signal(syscall.SIGCONT)
		testutil.Eventually(t, "the agent to be back", func(ctx context.Context) error {
			return serfHealth(ctx, one, two.Name, api.Passing)
		})
		two.Must("kv", "put", "back", "again")
	})

	t.Run("an agent that leaves is gone", func(t *testing.T) {
		two.Must("leave")
		if code := two.ExitCode(); code != 0 {
			t.Errorf("exit status %d", code)
		}
		testutil.Eventually(t, "its node to be gone", func(ctx context.Context) error {
			nodes, _, err := one.API.Catalog().Nodes(ctx, nil)
			if err == nil && slices.ContainsFunc(nodes, func(n api.Node) bool { return n.Node == two.Name }) {
				err = errors.New("it is still there")
			}
			return err
		})
	})
}

func serfHealth(ctx context.Context, a *testutil.Agent, node, want string) error {
	checks, _, err := a.API.Health().Node(ctx, node, nil)
	if err != nil {
		return err
	}
	for _, c := range checks {
		if c.CheckID == api.SerfHealth {
			if c.Status != want {
				return fmt.Errorf("%s: %s", c.Status, c.Output)
			}
			return nil
		}
	}
	return fmt.Errorf("no %s on %s", api.SerfHealth, node)
}
