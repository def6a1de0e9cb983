package intention

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// SetDefault says what happens when no intention says anything. The leader writes it from its configuration, so that all
// servers and proxies have it from one source.
type SetDefault struct {
	Allow bool
	Why   string // where it comes from
}

// CommandType implements verb.Command.
func (SetDefault) CommandType() string { return "intention.set-default" }

// Validate implements verb.Command.
func (SetDefault) Validate() error { return nil }

// Needs implements verb.Command.
func (SetDefault) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Write}}
}

// Apply implements verb.Command.
func (d SetDefault) Apply(tx *state.Tx) (any, error) {
	state.PutIntentionDefault(tx, state.DefaultIntention{Allow: d.Allow, Why: d.Why})
	return true, nil
}

// ChangeDefault returns the command that makes the default what it must be, or nil when it is.
func ChangeDefault(tx *state.Tx, allow bool, why string) *SetDefault {
	if d := state.IntentionDefault(tx); d != nil && d.Allow == allow && d.Why == why {
		return nil
	}
	return &SetDefault{allow, why}
}

// defaultRule is the rule that comes last. As long as no leader has said what it is, all is denied.
func defaultRule(tx *state.Tx) (r *Rule, version uint64) {
	r = &Rule{Default: true, Source: api.Wildcard, Why: "no intention matches, and no leader has told the default yet, so all is denied"}
	d := state.IntentionDefault(tx)
	if d == nil {
		return r, 0
	}
	r.Allow = d.Allow
	r.Why = "no intention matches, and the default is to "
	if d.Allow {
		r.Why += api.Allow
	} else {
		r.Why += api.Deny
	}
	if d.Why != "" {
		r.Why += ": " + d.Why
	}
	return r, d.ModifyIndex
}
