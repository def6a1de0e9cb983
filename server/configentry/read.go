package configentry

import (
	"encoding/json"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Get reads one entry. The row is a pointer to the type of its kind; no row: there is no such entry.
type Get struct{ Kind, Name string }

// QueryType implements verb.Query.
func (Get) QueryType() string { return "configentry.get" }

// Validate implements verb.Query.
func (q Get) Validate() error { return checkKind(q.Kind) }

// checkKind refuses an unknown kind as reads do.
func checkKind(kind string) error {
	if _, err := api.NewConfigEntry(kind); err != nil {
		return api.Errorf(http.StatusInternalServerError, "%v", err)
	}
	return nil
}

// Needs implements verb.Query.
func (q Get) Needs() []api.Permission { return permissions(q.Kind, q.Name, api.Read) }

// NewValue implements verb.Query.
func (q Get) NewValue() any { return newValue(q.Kind) }

// newValue is for a kind that Validate has let pass.
func newValue(kind string) any {
	e, err := api.NewConfigEntry(kind)
	if err != nil {
		return new(Any)
	}
	return e
}

// Read implements verb.Query.
func (q Get) Read(tx *state.Tx) ([]*verb.Row, error) {
	if e := state.ConfigEntry(tx, q.Kind, q.Name); e != nil {
		return []*verb.Row{row(e, e)}, nil
	}
	return nil, nil
}

func row(e api.ConfigEntry, value any) *verb.Row {
	return &verb.Row{
		Key: rowKey(e.EntryKind(), e.EntryName()), Version: e.Common().ModifyIndex, Value: value,
		Needs: permissions(e.EntryKind(), e.EntryName(), api.Read),
	}
}

// List reads the entries of a kind by name: the rows are pointers to its type. Without a kind it reads all of all kinds,
// and the rows are *Any. Either way a row's value is an api.ConfigEntry.
type List struct{ Kind string }

// QueryType implements verb.Query.
func (List) QueryType() string { return "configentry.list" }

// Validate implements verb.Query.
func (q List) Validate() error {
	if q.Kind == "" {
		return nil
	}
	return checkKind(q.Kind)
}

// Needs implements verb.Query.
func (List) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (q List) NewValue() any {
	if q.Kind == "" {
		return new(Any)
	}
	return newValue(q.Kind)
}

// Read implements verb.Query.
func (q List) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for e := range state.ConfigEntries(tx, q.Kind) {
		var value any = e.ConfigEntry
		if q.Kind == "" {
			value = &Any{e.ConfigEntry}
		}
		rows = append(rows, row(e.ConfigEntry, value))
	}
	return rows, nil
}

// Any is an entry of any kind. Its JSON is that of the entry.
type Any struct{ api.ConfigEntry }

// MarshalJSON implements json.Marshaler.
func (a *Any) MarshalJSON() ([]byte, error) { return json.Marshal(a.ConfigEntry) }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Any) UnmarshalJSON(data []byte) (err error) {
	a.ConfigEntry, err = api.UnmarshalConfigEntry(data)
	return err
}
