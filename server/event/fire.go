// Package event is the noun of what is told to all agents of a datacenter at once. Agents tell one another themselves, by gossip; here
// is only the way for whoever asks from another datacenter.
package event

import (
	"context"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Fire has the leader tell an event to all agents of its datacenter. Its result is the event with its id. Asked twice it may be told
// twice, under the same id.
type Fire struct{ Event api.UserEvent }

// CommandType implements verb.Command.
func (Fire) CommandType() string { return "event.fire" }

// Validate implements verb.Command. What is wrong beyond that, the agent finds which tells the event.
func (f Fire) Validate() error {
	if f.Event.Name == "" {
		return api.Errorf(400, "Missing name")
	}
	return nil
}

// Needs implements verb.Command.
func (f Fire) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "event", Name: f.Event.Name, Access: api.Write}}
}

// Apply implements verb.Command.
func (Fire) Apply(*state.Tx) (any, error) { return nil, verb.ErrAction }

// Act implements verb.Action.
func (f Fire) Act(_ context.Context, _ *state.Tx, a verb.Actor) (any, error) { return a.Fire(f.Event) }
