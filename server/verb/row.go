package verb

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/parleymesh/parley/api"
)

// Row is one element of an answer. Its Value's JSON is that of the public API: rows travel between servers and agents
// in the same bytes that HTTP bodies are joined from, encoded once for each change.
type Row struct {
	// Key identifies the row in its answer and orders it.
	Key string
	// Version changes whenever the value's encoding would.
	Version uint64
	// Value is immutable, and a pointer of the type that the query's NewValue returns.
	Value any
	// Needs names the permissions that show the row. None: whoever may run the query sees it.
	Needs []api.Permission

	once sync.Once
	json []byte
	err  error

	remote    bool
	decode    sync.Once
	decodeErr error
}

// RowKey implements watch.Row.
func (r *Row) RowKey() string { return r.Key }

// RowVersion implements watch.Row.
func (r *Row) RowVersion() uint64 { return r.Version }

// JSON returns the value's encoding, which is made at the first call and shared.
func (r *Row) JSON() ([]byte, error) {
	r.once.Do(func() {
		if r.json != nil {
			return
		}
		if r.json, r.err = json.Marshal(r.Value); r.err != nil {
			r.err = fmt.Errorf("encode row %q: %w", r.Key, r.err)
		}
	})
	return r.json, r.err
}

// RemoteRow returns a row that arrived as key, version and JSON. It has no Value until Decode gives it one.
func RemoteRow(key string, version uint64, data []byte) *Row {
	return &Row{Key: key, Version: version, json: data, remote: true}
}

// Decode gives a row that came from elsewhere its Value, decoded into what newValue returns. The first call does so for
// all who share the row; for other rows it does nothing.
func (r *Row) Decode(newValue func() any) error {
	if !r.remote {
		return nil
	}
	r.decode.Do(func() {
		v := newValue()
		if r.decodeErr = json.Unmarshal(r.json, v); r.decodeErr != nil {
			r.decodeErr = fmt.Errorf("decode row %q: %w", r.Key, r.decodeErr)
			return
		}
		r.Value = v
	})
	return r.decodeErr
}

// Version folds the indexes that a row depends on into one number that differs when any of them does, also when one
// is gone.
func Version(indexes ...uint64) uint64 {
	// FNV-1a over 64-bit words: not for adversaries, only to tell two states of one row apart.
	h := uint64(14695981039346656037)
	for _, x := range indexes {
		h = (h ^ x) * 1099511628211
		h ^= h >> 29
	}
	return h
}
