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
	Expect   int    // with how many it wants to found a cluster; 0 when it belongs to one
	NonVoter bool
	Version  string
}

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
	// Founded tells the others that this server belongs to a cluster and founds no new one.
	Founded()
}

// addresses finds the address of a server that may have moved since raft wrote it down.
type addresses struct{ members Members }

// ServerAddr implements raft.ServerAddressProvider. On an error raft uses the address it knows.
func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	for _, m := range a.members.Members() {
		if m.Server && m.Node.ID == string(id) {
			return raft.ServerAddress(m.RPCAddr), nil
		}
	}
	return "", fmt.Errorf("server %s is not a member", id)
}
