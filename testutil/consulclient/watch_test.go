package consulclient

import (
	"io"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"

	"github.com/parleymesh/parley/testutil"
)

// TestEvents fires events and waits for them by the index that the client computes from an id.
func TestEvents(t *testing.T) {
	c := start(t)
	id, _, err := c.Event().Fire(&consul.UserEvent{Name: "deploy", Payload: []byte("x")}, nil)
	check(t, err)
	var index uint64
	wait(t, "the event", func() (bool, error) {
		events, meta, err := c.Event().List("deploy", nil)
		if err != nil || len(events) == 0 {
			return false, err
		}
		index = meta.LastIndex
		return events[0].ID == id && string(events[0].Payload) == "x", nil
	})
	if index != c.Event().IDToIndex(id) {
		t.Errorf("the index is %d, and that of the id %d", index, c.Event().IDToIndex(id))
	}
	next, _, err := c.Event().Fire(&consul.UserEvent{Name: "deploy"}, nil)
	check(t, err)
	events, meta, err := c.Event().List("deploy", &consul.QueryOptions{WaitIndex: index, WaitTime: testutil.Patience})
	check(t, err)
	if len(events) != 2 || meta.LastIndex != c.Event().IDToIndex(next) {
		t.Errorf("%d events, index %d", len(events), meta.LastIndex)
	}
}

// TestWatchPlans follows views with the client's own watches.
func TestWatchPlans(t *testing.T) {
	c := start(t)
	for _, p := range []struct {
		parameters map[string]any
		change     func() error
	}{
		{map[string]any{"type": "key", "key": "k"}, func() error {
			_, err := c.KV().Put(&consul.KVPair{Key: "k", Value: []byte("v")}, nil)
			return err
		}},
		{map[string]any{"type": "service", "service": "web"}, func() error {
			return c.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "web"})
		}},
		{map[string]any{"type": "agent_service", "service_id": "web"}, func() error {
			return c.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "web", Port: 80})
		}},
		{map[string]any{"type": "event", "name": "e"}, func() error {
			_, _, err := c.Event().Fire(&consul.UserEvent{Name: "e"}, nil)
			return err
		}},
	} {
		kind := p.parameters["type"]
		plan, err := watch.Parse(p.parameters)
		check(t, err)
		called := make(chan any, 16)
		plan.HybridHandler = func(_ watch.BlockingParamVal, v any) { called <- v }
		plan.LogOutput = io.Discard
		ended := make(chan error, 1)
		go func() { ended <- plan.RunWithClientAndHclog(c, nil) }()
		next := func() {
			t.Helper()
			select {
			case <-called:
			case <-time.After(testutil.Patience):
				t.Fatalf("%v: the handler is not called", kind)
			}
		}
		next()
		check(t, p.change())
		next()
		plan.Stop()
		check(t, <-ended)
	}
}

// TestCoordinates tells where nodes are, and reads it.
func TestCoordinates(t *testing.T) {
	c := start(t)
	entry := &consul.CoordinateEntry{Node: "n1"}
	_, err := c.Catalog().Register(&consul.CatalogRegistration{Node: "n1", Address: "192.0.2.1"}, nil)
	check(t, err)
	self, err := c.Agent().Self()
	check(t, err)
	if self["Coord"]["Vec"] == nil {
		t.Errorf("the agent's account of itself has the coordinate %v", self["Coord"])
	}
	dcs, err := c.Coordinate().Datacenters()
	check(t, err)
	if len(dcs) != 1 || len(dcs[0].Coordinates) != 1 || dcs[0].AreaID != "wan" {
		t.Fatalf("%+v", dcs)
	}
	entry.Coord = dcs[0].Coordinates[0].Coord
	_, err = c.Coordinate().Update(entry, nil)
	check(t, err)
	wait(t, "the coordinate", func() (bool, error) {
		all, _, err := c.Coordinate().Nodes(nil)
		if err != nil || len(all) == 0 {
			return false, err
		}
		found, _, err := c.Coordinate().Node("n1", nil)
		return len(found) == 1 && found[0].Coord.DistanceTo(entry.Coord) >= 0, err
	})
}
