package operator

import (
	"context"
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Keyring has the leader ask the members of one of its pools for their keys, or change them. Agents of its datacenter can do so
// themselves; this is for those that are not in the pool. Its result is a verb.KeyringReply.
type Keyring struct{ verb.KeyringRequest }

// CommandType implements verb.Command.
func (Keyring) CommandType() string { return "operator.keyring" }

// Validate implements verb.Command. Whether a key is one, the members say.
func (k Keyring) Validate() error {
	if slices.Contains([]string{verb.KeysList, verb.KeysInstall, verb.KeysUse, verb.KeysRemove}, k.Do) {
		return nil
	}
	return api.Errorf(400, "keys cannot be told to %q", k.Do)
}

// Needs implements verb.Command.
func (k Keyring) Needs(*state.Tx) []api.Permission {
	p := api.Permission{Resource: "keyring", Access: api.Write}
	if k.Do == verb.KeysList {
		p.Access = api.Read
	}
	return []api.Permission{p}
}

// Apply implements verb.Command.
func (Keyring) Apply(*state.Tx) (any, error) { return nil, verb.ErrAction }

// Act implements verb.Action.
func (k Keyring) Act(_ context.Context, _ *state.Tx, a verb.Actor) (any, error) {
	return a.Keyring(k.KeyringRequest), nil
}
