package configentry

import (
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Exported reads which services are exported, and to whom. The rows are *api.ResolvedExport, one for each service.
type Exported struct{}

// QueryType implements verb.Query.
func (Exported) QueryType() string { return "configentry.exported" }

// Validate implements verb.Query.
func (Exported) Validate() error { return nil }

// Needs implements verb.Query.
func (Exported) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Exported) NewValue() any { return new(api.ResolvedExport) }

// Read implements verb.Query. A service that is meant with all others is named by those alone that are registered.
func (Exported) Read(tx *state.Tx) ([]*verb.Row, error) {
	e := typed[*api.ExportedServices](state.ConfigEntry(tx, api.KindExportedServices, api.ExportedServicesDefault))
	if e == nil {
		return nil, nil
	}
	peers := map[string][]string{}
	for _, s := range e.Services {
		names := []string{s.Name}
		if s.Name == api.Wildcard {
			names = registered(tx)
		}
		for _, name := range names {
			for _, c := range s.Consumers {
				if c.Peer != "" && !slices.Contains(peers[name], c.Peer) {
					peers[name] = append(peers[name], c.Peer)
				}
			}
		}
	}
	var rows []*verb.Row
	for _, name := range sorted(peers) {
		slices.Sort(peers[name])
		rows = append(rows, &verb.Row{
			Key: name, Version: e.ModifyIndex, // whoever is exported with all others is so to the same peers, for as long as the entry stands
			Value: &api.ResolvedExport{Service: name, Consumers: api.ResolvedConsumers{Peers: peers[name]}},
			Needs: []api.Permission{{Resource: "service", Name: name, Access: api.Read}},
		})
	}
	return rows, nil
}

// registered lists the services, other than proxies and gateways, that have instances.
func registered(tx *state.Tx) []string {
	names := map[string]bool{}
	for i := range state.Instances(tx) {
		if i.Service.Kind == api.KindTypical && i.Service.Service != "consul" {
			names[i.Service.Service] = true
		}
	}
	return sorted(names)
}
