// Package coordinate is the noun of where nodes are in the network, by which the round trip between two of them can be
// estimated. Agents tell where they are now and then; queries list it. Who sorts by distance does so itself.
package coordinate

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Update tells where nodes are. An agent tells of itself; the leader gathers what many tell.
type Update struct{ Entries []api.CoordinateEntry }

// CommandType implements verb.Command.
func (Update) CommandType() string { return "coordinate.update" }

// Validate implements verb.Command.
func (u Update) Validate() error {
	for _, e := range u.Entries {
		switch {
		case e.Node == "":
			return api.Errorf(http.StatusBadRequest, "Must provide node")
		case e.Segment != "":
			return api.Errorf(http.StatusBadRequest, "Segment %q of node %q: there are no network segments in this version of Parley", e.Segment, e.Node)
		case !e.Coord.Valid():
			return api.Errorf(http.StatusBadRequest, "Coord of node %q is no coordinate: want %d finite numbers in Vec, and Error, Adjustment and Height",
				e.Node, api.CoordinateSize)
		}
	}
	return nil
}

// Needs implements verb.Command.
func (u Update) Needs(*state.Tx) []api.Permission {
	needs := make([]api.Permission, len(u.Entries))
	for i, e := range u.Entries {
		needs[i] = api.Permission{Resource: "node", Name: e.Node, Access: api.Write}
	}
	return needs
}

// Apply implements verb.Command. Nodes that are gone meanwhile are left out.
func (u Update) Apply(tx *state.Tx) (any, error) {
	for _, e := range u.Entries {
		state.PutCoordinate(tx, e)
	}
	return nil, nil
}

// Gather implements verb.Gathered: of what is told of a node, the last counts.
func (u Update) Gather(later []verb.Command) verb.Command {
	last := map[string]api.CoordinateEntry{}
	add := func(entries []api.CoordinateEntry) {
		for _, e := range entries {
			last[strings.ToLower(e.Node)] = e
		}
	}
	add(u.Entries)
	for _, c := range later {
		switch c := c.(type) {
		case Update:
			add(c.Entries)
		case *Update:
			add(c.Entries)
		}
	}
	all := Update{Entries: make([]api.CoordinateEntry, 0, len(last))}
	for _, e := range last {
		all.Entries = append(all.Entries, e)
	}
	slices.SortFunc(all.Entries, func(a, b api.CoordinateEntry) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// List tells where all nodes are, of those that have told. A row is an *api.CoordinateEntry.
type List struct{}

// QueryType implements verb.Query.
func (List) QueryType() string { return "coordinate.list" }

// Validate implements verb.Query.
func (List) Validate() error { return nil }

// Needs implements verb.Query.
func (List) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (List) NewValue() any { return new(api.CoordinateEntry) }

// Read implements verb.Query.
func (List) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for p := range state.Places(tx) {
		rows = append(rows, row(p))
	}
	return rows, nil
}

func row(p *state.Place) *verb.Row {
	return &verb.Row{
		Key: strings.ToLower(p.Entry.Node) + "\x00" + p.Entry.Segment, Version: p.ModifyIndex, Value: &p.Entry,
		Needs: []api.Permission{{Resource: "node", Name: p.Entry.Node, Access: api.Read}},
	}
}

// Node tells where one node is. A row is an *api.CoordinateEntry; no row: that is not known.
type Node struct{ Name string }

// QueryType implements verb.Query.
func (Node) QueryType() string { return "coordinate.node" }

// Validate implements verb.Query.
func (q Node) Validate() error {
	if q.Name == "" {
		return api.Errorf(http.StatusBadRequest, "Missing node name")
	}
	return nil
}

// Needs implements verb.Query.
func (Node) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Node) NewValue() any { return new(api.CoordinateEntry) }

// Read implements verb.Query.
func (q Node) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for p := range state.NodePlaces(tx, q.Name) {
		rows = append(rows, row(p))
	}
	return rows, nil
}
