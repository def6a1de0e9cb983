package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/parleymesh/parley/api"
)

// Entry is the row of a config entry. Its key begins with the kind.
type Entry struct{ api.ConfigEntry }

var configEntries = &table[Entry]{
	name: "config-entries", version: 1,
	key: func(tx *Tx, e *Entry) string { return tx.key(e.EntryKind(), e.EntryName()) },
	// An entry's public JSON is its encoding: it names its own kind.
	encode: func(e *Entry) ([]byte, error) { return json.Marshal(e.ConfigEntry) },
	decode: func(data []byte) (*Entry, error) {
		e, err := api.UnmarshalConfigEntry(data)
		if err != nil {
			return nil, fmt.Errorf("config entry: %w", err)
		}
		return &Entry{e}, nil
	},
}

// The topics of config entries.
const (
	topicConfigKind Kind = "config-kind" // all of a kind; the name is empty for all of all kinds
	topicConfig     Kind = "config"      // one, called kind/name
)

// ConfigEntries yields the entries of a kind, or of all kinds when it is empty, by kind and name.
func ConfigEntries(tx *Tx, kind string) iter.Seq[*Entry] {
	tx.saw(topicConfigKind, kind)
	if kind == "" {
		return configEntries.list(tx, tx.key())
	}
	return configEntries.list(tx, tx.key(kind))
}

// ConfigEntry returns one entry, or nil.
func ConfigEntry(tx *Tx, kind, name string) api.ConfigEntry {
	tx.saw(topicConfig, kind+"/"+name)
	if e := configEntries.get(tx, tx.key(kind, name)); e != nil {
		return e.ConfigEntry
	}
	return nil
}

// PutConfigEntry writes an entry, which belongs to the state from then on, keeping its create index. One whose content
// already stands is not written.
func PutConfigEntry(tx *Tx, e api.ConfigEntry) {
	c := e.Common()
	c.Hash, c.CreateIndex, c.ModifyIndex = 0, 0, 0
	if e.EntryKind() != api.KindBoundAPIGateway { // nobody wrote that, so nobody compares it
		c.Hash = contentHash(e)
	}
	c.CreateIndex, c.ModifyIndex = tx.index, tx.index
	if old := configEntries.get(tx, tx.key(e.EntryKind(), e.EntryName())); old != nil {
		c.CreateIndex, c.ModifyIndex = old.Common().CreateIndex, old.Common().ModifyIndex
		if c.Hash == old.Common().Hash && bytes.Equal(encoding(e), encoding(old.ConfigEntry)) {
			return
		}
		c.ModifyIndex = tx.index
	}
	configEntries.put(tx, &Entry{e})
	configChanged(tx, e.EntryKind(), e.EntryName())
}

// contentHash is taken of an entry without indexes. It is never 0, which would not be shown.
func contentHash(e api.ConfigEntry) uint64 {
	h := fnv.New64a()
	h.Write(encoding(e))
	return max(h.Sum64(), 1)
}

func encoding(e api.ConfigEntry) []byte {
	data, err := json.Marshal(e)
	if err != nil {
		// Entries are made from JSON, so they have an encoding.
		panic(fmt.Sprintf("state: config entry %s/%s: %v", e.EntryKind(), e.EntryName(), err))
	}
	return data
}

// DeleteConfigEntry removes an entry. It reports whether there was one.
func DeleteConfigEntry(tx *Tx, kind, name string) bool {
	if configEntries.get(tx, tx.key(kind, name)) == nil {
		return false
	}
	configEntries.remove(tx, tx.key(kind, name))
	configChanged(tx, kind, name)
	return true
}

func configChanged(tx *Tx, kind, name string) {
	tx.touch(topicConfigKind, "")
	tx.touch(topicConfigKind, kind)
	tx.touch(topicConfig, kind+"/"+name)
	if slices.Contains(virtualKinds, kind) {
		virtualChanged(tx, name)
	}
}

// ServiceDefaults returns what is true of a service, or nil.
func ServiceDefaults(tx *Tx, service string) *api.ServiceDefaults {
	e, _ := ConfigEntry(tx, api.KindServiceDefaults, service).(*api.ServiceDefaults)
	return e
}

// ProxyDefaults returns what is true of all proxies, or nil.
func ProxyDefaults(tx *Tx) *api.ProxyDefaults {
	e, _ := ConfigEntry(tx, api.KindProxyDefaults, api.ProxyDefaultsGlobal).(*api.ProxyDefaults)
	return e
}
