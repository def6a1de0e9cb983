package intention

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// List reads all intentions, those of higher precedence first. A row is an *api.Intention.
type List struct{}

// QueryType implements verb.Query.
func (List) QueryType() string { return "intention.list" }

// Validate implements verb.Query.
func (List) Validate() error { return nil }

// Needs implements verb.Query.
func (List) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (List) NewValue() any { return new(api.Intention) }

// Read implements verb.Query.
func (List) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for _, e := range state.AllIntentions(tx) {
		for i := range e.Sources {
			rows = append(rows, row(e, &e.Sources[i]))
		}
	}
	return rows, nil
}

// ByID reads an intention that was made by id. The row is an *api.Intention; no row: there is no such intention.
type ByID struct{ ID string }

// QueryType implements verb.Query.
func (ByID) QueryType() string { return "intention.by-id" }

// Validate implements verb.Query.
func (q ByID) Validate() error {
	if why := badID(q.ID); why != "" {
		return api.Errorf(http.StatusBadRequest, "%s", why)
	}
	return nil
}

// badID says what is wrong with the shape of an id.
func badID(id string) string {
	if len(id) != 36 {
		return "failed config entry lookup: index error: UUID must be 36 characters"
	}
	return ""
}

// Needs implements verb.Query.
func (ByID) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (ByID) NewValue() any { return new(api.Intention) }

// Read implements verb.Query.
func (q ByID) Read(tx *state.Tx) ([]*verb.Row, error) {
	e, i := byID(tx, q.ID)
	if e == nil {
		return nil, nil
	}
	return []*verb.Row{row(e, &e.Sources[i])}, nil
}

// Exact reads the intention from a source to a destination; "*" is the one for all, not each. The row is an
// *api.Intention; no row: there is no such intention.
type Exact struct{ Source, Destination string }

// QueryType implements verb.Query.
func (Exact) QueryType() string { return "intention.exact" }

// Validate implements verb.Query.
func (q Exact) Validate() error { return checkPair(q.Source, q.Destination) }

// checkPair refuses an intention without both names.
func checkPair(source, destination string) error {
	if source == "" {
		return api.Errorf(http.StatusBadRequest, "Missing source")
	}
	if destination == "" {
		return api.Errorf(http.StatusBadRequest, "Missing destination")
	}
	return nil
}

// Needs implements verb.Query.
func (q Exact) Needs() []api.Permission { return permission(q.Destination, api.Read) }

// NewValue implements verb.Query.
func (Exact) NewValue() any { return new(api.Intention) }

// Read implements verb.Query.
func (q Exact) Read(tx *state.Tx) ([]*verb.Row, error) {
	e := state.ServiceIntentions(tx, q.Destination)
	i := state.SourceIndex(e, q.Source, "")
	if i < 0 {
		return nil, nil
	}
	return []*verb.Row{row(e, &e.Sources[i])}, nil
}

// Match reads the intentions that concern a service, as a source or as a destination, in the order in which they are
// tried. A row is an *api.Intention.
type Match struct {
	By   string // api.MatchSource or api.MatchDestination
	Name string
}

// QueryType implements verb.Query.
func (Match) QueryType() string { return "intention.match" }

// Validate implements verb.Query.
func (q Match) Validate() error {
	if q.By != api.MatchSource && q.By != api.MatchDestination {
		return refusal("'by' parameter must be one of 'source' or 'destination'")
	}
	if q.Name == "" {
		return api.Errorf(http.StatusBadRequest, "Missing name")
	}
	return nil
}

// Needs implements verb.Query.
func (q Match) Needs() []api.Permission { return permission(q.Name, api.Read) }

// NewValue implements verb.Query.
func (Match) NewValue() any { return new(api.Intention) }

// Read implements verb.Query.
func (q Match) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	if q.By == api.MatchDestination {
		for _, e := range destinations(tx, q.Name) {
			for i := range e.Sources {
				r := row(e, &e.Sources[i])
				r.Needs = nil // some of a destination's rules tell something else than all of them
				rows = append(rows, r)
			}
		}
		return rows, nil
	}
	for _, e := range state.AllIntentions(tx) {
		for i := range e.Sources {
			if s := &e.Sources[i]; s.Name == q.Name || s.Name == api.Wildcard {
				rows = append(rows, row(e, s))
			}
		}
	}
	return rows, nil
}
