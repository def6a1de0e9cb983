package server

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
)

// Member is what a server knows of a host through gossip.
type Member struct {
	Node   api.Node // id, name, address; the local member's is complete, others' tagged addresses may be missing
	Status Status
	// What follows is a server's.
	Server   bool
	RPCAddr  string // host:port
	Cluster  string // to which it belongs, or NoCluster; empty before it has said so
	Expect   int    // with how many it wants to found a cluster; 0 when it belongs to one
	NonVoter bool
	Version  string
}

// NoCluster is what a server says that belongs to no cluster yet. One that has said nothing has only just started.
const NoCluster = "none"

// Status is whether a member is there.
type Status string

// The statuses of a member.
const (
	Alive   Status = "alive"
	Failed  Status = "failed"
	Leaving Status = "leaving"
	Left    Status = "left"
)

// Members is gossip as a server needs it.
type Members interface {
	// Members lists all that are known, the local one too.
	Members() []Member
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
	// Founding tells the others that this server belongs to no cluster, and with how many it founds one. Until it is called
	// they take it for one that belongs to a cluster: a server that has been away must not be founded with anew.
	Founding(expect int)
	// Founded tells the others that this server belongs to a cluster and founds no new one.
	Founded()
	// Belongs tells the others to which cluster this server belongs, or that it is NoCluster.
	Belongs(cluster string)
	// Remove has a member that failed count as one that has left.
	Remove(node string) error
}

// serversByID returns the servers among the members. A host that came back under another name has a member for each of
// its names: the one that is most alive counts.
func serversByID(members []Member) map[string]Member {
	rank := map[Status]int{Alive: 4, Leaving: 3, Failed: 2, Left: 1}
	out := map[string]Member{}
	for _, m := range members {
		if old, ok := out[m.Node.ID]; m.Server && (!ok || rank[m.Status] > rank[old.Status]) {
			out[m.Node.ID] = m
		}
	}
	return out
}

// addresses finds the address of a server that may have moved since raft wrote it down.
type addresses struct{ members Members }

// ServerAddr implements raft.ServerAddressProvider. On an error raft uses the address it knows.
func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if m, ok := serversByID(a.members.Members())[string(id)]; ok {
		return raft.ServerAddress(m.RPCAddr), nil
	}
	return "", fmt.Errorf("server %s is not a member", id)
}
