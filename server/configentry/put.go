package configentry

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Put writes an entry, over one of its kind and name. With CAS it does so only if the entry's ModifyIndex is still that one
// or, when it is 0, if there is no such entry. Its result is whether it did.
type Put struct {
	Entry []byte  // the public JSON, which names its own kind
	CAS   *uint64 `json:",omitempty"`
	// Now is the leader's clock, for entries whose status tells since when something holds.
	Now time.Time `json:",omitzero"`

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

// Stamp implements verb.Stamped.
func (p Put) Stamp(s verb.Stamp) verb.Command {
	if e, err := p.entry(); err == nil && binds(e.EntryKind()) {
		p.Now = s.Time
	}
	return p
}

// Apply implements verb.Command.
func (p Put) Apply(tx *state.Tx) (any, error) {
	e, err := p.entry()
	if err != nil {
		return nil, err
	}
	if p.CAS != nil && *p.CAS != modifyIndex(state.ConfigEntry(tx, e.EntryKind(), e.EntryName())) {
		return false, nil
	}
	return true, propose(tx, change{entryKey{e.EntryKind(), e.EntryName()}, e}).carryOut(p.Now)
}

// modifyIndex is 0 for an entry that is not there.
func modifyIndex(e api.ConfigEntry) uint64 {
	if e == nil {
		return 0
	}
	return e.Common().ModifyIndex
}

// Normalize writes an entry in the one way in which it is kept, as it will be read but for what the servers say of it.
func Normalize(e api.ConfigEntry) {
	normalize(e)
	if s := status(e); s != nil {
		*s = api.EntryStatus{}
	}
	c := e.Common()
	c.Hash, c.CreateIndex, c.ModifyIndex = 0, 0, 0
}

// normalize is Normalize for an entry that will have what the servers say of it.
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
