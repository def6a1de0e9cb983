package operator

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// SetAutopilot changes how the leader looks after the servers. Its result is whether it did: it does not when CAS is set and the
// configuration has another modify index.
type SetAutopilot struct {
	Config api.AutopilotConfiguration
	CAS    *uint64 `json:",omitempty"`
}

// FirstAutopilot returns what writes the configuration of a new cluster, or nil where there is one.
func FirstAutopilot(tx *state.Tx, c api.AutopilotConfiguration) verb.Command {
	if state.Autopilot(tx) != nil {
		return nil
	}
	none := uint64(0)
	return SetAutopilot{Config: c, CAS: &none}
}

// CommandType implements verb.Command.
func (SetAutopilot) CommandType() string { return "operator.set-autopilot" }

// Validate implements verb.Command.
func (s SetAutopilot) Validate() error {
	for _, d := range []struct {
		name  string
		value api.Duration
	}{{"LastContactThreshold", s.Config.LastContactThreshold}, {"ServerStabilizationTime", s.Config.ServerStabilizationTime}} {
		if d.value < 0 {
			return api.Errorf(http.StatusBadRequest, "%s is %s: it must not be negative", d.name, d.value)
		}
	}
	return nil
}

// Needs implements verb.Command.
func (SetAutopilot) Needs(*state.Tx) []api.Permission { return mayWrite() }

// Apply implements verb.Command.
func (s SetAutopilot) Apply(tx *state.Tx) (any, error) {
	if s.CAS != nil {
		index := uint64(0)
		if old := state.Autopilot(tx); old != nil {
			index = old.ModifyIndex
		}
		if index != *s.CAS {
			return false, nil
		}
	}
	state.PutAutopilot(tx, s.Config)
	return true, nil
}

// mayRead is what queries of an operator need.
func mayRead() []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Read}}
}

// Autopilot asks how the leader looks after the servers. There is one row, an *api.AutopilotConfiguration.
type Autopilot struct{}

// QueryType implements verb.Query.
func (Autopilot) QueryType() string { return "operator.autopilot" }

// Validate implements verb.Query.
func (Autopilot) Validate() error { return nil }

// Needs implements verb.Query.
func (Autopilot) Needs() []api.Permission { return mayRead() }

// NewValue implements verb.Query.
func (Autopilot) NewValue() any { return new(api.AutopilotConfiguration) }

// Read implements verb.Query.
func (Autopilot) Read(tx *state.Tx) ([]*verb.Row, error) {
	c := state.Autopilot(tx)
	if c == nil {
		return nil, api.Errorf(http.StatusInternalServerError, "there is no autopilot configuration yet: the first leader writes it")
	}
	return []*verb.Row{{Version: c.ModifyIndex, Value: c}}, nil
}

// AutopilotState asks how the servers are, as the leader sees them. There is one row, an *api.AutopilotState.
type AutopilotState struct{}

// QueryType implements verb.Query.
func (AutopilotState) QueryType() string { return "operator.autopilot-state" }

// Validate implements verb.Query.
func (AutopilotState) Validate() error { return nil }

// Needs implements verb.Query.
func (AutopilotState) Needs() []api.Permission { return mayRead() }

// NewValue implements verb.Query.
func (AutopilotState) NewValue() any { return new(api.AutopilotState) }

// Read implements verb.Query.
func (AutopilotState) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (AutopilotState) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	found, err := s.AutopilotState()
	if err != nil {
		return nil, err
	}
	return []*verb.Row{{Value: &found}}, nil
}

// Progress asks a server how far it has come in the log. The leader asks it of the others. There is one row, a *verb.Progress.
type Progress struct{}

// QueryType implements verb.Query.
func (Progress) QueryType() string { return "operator.progress" }

// Validate implements verb.Query.
func (Progress) Validate() error { return nil }

// Needs implements verb.Query.
func (Progress) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Progress) NewValue() any { return new(verb.Progress) }

// Read implements verb.Query.
func (Progress) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (Progress) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	p := s.Progress()
	return []*verb.Row{{Value: &p}}, nil
}
