package intention

import (
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Upsert writes the intention from its source to its destination, over one that is there. An intention that was made by id
// keeps its id.
type Upsert struct{ api.Intention }

// CommandType implements verb.Command.
func (Upsert) CommandType() string { return "intention.upsert" }

// Validate implements verb.Command. What is wrong with the rest is told by Apply: its place among the others is part of it.
func (u Upsert) Validate() error {
	if err := checkPair(u.SourceName, u.DestinationName); err != nil {
		return err
	}
	return checkPlaces(&u.Intention)
}

// checkPlaces refuses what cannot be kept in an entry of the default tenant.
func checkPlaces(x *api.Intention) error {
	for _, f := range []struct{ name, value string }{
		{"SourceNS", x.SourceNS}, {"SourcePartition", x.SourcePartition},
		{"DestinationNS", x.DestinationNS}, {"DestinationPartition", x.DestinationPartition},
	} {
		if !isDefault(f.value) {
			return refusal("%s %q: this release knows only %q", f.name, f.value, api.DefaultTenant)
		}
	}
	return nil
}

// Needs implements verb.Command.
func (u Upsert) Needs(*state.Tx) []api.Permission { return permission(u.DestinationName, api.Write) }

// Stamp implements verb.Stamped.
func (u Upsert) Stamp(s verb.Stamp) verb.Command {
	u.UpdatedAt = s.Time
	return u
}

// Apply implements verb.Command.
func (u Upsert) Apply(tx *state.Tx) (any, error) {
	if err := u.Validate(); err != nil {
		return nil, err
	}
	e := edit(tx, u.DestinationName)
	i := state.SourceIndex(e, u.SourceName, u.SourcePeer)
	if i < 0 {
		e.Sources = append(e.Sources, api.SourceIntention{})
		i = len(e.Sources) - 1
	}
	s, old := source(&u.Intention), e.Sources[i]
	switch {
	case u.ID != "" && u.ID != old.LegacyID:
		return nil, refusal("ID must be empty: the intention %s -> %s has not the id %q", u.SourceName, u.DestinationName, u.ID)
	case old.LegacyID != "":
		s = legacy(s, &u.Intention, old.LegacyID, old.LegacyCreateTime)
	case len(u.Meta) > 0:
		return nil, refusal("Meta must be omitted: only an intention that was made by id has it")
	}
	e.Sources[i] = s
	if err := put(tx, e); err != nil {
		return nil, err
	}
	return true, nil
}

// source is what an intention says, in the shape of an entry.
func source(x *api.Intention) api.SourceIntention {
	return api.SourceIntention{
		Name: x.SourceName, Peer: x.SourcePeer, Type: x.SourceType, Action: x.Action, Permissions: x.Permissions,
		Description: x.Description,
	}
}

// legacy adds what only intentions made by id have. Times must have been stamped.
func legacy(s api.SourceIntention, x *api.Intention, id string, created time.Time) api.SourceIntention {
	s.LegacyID, s.LegacyMeta, s.LegacyCreateTime, s.LegacyUpdateTime = id, x.Meta, created, x.UpdatedAt
	return s
}

// edit returns the entry of a destination to be changed and put, a new one if there is none.
func edit(tx *state.Tx, destination string) *api.ServiceIntentions {
	old := state.ServiceIntentions(tx, destination)
	if old == nil {
		return &api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: destination}
	}
	e := *old
	e.Sources = slices.Clone(old.Sources)
	return &e
}

// put checks an entry and writes it. Nothing has been written when it fails.
func put(tx *state.Tx, e *api.ServiceIntentions) error {
	state.NormalizeIntentions(e)
	if err := state.CheckIntentions(e); err != nil {
		return err
	}
	if err := state.CheckProviders(e, func(name string) bool { return state.HasJWTProvider(tx, name) }); err != nil {
		return err
	}
	if err := chain.CheckPermissions(e, chain.Protocol(state.ServiceDefaults(tx, e.Name), state.ProxyDefaults(tx))); err != nil {
		return err
	}
	state.PutConfigEntry(tx, e)
	return nil
}

// Delete removes the intention from a source to a destination. What is not there is no error; the result is whether it was.
type Delete struct{ Source, Destination string }

// CommandType implements verb.Command.
func (Delete) CommandType() string { return "intention.delete" }

// Validate implements verb.Command.
func (d Delete) Validate() error { return checkPair(d.Source, d.Destination) }

// Needs implements verb.Command.
func (d Delete) Needs(*state.Tx) []api.Permission { return permission(d.Destination, api.Write) }

// Apply implements verb.Command.
func (d Delete) Apply(tx *state.Tx) (any, error) {
	i := state.SourceIndex(state.ServiceIntentions(tx, d.Destination), d.Source, "")
	if i < 0 {
		return false, nil
	}
	remove(tx, d.Destination, i)
	return true, nil
}

// remove takes a source out of an entry. The entry goes with its last one.
func remove(tx *state.Tx, destination string, i int) {
	e := edit(tx, destination)
	e.Sources = slices.Delete(e.Sources, i, i+1)
	if len(e.Sources) == 0 {
		state.DeleteConfigEntry(tx, api.KindServiceIntentions, destination)
		return
	}
	state.PutConfigEntry(tx, e)
}
