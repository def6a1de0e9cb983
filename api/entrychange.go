package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// EntryChange writes a config entry, or deletes one.
type EntryChange struct {
	Put    ConfigEntry `json:",omitempty"`
	Delete *EntryName  `json:",omitempty"`
	// CAS, when set, is the ModifyIndex that the entry must still have; 0: it must be absent.
	CAS *uint64 `json:",omitempty"`
}

// EntryName names a config entry.
type EntryName struct {
	Kind string
	Name string
}

// UnmarshalJSON reads the entry as its kind, as strictly as one that is written alone.
func (c *EntryChange) UnmarshalJSON(data []byte) error {
	var raw struct {
		Put    json.RawMessage
		Delete *EntryName
		CAS    *uint64
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*c = EntryChange{Delete: raw.Delete, CAS: raw.CAS}
	if raw.Put == nil {
		return nil
	}
	var err error
	c.Put, err = DecodeConfigEntry(raw.Put)
	return err
}

// EntryProblem says what stands against a change of a config entry.
type EntryProblem struct {
	Change  int // counting from 0
	Kind    string
	Name    string
	Message string
}

// EntryOutcome is what became of changes that were to be made together: all of them have been made, or, when there are
// Problems, none.
type EntryOutcome struct {
	Problems []EntryProblem
	Warnings []string // what of the entries has no effect yet
	// Entries are those that are written as they will be read, with what the servers fill in; null for one that is deleted.
	Entries []json.RawMessage
}

// Entry returns the entry of a change as it will be read, or nil when it is deleted.
func (o *EntryOutcome) Entry(change int) (ConfigEntry, error) {
	if change >= len(o.Entries) || string(o.Entries[change]) == "null" {
		return nil, nil
	}
	return UnmarshalConfigEntry(o.Entries[change])
}

// Apply makes changes to config entries, all of them or none. With dryRun it makes none, and tells only what would stand against
// them. The answer's Problems are no error.
func (e ConfigEntries) Apply(ctx context.Context, changes []EntryChange, dryRun bool, w *WriteOptions) (*EntryOutcome, error) {
	params := url.Values{}
	if dryRun {
		params.Set("dry-run", "")
	}
	var out EntryOutcome
	_, err := e.c.do(ctx, request{
		method: http.MethodPut, path: "/v1/config/apply", params: e.c.writeParams(w, params), token: w.token(),
		body: struct{ Changes []EntryChange }{changes}, fine: http.StatusConflict,
	}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}
