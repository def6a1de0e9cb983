package kv

import (
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Get reads one key. The row is an *api.KVPair; no row: there is no such key.
type Get struct{ Key string }

// QueryType implements verb.Query.
func (Get) QueryType() string { return "kv.get" }

// Validate implements verb.Query.
func (q Get) Validate() error { return checkKey(q.Key) }

// Needs implements verb.Query.
func (q Get) Needs() []api.Permission { return permission(q.Key, api.Read) }

// NewValue implements verb.Query.
func (Get) NewValue() any { return new(api.KVPair) }

// Read implements verb.Query.
func (q Get) Read(tx *state.Tx) ([]*verb.Row, error) {
	if p := state.Key(tx, q.Key); p != nil {
		return []*verb.Row{row(p)}, nil
	}
	return nil, nil
}

func row(p *api.KVPair) *verb.Row {
	return &verb.Row{Key: p.Key, Version: p.ModifyIndex, Value: p, Needs: permission(p.Key, api.Read)}
}

// List reads all keys whose names begin with a prefix, which may be empty. A row is an *api.KVPair.
type List struct{ Prefix string }

// QueryType implements verb.Query.
func (List) QueryType() string { return "kv.list" }

// Validate implements verb.Query.
func (List) Validate() error { return nil }

// Needs implements verb.Query.
func (List) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (List) NewValue() any { return new(api.KVPair) }

// Read implements verb.Query.
func (q List) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for p := range state.Keys(tx, q.Prefix) {
		rows = append(rows, row(p))
	}
	return rows, nil
}

// Keys reads the names of the keys that begin with a prefix. With a separator, those that go on beyond the next one are
// told as one, by what they share up to it. A row is a *string.
type Keys struct {
	Prefix    string
	Separator string
}

// QueryType implements verb.Query.
func (Keys) QueryType() string { return "kv.keys" }

// Validate implements verb.Query.
func (Keys) Validate() error { return nil }

// Needs implements verb.Query.
func (Keys) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Keys) NewValue() any { return new(string) }

// Read implements verb.Query.
func (q Keys) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	last := ""
	for p := range state.Keys(tx, q.Prefix) {
		name := q.cut(p.Key)
		if len(rows) > 0 && name == last {
			continue
		}
		last = name
		rows = append(rows, &verb.Row{Key: name, Value: &name, Needs: permission(name, api.Read)})
	}
	return rows, nil
}

// cut shortens a name to what it shares with others up to the separator.
func (q Keys) cut(name string) string {
	if q.Separator == "" {
		return name
	}
	rest := name[len(q.Prefix):]
	if i := strings.Index(rest, q.Separator); i >= 0 {
		return name[:len(q.Prefix)+i+len(q.Separator)]
	}
	return name
}
