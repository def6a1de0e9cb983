package server

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/core"
)

// strangers says once of each server of another cluster why nothing is done about it.
type strangers map[string]bool

func (said strangers) say(t *core.Term, m Member, ours string) {
	if said[m.Node.ID] {
		return
	}
	said[m.Node.ID] = true
	t.Log.Warn("a server of another cluster is in this pool, it gets no part in this one: stop it and, to make it one of this cluster, "+
		"remove its data directory and its bootstrap_expect", "node", m.Node.Node, "addr", m.RPCAddr, "cluster", m.Cluster, "ours", ours)
}

// ofCluster leaves out the servers that belong to another cluster, and those that raft does not count on yet and that have not
// said to which cluster they belong: they have only just started.
func ofCluster(ours string, have []raft.Server, members []Member) (in, strange []Member) {
	for _, m := range members {
		counted := slices.ContainsFunc(have, func(s raft.Server) bool { return string(s.ID) == m.Node.ID })
		switch {
		case !m.Server || m.Cluster == ours || m.Cluster == NoCluster || m.Cluster == "" && counted:
			in = append(in, m)
		case m.Cluster != "" && m.Status == Alive:
			strange = append(strange, m)
		}
	}
	return in, strange
}

// peerChange is one change of raft's list of servers.
type peerChange struct {
	kind   changeKind
	server raft.Server
	why    string
}

type changeKind string

const (
	putVoter    changeKind = "add voter" // or give one its address
	putNonVoter changeKind = "add non-voter"
	demote      changeKind = "take the vote from"
	remove      changeKind = "remove"
)

func (c peerChange) carryOut(r *raft.Raft) error {
	switch c.kind {
	case putVoter:
		return r.AddVoter(c.server.ID, c.server.Address, 0, raftTimeout).Error()
	case putNonVoter:
		return r.AddNonvoter(c.server.ID, c.server.Address, 0, raftTimeout).Error()
	case demote:
		return r.DemoteVoter(c.server.ID, 0, raftTimeout).Error()
	}
	return r.RemoveServer(c.server.ID, 0, raftTimeout).Error()
}

// peerChanges compares raft's list with gossip's. Who is new replicates first, and gets its vote when it is ripe. The leader, self, neither removes nor demotes itself: who leaves or loses
// the vote hands over first, and the next leader does it.
func peerChanges(have []raft.Server, members []Member, self raft.ServerID, ripe func(raft.ServerID) bool) []peerChange {
	known := serversByID(members)
	list := make([]Member, 0, len(known))
	for _, m := range known {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Node.ID, b.Node.ID) })
	var out []peerChange
	for _, m := range list {
		want := raft.Server{ID: raft.ServerID(m.Node.ID), Address: raft.ServerAddress(m.RPCAddr)}
		i := slices.IndexFunc(have, func(s raft.Server) bool { return s.ID == want.ID })
		var old raft.Server
		if i >= 0 {
			old = have[i]
		}
		kind, why := changeKind(""), ""
		switch {
		case m.Status == Left && i >= 0 && want.ID != self:
			kind, why = remove, "it has left"
		case m.Status != Alive:
		case i < 0 && m.NonVoter:
			kind, why = putNonVoter, "it has joined"
		case i < 0:
			kind, why = putNonVoter, "it has joined, and gets a vote once it has proved healthy"
		case m.NonVoter && old.Suffrage == raft.Voter && want.ID != self:
			kind, why = demote, "it wants no vote"
		case !m.NonVoter && old.Suffrage != raft.Voter && ripe(want.ID):
			kind, why = putVoter, "it has proved healthy and gets its vote"
		case old.Address != want.Address && old.Suffrage == raft.Voter:
			kind, why = putVoter, "it has moved from "+string(old.Address)
		case old.Address != want.Address:
			kind, why = putNonVoter, "it has moved from "+string(old.Address)
		}
		if kind == putVoter || kind == putNonVoter {
			former, clear := addressOf(have, want, known)
			if !clear {
				continue // it comes free when its present owner, which is alive elsewhere, gets its own
			}
			if former.ID != "" {
				out = append(out, peerChange{remove, former, "server " + string(want.ID) + " has its address now"})
			}
		}
		if kind != "" {
			out = append(out, peerChange{kind, want, why})
		}
	}
	return out
}

// addressOf finds the other server that has the wanted address in raft's list: raft allows each once. Clear: there is none,
// or one that is gone, as after a server was set up anew.
func addressOf(have []raft.Server, want raft.Server, known map[string]Member) (former raft.Server, clear bool) {
	for _, s := range have {
		if s.Address == want.Address && s.ID != want.ID {
			m, ok := known[string(s.ID)]
			return s, !ok || m.Status != Alive && m.Status != Leaving
		}
	}
	return raft.Server{}, true
}
