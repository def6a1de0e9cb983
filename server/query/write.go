package query

import (
	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Create makes a prepared query. Its result is the id.
type Create struct{ api.PreparedQuery }

// CommandType implements verb.Command.
func (Create) CommandType() string { return "query.create" }

// Validate implements verb.Command.
func (c Create) Validate() error {
	if c.ID != "" {
		return refusal("ID must be empty when creating a new prepared query")
	}
	if err := bound(&c.PreparedQuery); err != nil {
		return err
	}
	return validate(&c.PreparedQuery)
}

// Needs implements verb.Command.
func (c Create) Needs(*state.Tx) []api.Permission { return needs(&c.PreparedQuery) }

// needs is what it takes to write a query, none if that cannot be found but by its id.
func needs(q *api.PreparedQuery) []api.Permission {
	if q.Name == "" && q.Template.Type == "" {
		return nil
	}
	return []api.Permission{permission(q.Name, api.Write)}
}

// Stamp implements verb.Stamped.
func (c Create) Stamp(s verb.Stamp) verb.Command {
	c.ID = s.NewID()
	return c
}

// Apply implements verb.Command.
func (c Create) Apply(tx *state.Tx) (any, error) {
	if err := admit(tx, &c.PreparedQuery); err != nil {
		return nil, err
	}
	state.PutPreparedQuery(tx, c.PreparedQuery)
	return c.ID, nil
}

// Update replaces the prepared query with the id.
type Update struct{ api.PreparedQuery }

// CommandType implements verb.Command.
func (Update) CommandType() string { return "query.update" }

// Validate implements verb.Command.
func (c Update) Validate() error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	return validate(&c.PreparedQuery)
}

// Needs implements verb.Command.
func (c Update) Needs(tx *state.Tx) []api.Permission {
	all := needs(&c.PreparedQuery)
	if old := state.PreparedQuery(tx, c.ID); old != nil && old.Name != c.Name {
		all = append(all, needs(old)...)
	}
	return all
}

// Apply implements verb.Command.
func (c Update) Apply(tx *state.Tx) (any, error) {
	if state.PreparedQuery(tx, c.ID) == nil {
		return nil, absent(c.ID)
	}
	if err := admit(tx, &c.PreparedQuery); err != nil {
		return nil, err
	}
	state.PutPreparedQuery(tx, c.PreparedQuery)
	return nil, nil
}

// Delete removes the prepared query with the id.
type Delete struct{ ID string }

// CommandType implements verb.Command.
func (Delete) CommandType() string { return "query.delete" }

// Validate implements verb.Command.
func (c Delete) Validate() error { return checkID(c.ID) }

// Needs implements verb.Command.
func (c Delete) Needs(tx *state.Tx) []api.Permission {
	if old := state.PreparedQuery(tx, c.ID); old != nil {
		return needs(old)
	}
	return nil
}

// Apply implements verb.Command.
func (c Delete) Apply(tx *state.Tx) (any, error) {
	if !state.DeletePreparedQuery(tx, c.ID) {
		return nil, absent(c.ID)
	}
	return nil, nil
}

func absent(id string) error { return refusal("Cannot modify non-existent prepared query: '%s'", id) }

// checkID refuses what cannot be the id of a query.
func checkID(id string) error {
	if isID(id) {
		return nil
	}
	if len(id) != 36 {
		return refusal("Prepared Query lookup failed: failed prepared query lookup: index error: UUID must be 36 characters")
	}
	return refusal("Prepared Query lookup failed: failed prepared query lookup: index error: %q is not a UUID", id)
}

func isID(text string) bool {
	if len(text) != 36 {
		return false
	}
	_, err := uuid.Parse(text)
	return err == nil
}
