package configentry

import (
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Delete removes an entry. With CAS it does so only if the entry's ModifyIndex is still that one. What is not there is no
// error. Its result is whether the entry is gone.
type Delete struct {
	Kind, Name string
	CAS        *uint64 `json:",omitempty"`
	// Now is the leader's clock, as in Put.
	Now time.Time `json:",omitzero"`
}

// CommandType implements verb.Command.
func (Delete) CommandType() string { return "configentry.delete" }

// Validate implements verb.Command.
func (d Delete) Validate() error {
	if d.Kind == api.KindBoundAPIGateway {
		return refusal("a bound-api-gateway is what the servers make of an api-gateway and its routes; delete those")
	}
	_, err := api.NewConfigEntry(d.Kind)
	return err
}

// Needs implements verb.Command.
func (d Delete) Needs(*state.Tx) []api.Permission { return permissions(d.Kind, d.Name, api.Write) }

// Stamp implements verb.Stamped.
func (d Delete) Stamp(s verb.Stamp) verb.Command {
	if binds(d.Kind) {
		d.Now = s.Time
	}
	return d
}

// Apply implements verb.Command.
func (d Delete) Apply(tx *state.Tx) (any, error) {
	old := state.ConfigEntry(tx, d.Kind, d.Name)
	if old == nil {
		return true, nil
	}
	if d.CAS != nil && *d.CAS != modifyIndex(old) {
		return false, nil
	}
	return true, propose(tx, change{entryKey{d.Kind, d.Name}, nil}).carryOut(d.Now)
}
