package configentry

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Delete removes an entry. With CAS it does so only if the entry's ModifyIndex is still that one. What is not there is no
// error. Its result is whether the entry is gone.
type Delete struct {
	Kind, Name string
	CAS        *uint64 `json:",omitempty"`
}

// CommandType implements verb.Command.
func (Delete) CommandType() string { return "configentry.delete" }

// Validate implements verb.Command.
func (d Delete) Validate() error {
	_, err := api.NewConfigEntry(d.Kind)
	return err
}

// Needs implements verb.Command.
func (d Delete) Needs(*state.Tx) []api.Permission { return permissions(d.Kind, d.Name, api.Write) }

// Apply implements verb.Command.
func (d Delete) Apply(tx *state.Tx) (any, error) {
	old := state.ConfigEntry(tx, d.Kind, d.Name)
	if old == nil {
		return true, nil
	}
	if d.CAS != nil && *d.CAS != modifyIndex(old) {
		return false, nil
	}
	var err error
	switch d.Kind {
	case api.KindServiceDefaults:
		err = admitServiceDefaults(tx, d.Name, nil)
	case api.KindProxyDefaults:
		err = admitProxyDefaults(tx, nil)
	}
	if err != nil {
		return nil, err
	}
	state.DeleteConfigEntry(tx, d.Kind, d.Name)
	return true, nil
}
