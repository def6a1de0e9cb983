package kv

import (
	"errors"
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// keyOp is an operation on keys.
type keyOp api.KVOp

func (o *keyOp) check() error {
	switch o.Verb {
	case api.VerbSet, api.VerbCAS, api.VerbDelete, api.VerbDeleteCAS, api.VerbGet, api.VerbGetOrEmpty, api.VerbCheckIndex, api.VerbCheckNotExists,
		api.VerbDeleteTree:
	case api.VerbGetTree:
		return checkPrefix(o.Key)
	case api.VerbLock, api.VerbUnlock, api.VerbCheckSession:
		if o.Session == "" {
			return errors.New("missing session")
		}
	default:
		return badVerb("KV", o.Verb)
	}
	if !plainTenant(o.Namespace) || !plainTenant(o.Partition) {
		return fmt.Errorf("only the namespace and the partition %q exist in this release", api.DefaultTenant)
	}
	return checkKey(o.Key)
}

func plainTenant(name string) bool { return name == "" || name == api.DefaultTenant }

func (o *keyOp) reads() bool {
	switch o.Verb {
	case api.VerbSet, api.VerbCAS, api.VerbLock, api.VerbUnlock, api.VerbDelete, api.VerbDeleteTree, api.VerbDeleteCAS:
		return false
	}
	return true
}

func (o *keyOp) needs(*state.Tx) []api.Permission {
	switch o.Verb {
	case api.VerbDeleteTree:
		return []api.Permission{{Resource: "key-prefix", Name: o.Key, Access: api.Write}}
	case api.VerbGetTree:
		return []api.Permission{{Resource: "key-prefix", Name: o.Key, Access: api.Read}}
	}
	if o.reads() {
		return permission(o.Key, api.Read)
	}
	return permission(o.Key, api.Write)
}

func (o *keyOp) do(tx *state.Tx) ([]api.TxnResult, error) {
	pair := api.KVPair{Key: o.Key, Value: o.Value, Flags: o.Flags}
	switch o.Verb {
	case api.VerbSet:
		set(tx, pair)
		return o.now(tx), nil
	case api.VerbCAS:
		if at := modifyIndex(state.Key(tx, o.Key)); at != o.Index {
			return nil, fmt.Errorf("key %q is not set: its index is %d, not %d", o.Key, at, o.Index)
		}
		set(tx, pair)
		return o.now(tx), nil
	case api.VerbLock:
		pair.Session = o.Session
		done, err := lock(tx, pair)
		if err != nil {
			return nil, err
		}
		if !done {
			return nil, o.notLocked(tx)
		}
		return o.now(tx), nil
	case api.VerbUnlock:
		pair.Session = o.Session
		if !unlock(tx, pair) {
			return nil, fmt.Errorf("key %q is not unlocked: session %q does not hold the lock", o.Key, o.Session)
		}
		return o.now(tx), nil
	case api.VerbDelete:
		state.DeleteKey(tx, o.Key)
		return nil, nil
	case api.VerbDeleteTree:
		state.DeleteKeys(tx, o.Key)
		return nil, nil
	case api.VerbDeleteCAS:
		if !deletable(tx, o.Key, o.Index) {
			return nil, fmt.Errorf("key %q is not deleted: its index is not %d", o.Key, o.Index)
		}
		state.DeleteKey(tx, o.Key)
		return nil, nil
	}
	return o.read(tx)
}

func (o *keyOp) notLocked(tx *state.Tx) error {
	if p := state.Key(tx, o.Key); p != nil && p.Session != "" {
		return fmt.Errorf("key %q is not locked: session %q holds the lock", o.Key, p.Session)
	}
	return fmt.Errorf("key %q is not locked: the session that held the lock ended a moment ago, and its lock-delay is not over", o.Key)
}

// now shows what the key has become, without its value.
func (o *keyOp) now(tx *state.Tx) []api.TxnResult { return withoutValue(state.Key(tx, o.Key)) }

func withoutValue(p *api.KVPair) []api.TxnResult {
	shown := *p
	shown.Value = nil
	return []api.TxnResult{{KV: &shown}}
}

// read carries out what changes nothing.
func (o *keyOp) read(tx *state.Tx) ([]api.TxnResult, error) {
	if o.Verb == api.VerbGetTree {
		found := []api.TxnResult{}
		for p := range state.Keys(tx, o.Key) {
			found = append(found, api.TxnResult{KV: p})
		}
		return found, nil
	}
	p := state.Key(tx, o.Key)
	switch {
	case o.Verb == api.VerbGetOrEmpty && p == nil:
		return []api.TxnResult{{KV: &api.KVPair{Key: o.Key}}}, nil
	case o.Verb == api.VerbCheckNotExists && p == nil:
		return nil, nil
	case o.Verb == api.VerbCheckNotExists:
		return nil, fmt.Errorf("key %q exists", o.Key)
	case p == nil:
		return nil, fmt.Errorf("key %q does not exist", o.Key)
	case o.Verb == api.VerbCheckSession && p.Session != o.Session:
		return nil, fmt.Errorf("key %q is not locked by session %q", o.Key, o.Session)
	case o.Verb == api.VerbCheckIndex && p.ModifyIndex != o.Index:
		return nil, fmt.Errorf("key %q has the index %d, not %d", o.Key, p.ModifyIndex, o.Index)
	case o.Verb == api.VerbCheckSession, o.Verb == api.VerbCheckIndex:
		return withoutValue(p), nil
	}
	return []api.TxnResult{{KV: p}}, nil
}
