package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// A node is removed when gossip forgets its agent, also when that happened under another leader.
func TestForgottenNodesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		there := func(node string) bool { return state.Node(l.leads().Store().Read(), node) != nil }
		forget := func(nodes ...string) {
			l.pool.set(func(all map[string]Member) {
				for _, n := range nodes {
					delete(all, n)
				}
			})
		}
		for i := range 9 {
			l.pool.put(clientMember(fmt.Sprint("c", i), fmt.Sprintf("10.0.1.%d", i+1)))
		}
		l.eventually("all are in the catalog", func() bool { return there("c0") && there("c8") })
		// What has no agent is nobody's to remove.
		if _, err := l.leads().Apply(t.Context(), verb.Options{}, &catalog.Register{Registration: api.Registration{Node: "external", Address: "192.0.2.1"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)

		l.pool.status("c0", Failed)
		time.Sleep(time.Minute)
		if !there("c0") {
			t.Fatal("one that has failed is removed")
		}
		forget("c0")
		l.eventually("one that was seen to fail is removed when it is forgotten", func() bool { return !there("c0") })

		// The one who saw it fail leads no longer when it is forgotten.
		l.pool.status("c1", Failed)
		time.Sleep(time.Minute)
		old := l.leads()
		old.kill()
		forget("c1")
		l.leads()
		time.Sleep(5 * time.Minute)
		if !there("c1") {
			t.Error("a new leader removes at once what it has never seen")
		}
		time.Sleep(10 * time.Minute)
		if there("c1") {
			t.Error("a new leader does not remove what gossip knows nothing of")
		}

		// So many at once are rather gossip's fault.
		forget("c2", "c3", "c4", "c5", "c6")
		time.Sleep(time.Hour)
		if !there("c2") || !there("c6") {
			t.Error("half of all nodes are removed at once")
		}
		l.pool.put(clientMember("c2", "10.0.1.3"))
		l.pool.put(clientMember("c3", "10.0.1.4"))
		l.eventually("three of nine are removed", func() bool { return !there("c4") && !there("c5") && !there("c6") })
		if !there("c2") || !there("c7") || !there("external") {
			t.Error("others are removed as well")
		}
	})
}

// Nodes that go one after the other count together, for an hour.
func TestRemovable(t *testing.T) {
	now := time.Now()
	before := func(n int, ago time.Duration) (out []time.Time) {
		for range n {
			out = append(out, now.Add(-ago))
		}
		return out
	}
	for name, c := range map[string]struct {
		removed      []time.Time
		agents       int
		recent, most int
	}{
		"none yet, few":          {nil, 4, 0, 3},
		"none yet, many":         {nil, 300, 0, 100},
		"some before":            {before(40, time.Minute), 260, 40, 60},
		"all that may be":        {before(100, time.Minute), 200, 100, 0},
		"more than may be":       {before(10, time.Minute), 5, 10, 0},
		"the window has passed":  {before(100, reapWindow), 200, 0, 66},
		"few, and some of those": {before(2, time.Minute), 5, 2, 1},
	} {
		recent, most := removable(c.removed, c.agents, now)
		if len(recent) != c.recent || most != c.most {
			t.Errorf("%s: %d before and room for %d, want %d and %d", name, len(recent), most, c.recent, c.most)
		}
	}
}
