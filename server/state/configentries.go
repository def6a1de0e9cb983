package state

import (
	"encoding/json"
	"fmt"
	"iter"

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

// PutConfigEntry writes an entry, which is not changed afterwards, keeping its create index.
func PutConfigEntry(tx *Tx, e api.ConfigEntry) {
	c := e.Common()
	c.CreateIndex, c.ModifyIndex = tx.index, tx.index
	if old := configEntries.get(tx, tx.key(e.EntryKind(), e.EntryName())); old != nil {
		c.CreateIndex = old.Common().CreateIndex
	}
	configEntries.put(tx, &Entry{e})
	configChanged(tx, e.EntryKind(), e.EntryName())
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
}
