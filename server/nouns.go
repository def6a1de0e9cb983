package server

import (
	"context"
	"time"

	"github.com/parleymesh/parley/server/ca"
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
			ca.Install{}, ca.SetConfiguration{},
		},
		[]verb.Query{
			catalog.Nodes{}, catalog.NodeByID{}, catalog.Node{}, catalog.Services{}, catalog.Instances{},
			catalog.Health{}, catalog.Checks{},
			ca.Roots{}, ca.Configuration{}, ca.Sign{},
			operator.Leader{}, operator.Peers{}, operator.RaftConfiguration{},
		},
	)
}

// loops is what the leader does.
func loops(o Options) []core.Loop {
	r := &reconciler{members: o.Members, self: o.NodeID, datacenter: o.Datacenter}
	return []core.Loop{r.loop(), caLoop(o.Domain, o.Datacenter), peersLoop(o.Members, o.NodeID)}
}

// caLoop makes the certificate authority when there is none: whoever asks the leader for a certificate then gets one.
func caLoop(domain, datacenter string) core.Loop {
	return core.Loop{Name: "ca", Prepare: func(ctx context.Context, t *core.Term) error {
		first, err := ca.First(t.Read(), domain, datacenter, time.Now())
		if first == nil || err != nil {
			return err
		}
		_, err = t.Apply(ctx, first)
		return err
	}}
}
