package operator

import (
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Usage asks how much is in the catalog. There is one row, an *api.ServiceUsage.
type Usage struct{}

// serverService is the servers' own.
const serverService = "consul"

// QueryType implements verb.Query.
func (Usage) QueryType() string { return "operator.usage" }

// Validate implements verb.Query.
func (Usage) Validate() error { return nil }

// Needs implements verb.Query.
func (Usage) Needs() []api.Permission { return mayRead() }

// NewValue implements verb.Query.
func (Usage) NewValue() any { return new(api.ServiceUsage) }

// Read implements verb.Query.
func (Usage) Read(tx *state.Tx) ([]*verb.Row, error) {
	u := &api.ServiceUsage{ConnectServiceInstances: map[string]int{
		api.KindConnectProxy: 0, api.KindMeshGateway: 0, api.KindTerminatingGateway: 0, api.KindIngressGateway: 0, api.KindAPIGateway: 0, native: 0,
	}}
	for range state.Nodes(tx) {
		u.Nodes++
	}
	names := map[string]bool{}
	for i := range state.Instances(tx) {
		u.ServiceInstances++
		names[strings.ToLower(i.Service.Service)] = true
		if i.Service.Kind != api.KindTypical {
			u.ConnectServiceInstances[i.Service.Kind]++
			continue
		}
		if i.Service.Connect != nil && i.Service.Connect.Native {
			u.ConnectServiceInstances[native]++
		}
		if i.Service.Service != serverService {
			u.BillableServiceInstances++
		}
	}
	u.Services = len(names)
	_, version := tx.Seen()
	return []*verb.Row{{Version: version, Value: u}}, nil
}

const native = "connect-native"
