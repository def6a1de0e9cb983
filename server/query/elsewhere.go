package query

import (
	"context"
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Remote finds the instances that a prepared query of another datacenter is about. Rows are those of Execute.
type Remote struct {
	Service api.ServiceQuery // with everything filled in
	DNS     api.QueryDNS
	Connect bool
}

// QueryType implements verb.Query.
func (Remote) QueryType() string { return "query.remote" }

// Validate implements verb.Query.
func (q Remote) Validate() error {
	if q.Service.Service == "" {
		return refusal("Must provide a Service name to query")
	}
	return nil
}

// Needs implements verb.Query. Who may see an instance finds it.
func (Remote) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Remote) NewValue() any { return new(Found) }

// Read implements verb.Query.
func (q Remote) Read(tx *state.Tx) ([]*verb.Row, error) {
	asked := &Asked{Service: q.Service.Service, DNS: q.DNS}
	return searched(tx, asked, &q.Service, q.Connect, verb.Version()), nil
}

// Asker carries out queries, here and elsewhere.
type Asker interface {
	Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error)
}

// Failover goes on with a query that has found nothing in its own datacenter: it asks the others that the query names, one after
// the other, until one has an instance. One that does not answer is as good as one that has none. Here is the query's own, and known
// lists all, the nearest first. It returns the rows of where something was found, in the form of Execute's and with the name of the place, and how many
// it has asked. Without any, rows are nil.
func Failover(ctx context.Context, a Asker, o verb.Options, asked *Asked, here string, known func(context.Context) ([]string, error)) (rows []*verb.Row, tried int) {
	if !asked.FailsOver() {
		return nil, 0
	}
	of := *asked.Of
	of.Failover = api.QueryFailover{}
	all, err := known(ctx)
	if err != nil {
		return nil, 0
	}
	o.MinIndex, o.Wait = 0, 0
	for _, dc := range failover(asked.Of.Failover).order(all, here) {
		o.Datacenter = dc
		tried++
		found, err := a.Query(ctx, o, Remote{Service: of, DNS: asked.DNS, Connect: asked.Connect})
		if err != nil || len(found.Rows) < 2 {
			if ctx.Err() != nil {
				break
			}
			continue
		}
		about := *found.Rows[0].Value.(*Found).Asked
		about.Datacenter = dc
		return append([]*verb.Row{{Version: found.Rows[0].Version, Value: &Found{Asked: &about}}}, found.Rows[1:]...), tried
	}
	return nil, tried
}

// failover is where to look.
type failover api.QueryFailover

// FailsOver tells whether other datacenters are to be asked when nothing is found.
func (a *Asked) FailsOver() bool {
	if a == nil || a.Of == nil {
		return false
	}
	f := a.Of.Failover
	return f.NearestN > 0 || len(f.Datacenters) > 0 || len(f.Targets) > 0
}

// order lists the datacenters to ask: those named by their distance first, then by their name, each once, and only those there are.
func (f failover) order(known []string, here string) []string {
	var out []string
	add := func(dc string) {
		if dc != "" && dc != here && slices.Contains(known, dc) && !slices.Contains(out, dc) {
			out = append(out, dc)
		}
	}
	for _, dc := range known {
		if len(out) < f.NearestN {
			add(dc)
		}
	}
	for _, dc := range f.Datacenters {
		add(dc)
	}
	for _, t := range f.Targets {
		add(t.Datacenter) // there are no peers yet
	}
	return out
}
