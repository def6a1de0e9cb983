package intention

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Policy reads the rules that hold for a destination, the one with the highest precedence first. The last row is always
// the default. A row is a *Rule. It is shown as a whole or not at all: without some of its rules a policy would be
// another one.
type Policy struct{ Destination string }

// QueryType implements verb.Query.
func (Policy) QueryType() string { return "intention.policy" }

// Validate implements verb.Query.
func (q Policy) Validate() error {
	if q.Destination == "" {
		return api.Errorf(http.StatusBadRequest, "Missing destination")
	}
	return nil
}

// Needs implements verb.Query.
func (q Policy) Needs() []api.Permission { return permission(q.Destination, api.Read) }

// NewValue implements verb.Query.
func (Policy) NewValue() any { return new(Rule) }

// Read implements verb.Query.
func (q Policy) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for _, e := range destinations(tx, q.Destination) {
		for i := range e.Sources {
			s := &e.Sources[i]
			rows = append(rows, &verb.Row{Key: rowKey(s.Precedence, e.Name, s), Version: e.ModifyIndex, Value: newRule(e, s)})
		}
	}
	r, version := defaultRule(tx)
	versions := []uint64{version}
	for _, name := range providersOf(rows) {
		// One that is not there is left out, and what asks for its tokens lets nothing pass.
		if p, ok := state.ConfigEntry(tx, api.KindJWTProvider, name).(*api.JWTProvider); ok {
			r.Providers = append(r.Providers, p)
			versions = append(versions, p.ModifyIndex)
		}
	}
	return append(rows, &verb.Row{Key: lastKey, Version: verb.Version(versions...), Value: r}), nil
}

// providersOf returns the names of the JWT providers that rules ask for, sorted.
func providersOf(rows []*verb.Row) []string {
	var names []string
	add := func(j *api.IntentionJWT) {
		if j != nil {
			for _, p := range j.Providers {
				names = append(names, p.Name)
			}
		}
	}
	for _, row := range rows {
		r := row.Value.(*Rule)
		add(r.JWT)
		for i := range r.Permissions {
			add(r.Permissions[i].JWT)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lastKey comes after all that begin with a digit.
const lastKey = "default"

// Check asks whether source may connect to destination. The row is an *api.Decision.
type Check struct{ Source, Destination string }

// QueryType implements verb.Query.
func (Check) QueryType() string { return "intention.check" }

// Validate implements verb.Query.
func (q Check) Validate() error { return checkPair(q.Source, q.Destination) }

// Needs implements verb.Query.
func (q Check) Needs() []api.Permission { return permission(q.Destination, api.Read) }

// NewValue implements verb.Query.
func (Check) NewValue() any { return new(api.Decision) }

// Read implements verb.Query.
func (q Check) Read(tx *state.Tx) ([]*verb.Row, error) {
	rows, err := Policy{q.Destination}.Read(tx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b *verb.Row) int { return cmp.Compare(a.Key, b.Key) })
	rules := make([]*Rule, len(rows))
	versions := make([]uint64, len(rows))
	for i, r := range rows {
		rules[i], versions[i] = r.Value.(*Rule), r.Version
	}
	d := Decide(rules, q.Source)
	return []*verb.Row{{Key: q.Source, Version: verb.Version(versions...), Value: &d}}, nil
}
