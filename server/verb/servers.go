package verb

import (
	"errors"
	"time"

	"github.com/parleymesh/parley/api"
)

// Servers is what a server knows of itself and the others, through Raft and gossip.
type Servers interface {
	// LeaderAddr is the leader's RPC address; empty while none is known or it does not answer as the leader yet.
	LeaderAddr() string
	RaftConfiguration() (api.RaftConfiguration, error)
	// Progress is how far this server has come.
	Progress() Progress
	// AutopilotState is how all servers are. Only the leader knows.
	AutopilotState() (api.AutopilotState, error)
	// Datacenters lists those that are known, the nearest first.
	Datacenters() []string
	// Places is where the servers of all datacenters are in the network, in the same order.
	Places() []api.CoordinateDatacenter
	// ServersEverywhere lists the servers of all datacenters, as the members of their pool.
	ServersEverywhere() []api.Member
}

// Progress is how far one server has come in the log.
type Progress struct {
	LastTerm, LastIndex uint64
	LastContact         time.Duration // since it heard from the leader; 0 on the leader, negative before it ever did
}

// AboutServers is a Query about the servers rather than about the state. It is routed and authorised like any other, and is
// answered at once, also when it was to wait for a change.
type AboutServers interface {
	Query
	// ReadServers is called in place of Read.
	ReadServers(s Servers) ([]*Row, error)
}

// ErrNotState is what Read answers of a query that is AboutServers: nobody calls it.
var ErrNotState = errors.New("this query is about the servers, not about the state")
