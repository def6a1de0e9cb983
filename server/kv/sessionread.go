package kv

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Session reads one session. The row is an *api.Session; no row: there is no such session.
type Session struct{ ID string }

// QueryType implements verb.Query.
func (Session) QueryType() string { return "session.get" }

// Validate implements verb.Query.
func (q Session) Validate() error { return checkSessionID(q.ID) }

// Needs implements verb.Query.
func (Session) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Session) NewValue() any { return new(api.Session) }

// Read implements verb.Query.
func (q Session) Read(tx *state.Tx) ([]*verb.Row, error) {
	if s := state.Session(tx, q.ID); s != nil {
		return []*verb.Row{sessionRow(s)}, nil
	}
	return nil, nil
}

func sessionRow(s *api.Session) *verb.Row {
	return &verb.Row{Key: s.ID, Version: s.ModifyIndex, Value: s, Needs: []api.Permission{{Resource: "session", Name: s.Node, Access: api.Read}}}
}

// Sessions reads all sessions. A row is an *api.Session.
type Sessions struct{}

// QueryType implements verb.Query.
func (Sessions) QueryType() string { return "session.list" }

// Validate implements verb.Query.
func (Sessions) Validate() error { return nil }

// Needs implements verb.Query.
func (Sessions) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Sessions) NewValue() any { return new(api.Session) }

// Read implements verb.Query.
func (Sessions) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for s := range state.Sessions(tx) {
		rows = append(rows, sessionRow(s))
	}
	return rows, nil
}

// NodeSessions reads the sessions of a node, which is named by its name or its id. A row is an *api.Session.
type NodeSessions struct{ Node string }

// QueryType implements verb.Query.
func (NodeSessions) QueryType() string { return "session.node" }

// Validate implements verb.Query.
func (q NodeSessions) Validate() error {
	if q.Node == "" {
		return api.Errorf(400, "Missing node name")
	}
	return nil
}

// Needs implements verb.Query.
func (NodeSessions) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (NodeSessions) NewValue() any { return new(api.Session) }

// Read implements verb.Query.
func (q NodeSessions) Read(tx *state.Tx) ([]*verb.Row, error) {
	node := q.Node
	if len(node) == 36 { // as a UUID is: only then there is something to look up, and to be woken by
		if n := state.NodeByID(tx, node); n != nil {
			node = n.Node
		}
	}
	var rows []*verb.Row
	for s := range state.NodeSessions(tx, node) {
		rows = append(rows, sessionRow(s))
	}
	return rows, nil
}
