package kv

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Put writes a key. Its result is whether it did. At most one of these is set:
//   - CAS: only if the key's modify index is this one; 0 is for a key that does not exist.
//   - Acquire: and lock it for this session, unless another one has, or had a moment ago. The holder may do so again.
//   - Release: and unlock it, if this session has it locked.
//
// Others may write a locked key: locks are between those who ask for them.
type Put struct {
	Key     string
	Value   []byte
	Flags   uint64
	CAS     *uint64 `json:",omitempty"`
	Acquire *string `json:",omitempty"`
	Release *string `json:",omitempty"`
}

// CommandType implements verb.Command.
func (Put) CommandType() string { return "kv.put" }

// Validate implements verb.Command.
func (p Put) Validate() error {
	given := 0
	for _, is := range []bool{p.CAS != nil, p.Acquire != nil, p.Release != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return api.Errorf(http.StatusBadRequest, "only one of cas, acquire and release can be used")
	}
	if p.Acquire != nil && *p.Acquire == "" || p.Release != nil && *p.Release == "" {
		return errNoSession
	}
	return checkKey(p.Key)
}

// Needs implements verb.Command.
func (p Put) Needs(*state.Tx) []api.Permission { return permission(p.Key, api.Write) }

// Apply implements verb.Command.
func (p Put) Apply(tx *state.Tx) (any, error) {
	next := api.KVPair{Key: p.Key, Value: p.Value, Flags: p.Flags}
	switch {
	case p.Acquire != nil:
		next.Session = *p.Acquire
		return lock(tx, next)
	case p.Release != nil:
		next.Session = *p.Release
		return unlock(tx, next), nil
	case p.CAS != nil && modifyIndex(state.Key(tx, p.Key)) != *p.CAS:
		return false, nil
	}
	set(tx, next)
	return true, nil
}

// set writes a key. The lock stays, but how often it was taken is forgotten: so the public API does, and a client that
// compares the count must see the same here.
func set(tx *state.Tx, next api.KVPair) {
	if old := state.Key(tx, next.Key); old != nil {
		next.Session = old.Session
	}
	state.PutKey(tx, next)
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
	if d.CAS != nil && !deletable(tx, d.Key, *d.CAS) {
		return false, nil
	}
	state.DeleteKey(tx, d.Key)
	return true, nil
}

// deletable tells whether a key is gone or still has its modify index.
func deletable(tx *state.Tx, key string, index uint64) bool {
	old := state.Key(tx, key)
	return old == nil || old.ModifyIndex == index
}
