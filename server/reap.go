package server

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/quietlog"
	"github.com/parleymesh/parley/server/state"
)

// A node whose agent is gone for good is removed from the catalog when gossip forgets the agent, which it does some days after that has
// failed. The leader need not have been there when that happened: whoever leads later finds a node that had an agent once and of which
// gossip knows nothing.
const (
	// ghostAfter is how long gossip must have known nothing of an agent that this leader has not seen to fail. Gossip may have been
	// cut off from its agents.
	ghostAfter = 10 * time.Minute
	// alwaysFew is how many nodes may be removed within reapWindow, however few there are; of more, a third. A wave of failures reaches
	// the catalog node by node, so that one look at it does not show how many there are.
	alwaysFew  = 3
	reapWindow = time.Hour
)

// reaper is what a leader remembers of members for that.
type reaper struct {
	failed  map[string]bool      // ids that were members, and not alive when they were last seen
	unknown map[string]time.Time // since when gossip knows nothing of an id
	removed []time.Time          // when a node was, within reapWindow
	said    *quietlog.Log
}

func newReaper(log *slog.Logger) *reaper {
	return &reaper{failed: map[string]bool{}, unknown: map[string]time.Time{}, said: quietlog.New(log)}
}

// see takes over who is a member.
func (p *reaper) see(members []Member) (known map[string]bool) {
	known = make(map[string]bool, len(members))
	for _, m := range members {
		known[m.Node.ID] = true
		delete(p.unknown, m.Node.ID)
		if m.Status == Failed || m.Status == Left {
			p.failed[m.Node.ID] = true
		} else {
			delete(p.failed, m.Node.ID)
		}
	}
	return known
}

// gone is a node without an agent.
type gone struct {
	node   *api.Node
	reason string
}

// ghosts are the nodes to be removed. More than a share of all that had an agent are never removed at once: that is rather gossip that
// has lost its way.
func (p *reaper) ghosts(tx *state.Tx, known map[string]bool, now time.Time) []gone {
	var out []gone
	agents := 0
	there := map[string]bool{}
	for n := range state.Nodes(tx) {
		if n.ID == "" || state.NodeCheck(tx, n.Node, api.SerfHealth) == nil {
			continue
		}
		agents++
		if known[n.ID] {
			continue
		}
		there[n.ID] = true
		if p.unknown[n.ID].IsZero() {
			p.unknown[n.ID] = now
		}
		switch {
		case p.failed[n.ID]:
			out = append(out, gone{n, "gossip has forgotten its agent, which had failed"})
		case now.Sub(p.unknown[n.ID]) >= ghostAfter:
			out = append(out, gone{n, "gossip knows nothing of its agent"})
		}
	}
	for id := range p.unknown {
		if !there[id] {
			delete(p.unknown, id)
			delete(p.failed, id)
		}
	}
	var most int
	p.removed, most = removable(p.removed, agents, now)
	if len(out) > most {
		p.said.Say(slog.LevelWarn, quietlog.Key{Reason: "mass"}, "gossip knows nothing of many nodes in the catalog: none is removed, in case it is gossip that "+
			"is cut off; if they are gone for good, deregister them through the API (/v1/catalog/deregister)", "nodes", len(out), "of", agents, "most", most,
			"removed_before", len(p.removed), "within", reapWindow)
		return nil
	}
	return out
}

// removable is how many more nodes may be removed now that there are so many with an agent, after those removed before. It returns those of them that
// still count.
func removable(removed []time.Time, agents int, now time.Time) (recent []time.Time, most int) {
	recent = slices.DeleteFunc(removed, func(at time.Time) bool { return now.Sub(at) >= reapWindow })
	return recent, max(max(alwaysFew, (agents+len(recent))/3)-len(recent), 0)
}

// reap removes nodes whose agents are gone for good.
func (r *reconciler) reap(ctx context.Context, t *core.Term, p *reaper, known map[string]bool) {
	for _, g := range p.ghosts(t.Read(), known, time.Now()) {
		t.Log.Info("node removed", "node", g.node.Node, "id", g.node.ID, "addr", g.node.Address, "reason", g.reason)
		if _, err := t.Apply(ctx, &catalog.Deregister{Deregistration: api.Deregistration{Node: g.node.Node}}); err != nil && ctx.Err() == nil {
			t.Log.Warn("node not removed, it is tried again", "node", g.node.Node, "err", err)
		} else if err == nil {
			p.removed = append(p.removed, time.Now())
		}
	}
}
