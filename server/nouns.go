package server

import (
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

// types is the table of all nouns: what may be asked of a server. A new noun is a line here.
func types() core.Types {
	return core.NewTypes(
		[]verb.Command{
			catalog.Register{}, catalog.Deregister{},
		},
		[]verb.Query{
			catalog.Nodes{}, catalog.NodeByID{}, catalog.Node{}, catalog.Services{}, catalog.Instances{},
			catalog.Health{}, catalog.Checks{},
			operator.Leader{}, operator.Peers{}, operator.RaftConfiguration{},
		},
	)
}

// loops is what the leader does.
func loops(o Options) []core.Loop {
	r := &reconciler{members: o.Members, self: o.NodeID, datacenter: o.Datacenter}
	return []core.Loop{r.loop(), peersLoop(o.Members, o.NodeID)}
}
