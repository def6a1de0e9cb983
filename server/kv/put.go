package kv

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Put writes a key. Its result is whether it did: it does not when CAS is set and the key's modify index is another. A CAS
// of 0 is for a key that does not exist.
type Put struct {
	Key   string
	Value []byte
	Flags uint64
	CAS   *uint64 `json:",omitempty"`
}

// CommandType implements verb.Command.
func (Put) CommandType() string { return "kv.put" }

// Validate implements verb.Command.
func (p Put) Validate() error { return checkKey(p.Key) }

// Needs implements verb.Command.
func (p Put) Needs(*state.Tx) []api.Permission { return permission(p.Key, api.Write) }

// Apply implements verb.Command.
func (p Put) Apply(tx *state.Tx) (any, error) {
	old := state.Key(tx, p.Key)
	if p.CAS != nil && modifyIndex(old) != *p.CAS {
		return false, nil
	}
	next := api.KVPair{Key: p.Key, Value: p.Value, Flags: p.Flags}
	if old != nil {
		next.LockIndex, next.Session = old.LockIndex, old.Session
	}
	state.PutKey(tx, next)
	return true, nil
}

// modifyIndex is 0 for a key that does not exist.
func modifyIndex(p *api.KVPair) uint64 {
	if p == nil {
		return 0
	}
	return p.ModifyIndex
}

// Delete removes a key, or all whose names begin with it. Its result is whether it did: it does not when CAS is set and
// the key is there with another modify index. What is not there is no obstacle.
type Delete struct {
	Key     string
	Recurse bool    `json:",omitempty"`
	CAS     *uint64 `json:",omitempty"`
}

// CommandType implements verb.Command.
func (Delete) CommandType() string { return "kv.delete" }

// Validate implements verb.Command.
func (d Delete) Validate() error {
	if d.Recurse {
		if d.CAS != nil {
			return api.Errorf(http.StatusBadRequest, "cas and recurse cannot be used together: cas compares one key")
		}
		return nil // an empty prefix is all keys
	}
	return checkKey(d.Key)
}

// Needs implements verb.Command. To remove a tree is to write every key in it, whether there yet or not.
func (d Delete) Needs(*state.Tx) []api.Permission {
	if d.Recurse {
		return []api.Permission{{Resource: "key-prefix", Name: d.Key, Access: api.Write}}
	}
	return permission(d.Key, api.Write)
}

// Apply implements verb.Command.
func (d Delete) Apply(tx *state.Tx) (any, error) {
	if d.Recurse {
		state.DeleteKeys(tx, d.Key)
		return true, nil
	}
	if d.CAS != nil {
		if old := state.Key(tx, d.Key); old != nil && old.ModifyIndex != *d.CAS {
			return false, nil
		}
	}
	state.DeleteKey(tx, d.Key)
	return true, nil
}
