package configentry

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
)

// Put writes an entry, over one of its kind and name. With CAS it does so only if the entry's ModifyIndex is still that one
// or, when it is 0, if there is no such entry. Its result is whether it did.
type Put struct {
	Entry []byte  // the public JSON, which names its own kind
	CAS   *uint64 `json:",omitempty"`

	err error // why there is no Entry
}

// NewPut returns the command that writes the entry.
func NewPut(e api.ConfigEntry, cas *uint64) Put {
	data, err := json.Marshal(e)
	return Put{Entry: data, CAS: cas, err: err}
}

// CommandType implements verb.Command.
func (Put) CommandType() string { return "configentry.put" }

// Validate implements verb.Command.
func (p Put) Validate() error {
	if p.err != nil {
		return api.Errorf(http.StatusBadRequest, "config entry: %v", p.err)
	}
	e, err := p.entry()
	if err != nil {
		return err
	}
	return validate(e)
}

// entry decodes the entry anew: what Apply hands to the state belongs to it.
func (p Put) entry() (api.ConfigEntry, error) {
	e, err := api.UnmarshalConfigEntry(p.Entry)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	return e, nil
}

// Needs implements verb.Command.
func (p Put) Needs(*state.Tx) []api.Permission {
	e, err := p.entry()
	if err != nil {
		// Validate has refused it already; if it did not, nobody but an operator may go on.
		return []api.Permission{{Resource: "operator", Access: api.Write}}
	}
	return permissions(e.EntryKind(), e.EntryName(), api.Write)
}

// Apply implements verb.Command.
func (p Put) Apply(tx *state.Tx) (any, error) {
	e, err := p.entry()
	if err != nil {
		return nil, err
	}
	if err := validate(e); err != nil {
		return nil, err
	}
	old := state.ConfigEntry(tx, e.EntryKind(), e.EntryName())
	if p.CAS != nil && *p.CAS != modifyIndex(old) {
		return false, nil
	}
	if err := admit(tx, e); err != nil {
		return nil, err
	}
	normalize(e)
	state.PutConfigEntry(tx, e)
	return true, nil
}

// modifyIndex is 0 for an entry that is not there.
func modifyIndex(e api.ConfigEntry) uint64 {
	if e == nil {
		return 0
	}
	return e.Common().ModifyIndex
}

// normalize writes an entry in the one way in which it is kept.
func normalize(e api.ConfigEntry) {
	switch e := e.(type) {
	case *api.ServiceIntentions:
		state.NormalizeIntentions(e)
	case *api.ServiceRouter:
		normalizeRouter(e)
	default:
		normalizeGateway(e)
	}
	if c := e.Common(); c.Namespace == api.DefaultTenant {
		c.Namespace = ""
	}
	if c := e.Common(); c.Partition == api.DefaultTenant {
		c.Partition = ""
	}
}

// admit judges an entry beside those that stand.
func admit(tx *state.Tx, e api.ConfigEntry) error {
	switch e := e.(type) {
	case *api.ServiceIntentions:
		if err := checkLegacy(e, state.ServiceIntentions(tx, e.Name)); err != nil {
			return err
		}
		return chain.CheckPermissions(e, chain.Protocol(state.ServiceDefaults(tx, e.Name), state.ProxyDefaults(tx)))
	case *api.ServiceDefaults:
		return admitServiceDefaults(tx, e.Name, e)
	case *api.ProxyDefaults:
		return admitProxyDefaults(tx, e)
	}
	return nil
}

// admitServiceDefaults refuses defaults, nil for their absence, that take HTTP from a service whose intentions need it.
func admitServiceDefaults(tx *state.Tx, service string, e *api.ServiceDefaults) error {
	return chain.CheckPermissions(state.ServiceIntentions(tx, service), chain.Protocol(e, state.ProxyDefaults(tx)))
}

// admitProxyDefaults is admitServiceDefaults for all services that rely on the defaults of all proxies.
func admitProxyDefaults(tx *state.Tx, e *api.ProxyDefaults) error {
	for _, i := range state.AllIntentions(tx) {
		if err := chain.CheckPermissions(i, chain.Protocol(state.ServiceDefaults(tx, i.Name), e)); err != nil {
			return err
		}
	}
	return nil
}

// checkLegacy refuses to have the fields set that only the intention API by id sets. An entry may repeat them, so that what
// was read can be written back; one that leaves them out ends the intention's id.
func checkLegacy(e, old *api.ServiceIntentions) error {
	for i, s := range e.Sources {
		var was api.SourceIntention
		if at := state.SourceIndex(old, s.Name, s.Peer); at >= 0 {
			was = old.Sources[at]
		}
		field := ""
		switch {
		case s.LegacyID != "" && s.LegacyID != was.LegacyID:
			field = "LegacyID"
		case len(s.LegacyMeta) > 0 && (s.LegacyID == "" || !maps.Equal(s.LegacyMeta, was.LegacyMeta)):
			field = "LegacyMeta"
		case !s.LegacyCreateTime.IsZero() && (s.LegacyID == "" || !s.LegacyCreateTime.Equal(was.LegacyCreateTime)):
			field = "LegacyCreateTime"
		case !s.LegacyUpdateTime.IsZero() && (s.LegacyID == "" || !s.LegacyUpdateTime.Equal(was.LegacyUpdateTime)):
			field = "LegacyUpdateTime"
		}
		if field != "" {
			return refusal("Sources[%d].%s must be omitted: only the intention API by id sets it", i, field)
		}
	}
	return nil
}
