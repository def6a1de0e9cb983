package catalog

import (
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// ServiceName is a service's name with the tags of all its instances, sorted.
type ServiceName struct {
	Name string
	Tags []string
}

// Services lists the names of all services. A row is a *ServiceName.
type Services struct{}

// QueryType implements verb.Query.
func (Services) QueryType() string { return "catalog.services" }

// Validate implements verb.Query.
func (Services) Validate() error { return nil }

// Needs implements verb.Query.
func (Services) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Services) NewValue() any { return new(ServiceName) }

// Read implements verb.Query.
func (Services) Read(tx *state.Tx) ([]*verb.Row, error) {
	names := map[string]*ServiceName{}
	for i := range state.Instances(tx) {
		n := names[i.Service.Service]
		if n == nil {
			n = &ServiceName{Name: i.Service.Service, Tags: []string{}}
			names[n.Name] = n
		}
		n.Tags = append(n.Tags, i.Service.Tags...)
	}
	rows := make([]*verb.Row, 0, len(names))
	for name, n := range names {
		slices.Sort(n.Tags)
		n.Tags = slices.Compact(n.Tags)
		rows = append(rows, &verb.Row{
			Key: name, Version: textVersion(n.Tags), Value: n, Needs: []api.Permission{readService(name)},
		})
	}
	return rows, nil
}

// textVersion is the version of a row that consists of words.
func textVersion(words []string) uint64 {
	var all []uint64
	for _, w := range words {
		for _, b := range []byte(w) {
			all = append(all, uint64(b))
		}
		all = append(all, 256)
	}
	return verb.Version(all...)
}

// Instances lists the instances of a service with their nodes, or of all services when Name is empty. A row is an
// *api.CatalogService.
type Instances struct {
	Name string
	// Mesh asks for what answers for the service in the mesh: its sidecars, or its own instances when they are native.
	Mesh bool
	// Central asks for proxies with the defaults of their services and of all proxies merged in.
	Central bool
}

// QueryType implements verb.Query.
func (Instances) QueryType() string { return "catalog.instances" }

// Validate implements verb.Query.
func (Instances) Validate() error { return nil }

// Needs implements verb.Query.
func (Instances) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Instances) NewValue() any { return new(api.CatalogService) }

// Read implements verb.Query.
func (q Instances) Read(tx *state.Tx) ([]*verb.Row, error) {
	seq := state.ServiceInstances(tx, q.Name, false)
	switch {
	case q.Mesh:
		seq = state.MeshInstances(tx, q.Name)
	case q.Name == "":
		seq = state.Instances(tx)
	}
	var rows []*verb.Row
	for i := range seq {
		n := state.PeekNode(tx, i.Node)
		if n == nil {
			continue
		}
		service, indexes := i.Service, []uint64{n.ModifyIndex, i.Service.ModifyIndex}
		if q.Central {
			var merged []uint64
			service, merged = central(tx, service)
			indexes = append(indexes, merged...)
		}
		v := api.NewCatalogService(n, &service)
		rows = append(rows, &verb.Row{
			Key:     rowKey(fold(i.Node), i.Service.ID),
			Version: verb.Version(indexes...),
			Value:   &v,
			Needs:   []api.Permission{readNode(n.Node), readService(i.Service.Service)},
		})
	}
	return rows, nil
}
