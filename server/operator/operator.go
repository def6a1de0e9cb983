// Package operator is what can be asked about the servers themselves: who leads, and who replicates the state. Its queries
// read no state; they are answered by what Raft and gossip know where they run.
package operator

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Address is where a server answers the others, as host:port.
type Address struct{ Addr string }

// Leader asks for the leader's address. The row is an *Address; none while nobody leads.
type Leader struct{}

// QueryType implements verb.Query.
func (Leader) QueryType() string { return "operator.leader" }

// Validate implements verb.Query.
func (Leader) Validate() error { return nil }

// Needs implements verb.Query.
func (Leader) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Leader) NewValue() any { return new(Address) }

// Read implements verb.Query.
func (Leader) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (Leader) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	addr := s.LeaderAddr()
	if addr == "" {
		return nil, nil
	}
	return []*verb.Row{{Key: addr, Value: &Address{addr}}}, nil
}

// Peers asks for the addresses of all servers. A row is an *Address.
type Peers struct{}

// QueryType implements verb.Query.
func (Peers) QueryType() string { return "operator.peers" }

// Validate implements verb.Query.
func (Peers) Validate() error { return nil }

// Needs implements verb.Query.
func (Peers) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Peers) NewValue() any { return new(Address) }

// Read implements verb.Query.
func (Peers) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (Peers) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	c, err := s.RaftConfiguration()
	if err != nil {
		return nil, err
	}
	var rows []*verb.Row
	for _, srv := range c.Servers {
		rows = append(rows, &verb.Row{Key: srv.Address, Value: &Address{srv.Address}})
	}
	return rows, nil
}

// RaftConfiguration asks which servers replicate the state. The row is an *api.RaftConfiguration.
type RaftConfiguration struct{}

// QueryType implements verb.Query.
func (RaftConfiguration) QueryType() string { return "operator.raft-configuration" }

// Validate implements verb.Query.
func (RaftConfiguration) Validate() error { return nil }

// Needs implements verb.Query.
func (RaftConfiguration) Needs() []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Read}}
}

// NewValue implements verb.Query.
func (RaftConfiguration) NewValue() any { return new(api.RaftConfiguration) }

// Read implements verb.Query.
func (RaftConfiguration) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (RaftConfiguration) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	c, err := s.RaftConfiguration()
	if err != nil {
		return nil, err
	}
	return []*verb.Row{{Value: &c}}, nil
}
