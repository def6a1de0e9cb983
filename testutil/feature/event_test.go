package feature

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestEvents fires events at one agent that are heard at all, or where their filters say, and estimates round trips.
func TestEvents(t *testing.T) {
	c := testutil.NewCluster(t, 1, 2)
	one, two := c.Clients[0], c.Clients[1]
	t.Cleanup(one.Kill) // a leave takes seconds
	t.Cleanup(two.Kill)
	two.Must("services", "register", "-name=web", "-tag=v1", "-port=80")

	heard := func(a *testutil.Agent, name string, want int) {
		t.Helper()
		testutil.Eventually(t, fmt.Sprintf("%d events called %s at %s", want, name, a.Name), func(ctx context.Context) error {
			events, _, err := a.API.Event().List(ctx, name, nil)
			if err == nil && len(events) != want {
				err = fmt.Errorf("there are %d", len(events))
			}
			return err
		})
	}
	t.Run("all hear", func(t *testing.T) {
		out := one.Must("event", "-name=deploy", "the payload")
		id, ok := strings.CutPrefix(strings.TrimSpace(out), "Event ID: ")
		if !ok {
			t.Fatal(out)
		}
		for _, a := range c.All() {
			heard(a, "deploy", 1)
			events, _, err := a.API.Event().List(t.Context(), "deploy", nil)
			if err != nil || events[0].ID != id || string(events[0].Payload) != "the payload" || events[0].LTime == 0 {
				t.Errorf("%s: %+v, %v", a.Name, events, err)
			}
		}
	})
	t.Run("who is waiting is woken", func(t *testing.T) {
		_, meta, err := two.API.Event().List(t.Context(), "wake", nil)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() {
			events, _, err := two.API.Event().List(t.Context(), "wake", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
			if err == nil && len(events) != 1 {
				err = fmt.Errorf("woken with %v", events)
			}
			woken <- err
		}()
		one.Must("event", "-name=wake")
		if err := <-woken; err != nil {
			t.Error(err)
		}
	})
	t.Run("filters choose who hears", func(t *testing.T) {
		c.Servers[0].Must("event", "-name=some", "-service=web", "-tag=v.")
		c.Servers[0].Must("event", "-name=some", "-node=client-1$")
		c.Servers[0].Must("event", "-name=last")
		for _, a := range c.All() {
			heard(a, "last", 1) // gossip keeps no order: the others come within moments of it
		}
		heard(two, "some", 1)
		heard(one, "some", 1)
		heard(c.Servers[0], "some", 0)
		if _, errs, code := one.Run("event", "-name=x", "-tag=v1"); code != 1 || !strings.Contains(errs, "tag filter without service filter") {
			t.Errorf("%d, %q", code, errs)
		}
	})
}

// TestRoundTrips estimates round trips once agents have told where they are.
func TestRoundTrips(t *testing.T) {
	c := testutil.NewCluster(t, 1, 1)
	client := c.Clients[0]
	t.Cleanup(client.Kill) // a leave takes seconds
	testutil.Eventually(t, "coordinates of both", func(ctx context.Context) error {
		all, _, err := client.API.Coordinate().Nodes(ctx, nil)
		if err == nil && len(all) != 2 {
			err = fmt.Errorf("there are %d", len(all))
		}
		return err
	})
	if out := client.Must("rtt", "server-1"); !strings.HasPrefix(out, "Estimated server-1 <-> client-1 rtt: ") || !strings.HasSuffix(out, " ms (using LAN coordinates)\n") {
		t.Error(out)
	}
	client.Must("rtt", "server-1", "client-1")
	if out := client.Must("rtt", "-wan", "server-1.dc1", "server-1.dc1"); !strings.Contains(out, "(using WAN coordinates)") {
		t.Error(out)
	}
	if _, errs, code := client.Run("rtt", "nobody"); code != 1 || errs != "Could not find a coordinate for node \"nobody\"\n" {
		t.Errorf("%d, %q", code, errs)
	}
	self, _, err := client.API.Agent().Self(t.Context(), nil)
	if err != nil || !self.Coord.Valid() {
		t.Errorf("its own account: %+v, %v", self.Coord, err)
	}
	nodes, _, err := client.API.Catalog().Nodes(t.Context(), &api.QueryOptions{Near: "_agent"})
	if err != nil || len(nodes) != 2 || nodes[0].Node != "client-1" {
		t.Errorf("nodes near the agent: %+v, %v", nodes, err)
	}
}
