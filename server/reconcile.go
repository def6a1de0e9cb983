package server

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

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
			members := r.members.Members()
			for _, m := range members {
				if m.Node.ID == r.self && m.Status == Alive {
					return r.member(ctx, t, m, members)
				}
			}
			return nil
		},
		Run: r.run,
	}
}

func (r *reconciler) run(ctx context.Context, t *core.Term) {
	began := time.Now()
	forgotten := newReaper(t.Log)
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	for {
		changed := r.members.Changed()
		members := r.members.Members()
		for _, m := range members {
			if err := r.member(ctx, t, m, members); err != nil && ctx.Err() == nil {
				t.Log.Warn("member not reconciled, it is tried again", "node", m.Node.Node, "err", err)
			}
		}
		known := forgotten.see(members)
		if time.Since(began) > unknownGrace {
			r.reap(ctx, t, forgotten, known)
			r.unknown(ctx, t, known)
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
func (r *reconciler) member(ctx context.Context, t *core.Term, m Member, members []Member) error {
	switch m.Status {
	case Alive:
		return r.alive(ctx, t, m, members)
	case Failed:
		return r.health(ctx, t, m.Node, api.Critical, outputFailed)
	case Left:
		return r.left(ctx, t, m)
	}
	return nil // leaving: soon it has left, or failed
}

func (r *reconciler) alive(ctx context.Context, t *core.Term, m Member, members []Member) error {
	tx := t.Read()
	old := state.Node(tx, m.Node.Node)
	same := old != nil && old.ID == m.Node.ID
	if c := state.NodeCheck(tx, m.Node.Node, api.SerfHealth); old != nil && !same && c != nil && c.Status == api.Passing && !hasAgent(members, old.ID) {
		// The host was set up anew under its name. The catalog keeps names from being taken while their owner is alive,
		// and this one is not.
		if err := r.health(ctx, t, *old, api.Critical, outputUnknown); err != nil {
			return err
		}
	}
	reg := registration(m.Node)
	reg.Datacenter = r.datacenter
	// The agent itself knows the rest of its node and keeps it current.
	reg.SkipNodeUpdate = same && old.Address == m.Node.Address
	if same && reg.NodeMeta == nil {
		reg.NodeMeta = old.Meta
	}
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
	} else if i := state.NodeInstance(tx, m.Node.Node, serverService); i != nil && i.Service.Service == serverService {
		if err := r.serverNoMore(ctx, t, m); err != nil {
			return err
		}
	}
	if reg.SkipNodeUpdate && sameHealth(tx, m.Node.Node, api.Passing, outputAlive) && sameServer(tx, m.Node.Node, reg.Service) {
		return nil
	}
	_, err := t.Apply(ctx, &catalog.Register{Registration: reg})
	return err
}

// hasAgent tells whether the agent of a node is there, under whatever name.
func hasAgent(members []Member, id string) bool {
	return slices.ContainsFunc(members, func(m Member) bool { return m.Node.ID == id && (m.Status == Alive || m.Status == Leaving) })
}

// serverNoMore removes the servers' service of a node that runs a client agent now.
func (r *reconciler) serverNoMore(ctx context.Context, t *core.Term, m Member) error {
	t.Log.Info("node is no server any more", "node", m.Node.Node)
	_, err := t.Apply(ctx, &catalog.Deregister{Deregistration: api.Deregistration{Node: m.Node.Node, ServiceID: serverService}})
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

// sameServer tells whether the catalog has a server's service as it is. Of others nothing is asked.
func sameServer(tx *state.Tx, node string, want *api.Service) bool {
	if want == nil {
		return true
	}
	have := state.NodeInstance(tx, node, serverService)
	return have != nil && have.Service.Service == want.Service && have.Service.Port == want.Port && have.Service.Meta["version"] == want.Meta["version"]
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
func (r *reconciler) unknown(ctx context.Context, t *core.Term, known map[string]bool) {
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
