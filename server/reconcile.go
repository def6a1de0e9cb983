package server

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/state"
)

// The name and id under which servers register themselves, as clients of the public API expect it.
const (
	serverService     = "consul"
	serfHealthName    = "Serf Health Status"
	outputAlive       = "Agent alive and reachable"
	outputFailed      = "Agent not live or unreachable"
	outputUnknown     = "Agent not known to gossip"
	reconcileInterval = time.Minute
	// unknownGrace is how long a new leader's gossip may take to hear of everyone.
	unknownGrace = 30 * time.Second
)

// reconciler carries what gossip knows into the catalog: who is alive, who failed, who left.
type reconciler struct {
	members    Members
	self       string // the local node's id
	datacenter string
}

// loop is the reconciliation as a leader's loop. The local server is in the catalog before it is called the leader.
func (r *reconciler) loop() core.Loop {
	return core.Loop{
		Name: "reconcile",
		Prepare: func(ctx context.Context, t *core.Term) error {
			for _, m := range r.members.Members() {
				if m.Node.ID == r.self {
					return r.member(ctx, t, m)
				}
			}
			return nil
		},
		Run: r.run,
	}
}

func (r *reconciler) run(ctx context.Context, t *core.Term) {
	began := time.Now()
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	for {
		changed := r.members.Changed()
		members := r.members.Members()
		for _, m := range members {
			if err := r.member(ctx, t, m); err != nil && ctx.Err() == nil {
				t.Log.Warn("member not reconciled, it is tried again", "node", m.Node.Node, "err", err)
			}
		}
		if time.Since(began) > unknownGrace {
			r.unknown(ctx, t, members)
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// member writes what gossip says of one member, if the catalog says otherwise.
func (r *reconciler) member(ctx context.Context, t *core.Term, m Member) error {
	switch m.Status {
	case Alive:
		return r.alive(ctx, t, m)
	case Failed:
		return r.health(ctx, t, m.Node, api.Critical, outputFailed)
	case Left:
		return r.left(ctx, t, m)
	}
	return nil // leaving: soon it has left, or failed
}

func (r *reconciler) alive(ctx context.Context, t *core.Term, m Member) error {
	tx := t.Read()
	old := state.Node(tx, m.Node.Node)
	reg := registration(m.Node)
	reg.Datacenter = r.datacenter
	// The agent itself knows the rest of its node and keeps it current.
	reg.SkipNodeUpdate = old != nil && old.ID == m.Node.ID && old.Address == m.Node.Address
	reg.Checks = []api.Check{serfHealth(m.Node.Node, api.Passing, outputAlive)}
	if m.Server {
		_, port, err := net.SplitHostPort(m.RPCAddr)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		reg.Service = &api.Service{ID: serverService, Service: serverService, Port: n, Meta: map[string]string{"version": m.Version}}
	}
	if reg.SkipNodeUpdate && sameHealth(tx, m.Node.Node, api.Passing, outputAlive) && sameServer(tx, m.Node.Node, reg.Service) {
		return nil
	}
	_, err := t.Apply(ctx, &catalog.Register{Registration: reg})
	return err
}

func registration(n api.Node) api.Registration {
	return api.Registration{ID: n.ID, Node: n.Node, Address: n.Address, TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta}
}

func serfHealth(node, status, output string) api.Check {
	return api.Check{Node: node, CheckID: api.SerfHealth, Name: serfHealthName, Status: status, Output: output}
}

func sameHealth(tx *state.Tx, node, status, output string) bool {
	c := state.NodeCheck(tx, node, api.SerfHealth)
	return c != nil && c.Status == status && c.Output == output
}

func sameServer(tx *state.Tx, node string, want *api.Service) bool {
	have := state.NodeInstance(tx, node, serverService)
	if want == nil || have == nil {
		return want == nil && have == nil
	}
	return have.Service.Port == want.Port && have.Service.Meta["version"] == want.Meta["version"]
}

// health writes serfHealth of a node that the catalog has under the same id.
func (r *reconciler) health(ctx context.Context, t *core.Term, n api.Node, status, output string) error {
	tx := t.Read()
	old := state.Node(tx, n.Node)
	if old == nil || old.ID != n.ID || sameHealth(tx, n.Node, status, output) {
		return nil
	}
	t.Log.Info("node health changed", "node", n.Node, "status", status)
	reg := registration(n)
	reg.SkipNodeUpdate = true
	reg.Checks = []api.Check{serfHealth(n.Node, status, output)}
	_, err := t.Apply(ctx, &catalog.Register{Registration: reg})
	return err
}

// left removes the node of a member that has left, unless another host goes by its name now.
func (r *reconciler) left(ctx context.Context, t *core.Term, m Member) error {
	if m.Node.ID == r.self {
		return nil // this server is leaving: its successor removes it
	}
	old := state.Node(t.Read(), m.Node.Node)
	if old == nil || old.ID != m.Node.ID {
		return nil
	}
	t.Log.Info("node removed, it has left", "node", m.Node.Node)
	_, err := t.Apply(ctx, &catalog.Deregister{Deregistration: api.Deregistration{Node: m.Node.Node}})
	return err
}

// unknown turns nodes critical that had an agent once and of which gossip knows nothing.
func (r *reconciler) unknown(ctx context.Context, t *core.Term, members []Member) {
	known := map[string]bool{}
	for _, m := range members {
		known[m.Node.ID] = true
	}
	tx := t.Read()
	for n := range state.Nodes(tx) {
		if known[n.ID] || state.NodeCheck(tx, n.Node, api.SerfHealth) == nil {
			continue
		}
		if err := r.health(ctx, t, *n, api.Critical, outputUnknown); err != nil && ctx.Err() == nil {
			t.Log.Warn("unknown node not reconciled, it is tried again", "node", n.Node, "err", err)
		}
	}
}

// peersLoop keeps raft's list of servers as gossip sees them: who joins is added, who has left is removed. A server that
// failed stays: it may come back, and removing it would make the cluster smaller than it was made for.
func peersLoop(members Members, self string) core.Loop {
	return core.Loop{Name: "peers", Run: func(ctx context.Context, t *core.Term) {
		tick := time.NewTicker(reconcileInterval)
		defer tick.Stop()
		for {
			changed := members.Changed()
			if err := adjustPeers(t, members.Members(), self); err != nil && ctx.Err() == nil {
				t.Log.Warn("raft servers not adjusted, it is tried again", "err", err)
			}
			select {
			case <-changed:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}}
}

func adjustPeers(t *core.Term, members []Member, self string) error {
	f := t.Raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return err
	}
	have := map[raft.ServerID]raft.Server{}
	for _, s := range f.Configuration().Servers {
		have[s.ID] = s
	}
	for _, m := range members {
		id, addr := raft.ServerID(m.Node.ID), raft.ServerAddress(m.RPCAddr)
		if !m.Server || m.Node.ID == self {
			continue
		}
		old, ok := have[id]
		var err error
		switch {
		case m.Status == Left && ok:
			t.Log.Info("server removed from raft, it has left", "node", m.Node.Node)
			err = t.Raft().RemoveServer(id, 0, raftTimeout).Error()
		case m.Status != Alive || ok && old.Address == addr:
		case m.NonVoter:
			err = t.Raft().AddNonvoter(id, addr, 0, raftTimeout).Error()
		default:
			t.Log.Info("server added to raft", "node", m.Node.Node, "addr", addr)
			err = t.Raft().AddVoter(id, addr, 0, raftTimeout).Error()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
