package dns

import (
	"context"

	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// failover goes on elsewhere with a prepared query that has found nothing. What is found there is not followed: it is asked for
// again each time. The error is errUnknown when nobody can be asked now.
func failover(l lookup, rows []*verb.Row, know knowledge) (found []*verb.Row, moved bool, err error) {
	if l.kind != queryFor || len(rows) != 1 {
		return rows, false, nil
	}
	f, ok := rows[0].Value.(*query.Found)
	if !ok || !f.Asked.FailsOver() {
		return rows, false, nil
	}
	if know.elsewhere == nil {
		return nil, false, errUnknown
	}
	if there := know.elsewhere(f.Asked, l.dc); there != nil {
		rows = there
	}
	return rows, true, nil
}

// elsewhere asks the other datacenters that a prepared query names, within the time that a question has.
func (s *Server) elsewhere(ctx context.Context, c *Config, about *query.Asked, dc string) []*verb.Row {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	here := dc
	if here == "" {
		here = s.opts.Datacenter
	}
	o := c.terms().options(dc)
	rows, _ := query.Failover(ctx, s.opts.Client, o, about, here, func(ctx context.Context) ([]string, error) {
		a, err := s.opts.Client.Query(ctx, verb.Options{Datacenter: dc, Mode: verb.Stale}, operator.Datacenters{})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, d := range verb.Values[*operator.Datacenter](a) {
			names = append(names, d.Name)
		}
		return names, nil
	})
	return rows
}
