package kv

import (
	"errors"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// MaxSessionTTL is the longest time to live that a session can have.
const MaxSessionTTL = 24 * time.Hour

// CreateSession makes a session. Its result is the session's id, which the leader stamps.
type CreateSession struct{ Session api.Session }

// CommandType implements verb.Command.
func (CreateSession) CommandType() string { return "session.create" }

// Validate implements verb.Command.
func (c CreateSession) Validate() error {
	s := &c.Session
	if s.Node == "" {
		return api.Errorf(http.StatusInternalServerError, "Must provide Node")
	}
	switch s.Behavior {
	case api.SessionRelease, api.SessionDelete:
	default:
		return api.Errorf(http.StatusInternalServerError, "Invalid Behavior setting '%s'", s.Behavior)
	}
	return CheckSessionTTL(s.TTL, 0)
}

// CheckSessionTTL tells what is wrong with a session's time to live. None is fine.
func CheckSessionTTL(text string, least time.Duration) error {
	if text == "" {
		return nil
	}
	ttl, err := time.ParseDuration(text)
	if err != nil {
		return api.Errorf(http.StatusInternalServerError, "Session TTL '%s' invalid: %v", text, err)
	}
	if ttl != 0 && (ttl < least || ttl > MaxSessionTTL) {
		return api.Errorf(http.StatusInternalServerError, "Invalid Session TTL '%d', must be between [%v=%v]", ttl, least, MaxSessionTTL)
	}
	return nil
}

// Needs implements verb.Command.
func (c CreateSession) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "session", Name: c.Session.Node, Access: api.Write}}
}

// Stamp implements verb.Stamped.
func (c CreateSession) Stamp(s verb.Stamp) verb.Command {
	c.Session.ID = s.NewID()
	return c
}

// Apply implements verb.Command.
func (c CreateSession) Apply(tx *state.Tx) (any, error) {
	s := c.Session
	n := state.Node(tx, s.Node)
	if n == nil {
		return nil, notMade("Missing node registration")
	}
	s.Node = n.Node
	for _, id := range s.NodeChecks {
		if err := healthy(tx, s.Node, id); err != nil {
			return nil, err
		}
	}
	for _, check := range s.ServiceChecks {
		if err := healthy(tx, s.Node, check.ID); err != nil {
			return nil, err
		}
	}
	state.PutSession(tx, s)
	return s.ID, nil
}

// healthy refuses a check that is not there, or that would end the session at once.
func healthy(tx *state.Tx, node, id string) error {
	switch c := state.NodeCheck(tx, node, id); {
	case c == nil:
		return notMade("Missing check '%s' registration", id)
	case c.Status == api.Critical:
		return notMade("Check '%s' is in critical state", id)
	}
	return nil
}

func notMade(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, "apply failed: "+format, args...)
}

// DestroySession ends a session. What is not there is no error.
type DestroySession struct{ ID string }

// CommandType implements verb.Command.
func (DestroySession) CommandType() string { return "session.destroy" }

// Validate implements verb.Command.
func (d DestroySession) Validate() error { return checkSessionID(d.ID) }

// Needs implements verb.Command.
func (d DestroySession) Needs(tx *state.Tx) []api.Permission { return writeSession(tx, d.ID) }

// Apply implements verb.Command.
func (d DestroySession) Apply(tx *state.Tx) (any, error) {
	state.EndSession(tx, d.ID)
	return true, nil
}

// RenewSession gives a session its whole time to live from now on. Its result is the *api.Session. It is never replicated: the
// leader keeps the deadlines, and a new leader gives every session its whole time.
type RenewSession struct{ ID string }

// CommandType implements verb.Command.
func (RenewSession) CommandType() string { return "session.renew" }

// Validate implements verb.Command.
func (r RenewSession) Validate() error { return checkSessionID(r.ID) }

// Needs implements verb.Command.
func (r RenewSession) Needs(tx *state.Tx) []api.Permission { return writeSession(tx, r.ID) }

// Apply implements verb.Command.
func (RenewSession) Apply(*state.Tx) (any, error) {
	return nil, errors.New("the renewal of a session is not replicated")
}

// ApplyAtLeader implements verb.AtLeader.
func (r RenewSession) ApplyAtLeader(tx *state.Tx, l verb.Leader) (any, error) {
	s := state.Session(tx, r.ID)
	if s == nil || !l.RenewSession(s) {
		return nil, api.Errorf(http.StatusNotFound, "Session id '%s' not found", r.ID)
	}
	return s, nil
}

func checkSessionID(id string) error {
	if id == "" {
		return api.Errorf(http.StatusBadRequest, "Missing session")
	}
	return nil
}

// writeSession is what it takes to change a session. It takes nothing to change none.
func writeSession(tx *state.Tx, id string) []api.Permission {
	s := state.Session(tx, id)
	if s == nil {
		return nil
	}
	return []api.Permission{{Resource: "session", Name: s.Node, Access: api.Write}}
}

// Expire is how the leader tells that time is up: for sessions that were not renewed, and for delays that keep keys from being
// locked.
type Expire struct {
	Sessions []string       `json:",omitempty"`
	Delays   []ExpiredDelay `json:",omitempty"`
}

// ExpiredDelay names a delay by its key and the index at which it began.
type ExpiredDelay struct {
	Key   string
	Index uint64
}

// CommandType implements verb.Command.
func (Expire) CommandType() string { return "session.expire" }

// Validate implements verb.Command.
func (Expire) Validate() error { return nil }

// Needs implements verb.Command.
func (Expire) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Write}}
}

// Apply implements verb.Command.
func (e Expire) Apply(tx *state.Tx) (any, error) {
	for _, id := range e.Sessions {
		state.EndSession(tx, id)
	}
	for _, d := range e.Delays {
		state.EndLockDelay(tx, d.Key, d.Index)
	}
	return true, nil
}
