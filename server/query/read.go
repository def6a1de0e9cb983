package query

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// List reads all prepared queries. A row is an *api.PreparedQuery.
type List struct{}

// QueryType implements verb.Query.
func (List) QueryType() string { return "query.list" }

// Validate implements verb.Query.
func (List) Validate() error { return nil }

// Needs implements verb.Query.
func (List) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (List) NewValue() any { return new(api.PreparedQuery) }

// Read implements verb.Query.
func (List) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for q := range state.PreparedQueries(tx) {
		rows = append(rows, row(q))
	}
	return rows, nil
}

func row(q *api.PreparedQuery) *verb.Row {
	return &verb.Row{Key: q.ID, Version: q.ModifyIndex, Value: q, Needs: []api.Permission{permission(q.Name, api.Read)}}
}

// Get reads one prepared query by its id. The row is an *api.PreparedQuery; no row: there is no such query.
type Get struct{ ID string }

// QueryType implements verb.Query.
func (Get) QueryType() string { return "query.get" }

// Validate implements verb.Query.
func (q Get) Validate() error {
	if isID(q.ID) {
		return nil
	}
	return refusal("failed prepared query lookup: index error: UUID must be 36 characters")
}

// Needs implements verb.Query.
func (Get) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Get) NewValue() any { return new(api.PreparedQuery) }

// Read implements verb.Query.
func (q Get) Read(tx *state.Tx) ([]*verb.Row, error) {
	if p := state.PreparedQuery(tx, q.ID); p != nil {
		return []*verb.Row{row(p)}, nil
	}
	return nil, nil
}

// find returns the query that an id or a name means, filled in when it is a template; nil when there is none.
func find(tx *state.Tx, idOrName, segment string) (*api.PreparedQuery, error) {
	if isID(idOrName) {
		if q := state.PreparedQuery(tx, idOrName); q != nil {
			return compile(q, call{Name: q.Name, Segment: segment})
		}
	}
	if q := state.NamedQuery(tx, idOrName); q != nil {
		return q, nil
	}
	if q := state.QueryTemplateFor(tx, idOrName); q != nil {
		return compile(q, call{Name: idOrName, Segment: segment})
	}
	return nil, nil
}

// Explain reads the query that an id or a name means, with everything filled in. The row is an *api.PreparedQuery; no row:
// nothing answers for it.
type Explain struct {
	Query   string // id or name
	Segment string // of the asking agent
}

// QueryType implements verb.Query.
func (Explain) QueryType() string { return "query.explain" }

// Validate implements verb.Query.
func (q Explain) Validate() error { return checkName(q.Query) }

// Needs implements verb.Query.
func (Explain) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Explain) NewValue() any { return new(api.PreparedQuery) }

// Read implements verb.Query.
func (q Explain) Read(tx *state.Tx) ([]*verb.Row, error) {
	p, err := find(tx, q.Query, q.Segment)
	if p == nil || err != nil {
		return nil, err
	}
	return []*verb.Row{row(p)}, nil
}

func checkName(idOrName string) error {
	if idOrName == "" {
		return api.Errorf(400, "Missing the id or name of a prepared query")
	}
	return nil
}
