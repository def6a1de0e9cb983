package configentry

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Central reads what config entries say of the proxies of a service, which need not exist. There is always one row, a *Defaults.
type Central struct{ Service string }

// Defaults are the entries that a proxy's configuration is merged with. What is absent is nil.
type Defaults struct {
	Service *api.ServiceDefaults
	Proxies *api.ProxyDefaults
	Mesh    *api.MeshEntry
}

// Merge returns a registered proxy with what the entries say. The registration is not changed, and what it says is the strongest.
func (d *Defaults) Merge(p *api.Proxy) *api.Proxy { return chain.Central(p, d.Service, d.Proxies) }

// QueryType implements verb.Query.
func (Central) QueryType() string { return "configentry.central" }

// Validate implements verb.Query.
func (q Central) Validate() error {
	if q.Service == "" {
		return api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	return nil
}

// Needs implements verb.Query.
func (q Central) Needs() []api.Permission {
	return []api.Permission{{Resource: "service", Name: q.Service, Access: api.Read}}
}

// NewValue implements verb.Query.
func (Central) NewValue() any { return new(Defaults) }

// Read implements verb.Query.
func (q Central) Read(tx *state.Tx) ([]*verb.Row, error) {
	d := &Defaults{Service: state.ServiceDefaults(tx, q.Service), Proxies: state.ProxyDefaults(tx)}
	d.Mesh, _ = state.ConfigEntry(tx, api.KindMesh, api.MeshEntryName).(*api.MeshEntry)
	// Which of them are there is part of the version, too.
	indexes := make([]uint64, 3)
	if d.Service != nil {
		indexes[0] = d.Service.ModifyIndex
	}
	if d.Proxies != nil {
		indexes[1] = d.Proxies.ModifyIndex
	}
	if d.Mesh != nil {
		indexes[2] = d.Mesh.ModifyIndex
	}
	return []*verb.Row{{Key: q.Service, Version: verb.Version(indexes...), Value: d}}, nil
}
