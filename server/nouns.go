package server

import (
	"context"
	"time"

	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/event"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// types is the table of all nouns: what may be asked of a server. A new noun is a line here.
func types() core.Types {
	return core.NewTypes(
		[]verb.Command{
			catalog.Register{}, catalog.Deregister{},
			kv.Put{}, kv.Delete{}, kv.Txn{}, kv.CreateSession{}, kv.RenewSession{}, kv.DestroySession{}, kv.Expire{},
			configentry.Put{}, configentry.Delete{}, configentry.Batch{},
			intention.Create{}, intention.Update{}, intention.Upsert{}, intention.DeleteByID{}, intention.Delete{}, intention.SetDefault{},
			ca.Install{}, ca.SetConfiguration{},
			coordinate.Update{},
			query.Create{}, query.Update{}, query.Delete{},
			operator.RemovePeer{}, operator.TransferLeader{}, operator.SetAutopilot{}, operator.Keyring{},
			event.Fire{},
		},
		[]verb.Query{
			catalog.Nodes{}, catalog.NodeByID{}, catalog.Node{}, catalog.Services{}, catalog.Instances{},
			catalog.Health{}, catalog.Checks{}, catalog.Virtual{},
			kv.Get{}, kv.List{}, kv.Keys{}, kv.TxnRead{}, kv.Session{}, kv.Sessions{}, kv.NodeSessions{},
			configentry.Get{}, configentry.List{}, configentry.Chain{}, configentry.Central{}, configentry.Exported{}, configentry.Rehearse{},
			intention.List{}, intention.ByID{}, intention.Exact{}, intention.Match{}, intention.Check{}, intention.Policy{},
			ca.Roots{}, ca.Configuration{}, ca.Sign{},
			query.List{}, query.Get{}, query.Explain{}, query.Execute{}, query.Remote{},
			coordinate.List{}, coordinate.Node{},
			operator.Leader{}, operator.Peers{}, operator.RaftConfiguration{}, operator.Autopilot{}, operator.AutopilotState{}, operator.Progress{}, operator.Usage{},
			operator.Datacenters{}, operator.Places{}, operator.ServersEverywhere{},
		},
	)
}

// loops is what the leader does.
func loops(o Options) []core.Loop {
	r := &reconciler{members: o.Members, self: o.NodeID, datacenter: o.Datacenter}
	return []core.Loop{r.loop(), caLoop(o.Domain, o.Datacenter), intentionDefaultLoop(o.DefaultAllow, o.DefaultWhy), firstEntriesLoop(o.FirstEntries)}
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

// intentionDefaultLoop writes what happens when no intention says anything, as this server's configuration has it: whoever
// asks the leader for a policy then gets the one that is in force.
func intentionDefaultLoop(allow bool, why string) core.Loop {
	return core.Loop{Name: "intention-default", Prepare: func(ctx context.Context, t *core.Term) error {
		change := intention.ChangeDefault(t.Read(), allow, why)
		if change == nil {
			return nil
		}
		_, err := t.Apply(ctx, change)
		return err
	}}
}
