package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// ConfigEntries groups the calls that read and change config entries.
type ConfigEntries struct{ c *Client }

// ConfigEntries returns the calls that concern config entries.
func (c *Client) ConfigEntries() ConfigEntries { return ConfigEntries{c} }

// Get returns an entry, or nil when there is none.
func (e ConfigEntries) Get(ctx context.Context, kind, name string, q *QueryOptions) (ConfigEntry, Meta, error) {
	raw, meta, err := read[json.RawMessage](ctx, e.c, entryPath(kind, name), q, nil)
	if err != nil {
		return nil, meta, orAbsent(err)
	}
	entry, err := UnmarshalConfigEntry(raw)
	return entry, meta, err
}

// List returns all entries of a kind by name.
func (e ConfigEntries) List(ctx context.Context, kind string, q *QueryOptions) ([]ConfigEntry, Meta, error) {
	raws, meta, err := read[[]json.RawMessage](ctx, e.c, "/v1/config/"+url.PathEscape(kind), q, nil)
	if err != nil {
		return nil, meta, err
	}
	entries := make([]ConfigEntry, len(raws))
	for i, raw := range raws {
		if entries[i], err = UnmarshalConfigEntry(raw); err != nil {
			return nil, meta, err
		}
	}
	return entries, meta, nil
}

// Put writes an entry.
func (e ConfigEntries) Put(ctx context.Context, entry ConfigEntry, w *WriteOptions) error {
	_, _, err := e.Write(ctx, entry, nil, w)
	return err
}

// CAS writes an entry only if its ModifyIndex is still the given one, or, when that is 0, only if it is absent. It
// returns whether it wrote.
func (e ConfigEntries) CAS(ctx context.Context, entry ConfigEntry, index uint64, w *WriteOptions) (bool, error) {
	done, _, err := e.Write(ctx, entry, &index, w)
	return done, err
}

// Write is Put, or CAS where an index is given, and returns as well what of the entry has no effect yet.
func (e ConfigEntries) Write(ctx context.Context, entry ConfigEntry, cas *uint64, w *WriteOptions) (done bool, warnings []string, err error) {
	params := url.Values{}
	if cas != nil {
		params.Set("cas", strconv.FormatUint(*cas, 10))
	}
	_, err = e.c.do(ctx, request{
		method: http.MethodPut, path: "/v1/config", params: e.c.writeParams(w, params), token: w.token(), body: entry, warned: &warnings,
	}, &done)
	if err == nil && !done && cas == nil {
		err = fmt.Errorf("the server did not write %s %q and gave no reason", entry.EntryKind(), entry.EntryName())
	}
	return done, warnings, err
}

// Delete removes an entry. It is no error if there is none.
func (e ConfigEntries) Delete(ctx context.Context, kind, name string, w *WriteOptions) error {
	return e.c.write(ctx, http.MethodDelete, entryPath(kind, name), w, nil, nil, nil)
}

// DeleteCAS removes an entry only if its ModifyIndex is still the given one. It returns whether it did.
func (e ConfigEntries) DeleteCAS(ctx context.Context, kind, name string, index uint64, w *WriteOptions) (bool, error) {
	var done bool
	params := url.Values{"cas": {strconv.FormatUint(index, 10)}}
	err := e.c.write(ctx, http.MethodDelete, entryPath(kind, name), w, params, nil, &done)
	return done, err
}

func entryPath(kind, name string) string {
	return "/v1/config/" + url.PathEscape(kind) + "/" + url.PathEscape(name)
}
