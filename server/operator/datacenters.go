package operator

import (
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Datacenter is the name of one.
type Datacenter struct{ Name string }

// Datacenters asks which datacenters are known where it is answered, the nearest first. A row is a *Datacenter.
type Datacenters struct{}

// QueryType implements verb.Query.
func (Datacenters) QueryType() string { return "operator.datacenters" }

// Validate implements verb.Query.
func (Datacenters) Validate() error { return nil }

// Needs implements verb.Query.
func (Datacenters) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Datacenters) NewValue() any { return new(Datacenter) }

// Read implements verb.Query.
func (Datacenters) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (Datacenters) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	var rows []*verb.Row
	for i, name := range s.Datacenters() {
		rows = append(rows, &verb.Row{Key: inOrder(i), Value: &Datacenter{name}})
	}
	return rows, nil
}

// inOrder is the key of a row whose place is not its name's.
func inOrder(i int) string { return fmt.Sprintf("%06d", i) }

// Places asks where the servers of all datacenters are in the network, the nearest first. A row is an *api.CoordinateDatacenter.
type Places struct{}

// QueryType implements verb.Query.
func (Places) QueryType() string { return "operator.places" }

// Validate implements verb.Query.
func (Places) Validate() error { return nil }

// Needs implements verb.Query.
func (Places) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Places) NewValue() any { return new(api.CoordinateDatacenter) }

// Read implements verb.Query.
func (Places) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (Places) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	var rows []*verb.Row
	for i, p := range s.Places() {
		rows = append(rows, &verb.Row{Key: inOrder(i), Value: &p})
	}
	return rows, nil
}

// ServersEverywhere asks for the servers of all datacenters. A row is an *api.Member.
type ServersEverywhere struct{}

// QueryType implements verb.Query.
func (ServersEverywhere) QueryType() string { return "operator.servers-everywhere" }

// Validate implements verb.Query.
func (ServersEverywhere) Validate() error { return nil }

// Needs implements verb.Query.
func (ServersEverywhere) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (ServersEverywhere) NewValue() any { return new(api.Member) }

// Read implements verb.Query.
func (ServersEverywhere) Read(*state.Tx) ([]*verb.Row, error) { return nil, verb.ErrNotState }

// ReadServers implements verb.AboutServers.
func (ServersEverywhere) ReadServers(s verb.Servers) ([]*verb.Row, error) {
	var rows []*verb.Row
	for _, m := range s.ServersEverywhere() {
		rows = append(rows, &verb.Row{Key: m.Name, Value: &m})
	}
	return rows, nil
}
