package catalog

import (
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Health lists the instances of a service with their nodes and all checks that concern them. A row is an
// *api.ServiceEntry.
type Health struct {
	Service string
	// Mesh asks for what answers for the service in the mesh: its sidecars, or its own instances when they are native.
	Mesh bool
	// Central asks for proxies with the defaults of their services and of all proxies merged in.
	Central bool
}

// QueryType implements verb.Query.
func (Health) QueryType() string { return "health.service" }

// Validate implements verb.Query.
func (q Health) Validate() error {
	if q.Service == "" {
		return api.Errorf(400, "Missing service name")
	}
	return nil
}

// Needs implements verb.Query.
func (Health) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Health) NewValue() any { return new(api.ServiceEntry) }

// Read implements verb.Query.
func (q Health) Read(tx *state.Tx) ([]*verb.Row, error) {
	seq := state.ServiceInstances(tx, q.Service, true)
	if q.Mesh {
		seq = state.MeshInstances(tx, q.Service)
	}
	var rows []*verb.Row
	for i := range seq {
		if r := q.row(tx, i); r != nil {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (q Health) row(tx *state.Tx, i *state.Instance) *verb.Row {
	e, indexes := state.HealthEntry(tx, i)
	if e == nil {
		return nil
	}
	if q.Central {
		var merged []uint64
		e.Service, merged = central(tx, e.Service)
		indexes = append(indexes, merged...)
	}
	return &verb.Row{
		Key:     rowKey(fold(i.Node), i.Service.ID),
		Version: verb.Version(indexes...),
		Value:   e,
		Needs:   []api.Permission{readNode(e.Node.Node), readService(i.Service.Service)},
	}
}

// Checks lists checks: all of them, or those of a service. A row is an *api.Check.
type Checks struct{ Service string }

// QueryType implements verb.Query.
func (Checks) QueryType() string { return "health.checks" }

// Validate implements verb.Query.
func (Checks) Validate() error { return nil }

// Needs implements verb.Query.
func (Checks) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Checks) NewValue() any { return new(api.Check) }

// Read implements verb.Query.
func (q Checks) Read(tx *state.Tx) ([]*verb.Row, error) {
	seq := state.Checks(tx)
	if q.Service != "" {
		seq = state.ServiceChecks(tx, q.Service)
	}
	var rows []*verb.Row
	for c := range seq {
		rows = append(rows, &verb.Row{
			Key: rowKey(fold(c.Node), c.CheckID), Version: c.ModifyIndex, Value: c, Needs: []api.Permission{readCheck(c)},
		})
	}
	return rows, nil
}

// Passing tells whether all checks of an entry allow it to be used: none critical, and none in warning when onlyPassing is set.
func Passing(e *api.ServiceEntry, onlyPassing bool) bool {
	return !slices.ContainsFunc(e.Checks, func(c api.Check) bool {
		if onlyPassing {
			return c.Status != api.Passing
		}
		return c.Status == api.Critical
	})
}

// HasTag tells whether an instance has the tag, whatever its case.
func HasTag(tags []string, tag string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, tag) })
}
