package query

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Execute finds the instances that a prepared query is about. Rows are *Found, the first tells about the query; no row: nothing
// answers for the id or name.
type Execute struct {
	Query   string // id or name
	Connect bool   // find what answers in the mesh, whatever the query says
	Near    string // in place of what the query says; "_agent": the asking agent's node
	Agent   string // the asking agent's node
	Segment string // of the asking agent
}

// Found is a row: what was asked, or an instance.
type Found struct {
	Asked *Asked            `json:",omitempty"`
	Entry *api.ServiceEntry `json:",omitempty"`
}

// Asked is what a query turned out to ask.
type Asked struct {
	Service string
	DNS     api.QueryDNS
	Near    string // the node by whose distance the instances are sorted; empty: they are equals

	// Of is the query with everything filled in, where it is to go on elsewhere when nothing is found; otherwise nil.
	Of      *api.ServiceQuery `json:",omitempty"`
	Connect bool              `json:",omitempty"`
	// Datacenter is where the instances are, if that is not where the query is.
	Datacenter string `json:",omitempty"`
}

// QueryType implements verb.Query.
func (Execute) QueryType() string { return "query.execute" }

// Validate implements verb.Query.
func (q Execute) Validate() error { return checkName(q.Query) }

// Needs implements verb.Query. Who may see an instance finds it.
func (Execute) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Execute) NewValue() any { return new(Found) }

// Read implements verb.Query.
func (q Execute) Read(tx *state.Tx) ([]*verb.Row, error) {
	p, err := find(tx, q.Query, q.Segment)
	if p == nil || err != nil {
		return nil, err
	}
	near := p.Service.Near
	if q.Near != "" {
		near = q.Near
	}
	if near == "_agent" {
		near = q.Agent
	}
	asked := &Asked{Service: p.Service.Service, DNS: p.DNS, Near: near, Of: &p.Service, Connect: q.Connect}
	if !asked.FailsOver() {
		asked.Of = nil
	}
	return searched(tx, asked, &p.Service, q.Connect, verb.Version(p.CreateIndex, p.ModifyIndex)), nil
}

// searched is what was asked, with the instances that are wanted.
func searched(tx *state.Tx, asked *Asked, s *api.ServiceQuery, connect bool, version uint64) []*verb.Row {
	rows := []*verb.Row{{Version: version, Value: &Found{Asked: asked}}}
	for e, indexes := range instances(tx, s, connect) {
		if wants(s, e) {
			rows = append(rows, found(e, indexes, distance(tx, e.Node.Node, asked.Near)))
		}
	}
	return rows
}

// instances yields all that answer for the service of a query, with their indexes. Of other peers there are none yet.
func instances(tx *state.Tx, s *api.ServiceQuery, connect bool) iter.Seq2[*api.ServiceEntry, []uint64] {
	return func(yield func(*api.ServiceEntry, []uint64) bool) {
		if s.Service == "" || s.Peer != "" {
			return
		}
		seq := state.ServiceInstances(tx, s.Service, true)
		if connect || s.Connect {
			seq = state.MeshInstances(tx, s.Service)
		}
		for i := range seq {
			if e, indexes := state.HealthEntry(tx, i); e != nil && !yield(e, indexes) {
				return
			}
		}
	}
}

// distance orders nodes by how far they are from the one named by near: itself first, and last those of which it is not known.
func distance(tx *state.Tx, node, near string) string {
	if near == "" {
		return ""
	}
	if strings.EqualFold(node, near) {
		return "0"
	}
	if d, ok := state.Coordinate(tx, near).Distance(state.Coordinate(tx, node)); ok {
		return fmt.Sprintf("1%020d", d)
	}
	return "2"
}

func found(e *api.ServiceEntry, indexes []uint64, distance string) *verb.Row {
	return &verb.Row{
		Key:     strings.Join([]string{distance, strings.ToLower(e.Node.Node), e.Service.ID}, "\x00"),
		Version: verb.Version(indexes...), Value: &Found{Entry: e},
		Needs: []api.Permission{
			{Resource: "node", Name: e.Node.Node, Access: api.Read}, {Resource: "service", Name: e.Service.Service, Access: api.Read},
		},
	}
}

// wants tells whether an instance is one that a query is about, and healthy enough.
func wants(s *api.ServiceQuery, e *api.ServiceEntry) bool {
	return healthy(s, e.Checks) && tagged(s.Tags, e.Service.Tags) && has(e.Node.Meta, s.NodeMeta) && has(e.Service.Meta, s.ServiceMeta)
}

func healthy(s *api.ServiceQuery, checks []api.Check) bool {
	for _, c := range checks {
		switch {
		case slices.Contains(s.IgnoreCheckIDs, c.CheckID):
		case c.Status == api.Critical, s.OnlyPassing && c.Status != api.Passing:
			return false
		}
	}
	return true
}

// tagged tells whether all tags are there, and none of those with an exclamation mark before them.
func tagged(want, tags []string) bool {
	for _, w := range want {
		name, not := strings.CutPrefix(w, "!")
		if not == slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, name) }) {
			return false
		}
	}
	return true
}

// has tells whether metadata holds all pairs.
func has(meta, want map[string]string) bool {
	for k, v := range want {
		if have, ok := meta[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Split takes the rows of an answer to Execute apart, of which there must be one at least.
func Split(rows []*verb.Row) (*Asked, []api.ServiceEntry) {
	entries := make([]api.ServiceEntry, 0, len(rows)-1)
	for _, r := range rows[1:] {
		entries = append(entries, *r.Value.(*Found).Entry)
	}
	return rows[0].Value.(*Found).Asked, entries
}
