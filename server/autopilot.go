package server

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// This file decides which servers get a vote and which are given up. It is told all that it needs and changes nothing: see oversee.go
// for who asks it, and peers.go for what follows from gossip alone.

// standing is what the leader knows of a server of Raft's configuration at one moment.
type standing struct {
	server   raft.Server
	member   Member // zero when gossip does not know it
	leader   bool
	progress *verb.Progress // nil when it does not answer
}

// healthy tells whether the server could carry its part, and if not, why.
func (s standing) healthy(leader verb.Progress, c api.AutopilotConfiguration) (ok bool, why string) {
	switch {
	case s.member.Status != Alive:
		return false, "it is " + s.status()
	case s.progress == nil:
		return false, "it does not answer"
	case s.leader:
		return true, ""
	case s.progress.LastContact < 0 || s.progress.LastContact > time.Duration(c.LastContactThreshold):
		return false, "it has not heard from the leader for " + s.progress.LastContact.String()
	case s.progress.LastTerm != leader.LastTerm:
		return false, fmt.Sprintf("the last entry of its log is of term %d, the leader's of %d", s.progress.LastTerm, leader.LastTerm)
	case s.progress.LastIndex+c.MaxTrailingLogs < leader.LastIndex:
		return false, fmt.Sprintf("it lacks %d entries of the log", leader.LastIndex-s.progress.LastIndex)
	}
	return true, ""
}

// status is the member's, as the public API names it.
func (s standing) status() string { return cmp.Or(string(s.member.Status), "unknown") }

// record is what the leader remembers of a server. It remembers nothing from before it led.
type record struct {
	healthySince time.Time // zero: it is not healthy
	goneSince    time.Time // zero: gossip has it alive, or leaving
}

// records is what the leader remembers of all servers.
type records struct {
	began time.Time
	of    map[raft.ServerID]record
}

// note remembers how the servers are now.
func (r *records) note(now time.Time, all []standing, leader verb.Progress, c api.AutopilotConfiguration) {
	next := make(map[raft.ServerID]record, len(all))
	for _, s := range all {
		old := r.of[s.server.ID]
		var is record
		if ok, _ := s.healthy(leader, c); ok {
			is.healthySince = since(old.healthySince, now)
		}
		if s.member.Status != Alive && s.member.Status != Leaving {
			is.goneSince = since(old.goneSince, now)
		}
		next[s.server.ID] = is
	}
	r.of = next
}

func since(before, now time.Time) time.Time {
	if before.IsZero() {
		return now
	}
	return before
}

// ripe tells whether a server has been healthy for long enough to get a vote. A leader that has only just begun has seen nobody for
// long, and does not let those wait who may have waited under the leader before it.
func (r *records) ripe(id raft.ServerID, now time.Time, c api.AutopilotConfiguration) bool {
	healthy, wait := r.of[id].healthySince, time.Duration(c.ServerStabilizationTime)
	if healthy.IsZero() {
		return false
	}
	return now.Sub(healthy) >= wait || healthy.Sub(r.began) < wait
}

// unknownFor is how much longer a server must be gone of which gossip has heard nothing at all than one that is known to have failed.
const unknownFor = unknownGrace

// cleanup decides which dead servers are given up. One without a vote is. One with a vote is given up only once another has
// taken its place: a configuration of an odd number of voters is what the operator made it, and one dead voter less would leave it
// no safer, but without the server that may come back. The voter beyond an odd number is the replacement: with a dead one given up
// for it, the others need one less to agree.
func cleanup(have []raft.Server, members []Member, r *records, now time.Time, c api.AutopilotConfiguration, self raft.ServerID) []peerChange {
	if !c.CleanupDeadServers {
		return nil
	}
	known, voters := serversByID(members), 0
	for _, s := range have {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	have = slices.SortedFunc(slices.Values(have), func(a, b raft.Server) int {
		// Who has been gone for longest goes first.
		return cmp.Or(r.of[a.ID].goneSince.Compare(r.of[b.ID].goneSince), cmp.Compare(a.ID, b.ID))
	})
	var out []peerChange
	for _, s := range have {
		gone, wait := r.of[s.ID].goneSince, time.Duration(c.ServerStabilizationTime)
		if _, ok := known[string(s.ID)]; !ok {
			wait += unknownFor
		}
		if gone.IsZero() || now.Sub(gone) < wait || s.ID == self {
			continue
		}
		if s.Suffrage == raft.Voter {
			if voters-1 < atLeast(voters, c) {
				continue
			}
			voters--
		}
		out = append(out, peerChange{remove, s, fmt.Sprintf("it has been gone for %s, and nothing is lost without it", now.Sub(gone).Round(time.Second))})
	}
	return out
}

// atLeast is how many voters a configuration of so many keeps, dead ones among them.
func atLeast(voters int, c api.AutopilotConfiguration) int {
	return max(voters-1+voters%2, int(c.MinQuorum), 1)
}

// paced holds back all but the first vote that is given while there is a dead voter: the next round gives that one up, so that
// each replacement takes the place of one.
func paced(changes []peerChange, have []raft.Server, r *records, c api.AutopilotConfiguration) []peerChange {
	dead := slices.ContainsFunc(have, func(s raft.Server) bool { return s.Suffrage == raft.Voter && !r.of[s.ID].goneSince.IsZero() })
	if !dead || !c.CleanupDeadServers {
		return changes
	}
	given := 0
	return slices.DeleteFunc(changes, func(p peerChange) bool {
		votes := p.kind == putVoter && !slices.ContainsFunc(have, func(s raft.Server) bool { return s.ID == p.server.ID && s.Suffrage == raft.Voter })
		if votes {
			given++
		}
		return votes && given > 1
	})
}

// autopilotState is all of it, as the public API shows it.
func autopilotState(all []standing, leader verb.Progress, r *records, c api.AutopilotConfiguration) api.AutopilotState {
	out := api.AutopilotState{Healthy: true, Servers: map[string]api.AutopilotServer{}, Voters: []string{}}
	voters, well := 0, 0
	for _, s := range all {
		id := string(s.server.ID)
		is := api.AutopilotServer{
			ID: id, Name: cmp.Or(s.member.Node.Node, "(unknown)"), Address: cmp.Or(s.member.RPCAddr, string(s.server.Address)),
			NodeStatus: s.status(), Version: s.member.Version, Meta: s.member.Node.Meta, ReadReplica: s.member.NonVoter,
			StableSince: r.of[s.server.ID].healthySince.UTC(), Status: "non-voter", NodeType: "voter",
		}
		if is.ReadReplica {
			is.NodeType = "read-replica"
		}
		if s.progress != nil {
			is.LastContact, is.LastTerm, is.LastIndex = api.Duration(max(s.progress.LastContact, 0)), s.progress.LastTerm, s.progress.LastIndex
		}
		is.Healthy, _ = s.healthy(leader, c)
		out.Healthy = out.Healthy && is.Healthy
		if s.server.Suffrage == raft.Voter {
			is.Status = "voter"
			voters++
			if is.Healthy {
				well++
			}
			if s.leader {
				is.Status, out.Leader = "leader", id
				out.Voters = slices.Insert(out.Voters, 0, id)
			} else {
				out.Voters = append(out.Voters, id)
			}
		}
		out.Servers[id] = is
	}
	out.FailureTolerance = max(well-(voters/2+1), 0)
	out.OptimisticFailureTolerance = out.FailureTolerance
	return out
}
