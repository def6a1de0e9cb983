package intention

import (
	"net/http"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// The intention API by id is older than config entries. Its intentions have ids, times and metadata, which entries keep in
// their legacy fields, and no HTTP permissions.

// Create makes an intention with a new id, which is the result, a string. There must be none between its names yet.
type Create struct{ api.Intention }

// CommandType implements verb.Command.
func (Create) CommandType() string { return "intention.create" }

// Validate implements verb.Command.
func (c Create) Validate() error {
	if c.DestinationName == "" {
		// The public API judges the right to write before the shape, and nobody has it for no name.
		return api.Errorf(http.StatusForbidden, "Permission denied: DestinationName must be set")
	}
	if c.ID != "" {
		return refusal("ID must be empty when creating an intention: it is given by the server")
	}
	return checkByID(&c.Intention)
}

// checkByID tells all that is wrong with an intention that is written by id.
func checkByID(x *api.Intention) error {
	var wrong []string
	for _, f := range []struct{ name, value string }{{"SourceName", x.SourceName}, {"DestinationName", x.DestinationName}} {
		switch {
		case f.value == "":
			wrong = append(wrong, f.name+" must be set")
		case f.value != api.Wildcard && strings.Contains(f.value, api.Wildcard):
			wrong = append(wrong, f.name+": wildcard character '*' cannot be used with partial values")
		}
	}
	if x.SourceType != "" && x.SourceType != api.SourceConsul {
		wrong = append(wrong, "SourceType must be set to 'consul'")
	}
	if x.Action != api.Allow && x.Action != api.Deny {
		wrong = append(wrong, "Action must be set to 'allow' or 'deny'")
	}
	if len(x.Permissions) > 0 {
		wrong = append(wrong, "Permissions must not be set when using the legacy APIs: write the intention by its names")
	}
	if why := checkMeta(x.Meta); why != "" {
		wrong = append(wrong, why)
	}
	if len(wrong) > 0 {
		return refusal("%s", strings.Join(wrong, "; "))
	}
	return checkPlaces(x)
}

// The bounds of an intention's metadata.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

func checkMeta(meta map[string]string) string {
	if len(meta) > maxMetaPairs {
		return "Meta: more than 64 pairs"
	}
	for k, v := range meta {
		if k == "" || len(k) > maxMetaKey || len(v) > maxMetaValue {
			return "Meta: a key must have 1 to 128 bytes and a value at most 512"
		}
	}
	return ""
}

// Needs implements verb.Command.
func (c Create) Needs(*state.Tx) []api.Permission { return permission(c.DestinationName, api.Write) }

// Stamp implements verb.Stamped.
func (c Create) Stamp(s verb.Stamp) verb.Command {
	c.ID, c.CreatedAt, c.UpdatedAt = s.NewID(), s.Time, s.Time
	return c
}

// Apply implements verb.Command.
func (c Create) Apply(tx *state.Tx) (any, error) {
	if c.ID == "" {
		return nil, refusal("the intention %s -> %s has been given no id", c.SourceName, c.DestinationName)
	}
	e := edit(tx, c.DestinationName)
	e.Sources = append(e.Sources, legacy(source(&c.Intention), &c.Intention, c.ID, c.CreatedAt))
	if err := put(tx, e); err != nil {
		return nil, err
	}
	return c.ID, nil
}

// Update replaces an intention that was made by id, which the result repeats. Its destination stays.
type Update struct{ api.Intention }

// CommandType implements verb.Command.
func (Update) CommandType() string { return "intention.update" }

// Validate implements verb.Command.
func (u Update) Validate() error {
	if why := badID(u.ID); why != "" {
		return refusal("Intention lookup failed: %s", why)
	}
	return checkByID(&u.Intention)
}

// Needs implements verb.Command.
func (u Update) Needs(tx *state.Tx) []api.Permission {
	needs := permission(u.DestinationName, api.Write)
	if e, _ := byID(tx, u.ID); e != nil && e.Name != u.DestinationName {
		needs = append(needs, permission(e.Name, api.Write)...)
	}
	return needs
}

// Stamp implements verb.Stamped.
func (u Update) Stamp(s verb.Stamp) verb.Command {
	u.UpdatedAt = s.Time
	return u
}

// Apply implements verb.Command.
func (u Update) Apply(tx *state.Tx) (any, error) {
	old, i := byID(tx, u.ID)
	if old == nil {
		return nil, refusal("Cannot modify non-existent intention: '%s'", u.ID)
	}
	if old.Name != u.DestinationName {
		return nil, refusal("Cannot modify DestinationName of an intention once it exists: '%s' is for %q; delete it and create another for %q",
			u.ID, old.Name, u.DestinationName)
	}
	e := edit(tx, old.Name)
	e.Sources[i] = legacy(source(&u.Intention), &u.Intention, u.ID, old.Sources[i].LegacyCreateTime)
	if err := put(tx, e); err != nil {
		return nil, err
	}
	return u.ID, nil
}

// DeleteByID removes an intention that was made by id.
type DeleteByID struct{ ID string }

// CommandType implements verb.Command.
func (DeleteByID) CommandType() string { return "intention.delete-by-id" }

// Validate implements verb.Command.
func (d DeleteByID) Validate() error {
	if why := badID(d.ID); why != "" {
		return refusal("Intention lookup failed: %s", why)
	}
	return nil
}

// Needs implements verb.Command.
func (d DeleteByID) Needs(tx *state.Tx) []api.Permission {
	if e, _ := byID(tx, d.ID); e != nil {
		return permission(e.Name, api.Write)
	}
	return nil // there is nothing to be done
}

// Apply implements verb.Command.
func (d DeleteByID) Apply(tx *state.Tx) (any, error) {
	e, i := byID(tx, d.ID)
	if e == nil {
		return nil, refusal("Cannot delete non-existent intention: '%s'", d.ID)
	}
	remove(tx, e.Name, i)
	return true, nil
}
