package http

import (
	"cmp"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
)

var chainRoutes = []route{
	on("/v1/discovery-chain/", get(discoveryChain), post(discoveryChain)),
}

// chainOverrides is the body with which somebody asks how a chain would be for a proxy with settings of its own.
type chainOverrides struct {
	OverrideConnectTimeout api.Duration
	OverrideProtocol       string
	OverrideMeshGateway    api.MeshGateway
}

// discoveryChain shows how a service's name becomes instances.
func discoveryChain(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing chain name")
	}
	q := configentry.Chain{Service: r.name, Datacenter: cmp.Or(r.param("compile-dc"), r.param("dc"), r.s.opts.Datacenter)}
	if r.Method == http.MethodPost {
		var over chainOverrides
		if err := r.decodeAs(http.StatusBadRequest, "Request decoding failed", &over); err != nil {
			return nil, err
		}
		q.Overrides.ConnectTimeout, q.Overrides.Protocol, q.Overrides.MeshGateway =
			over.OverrideConnectTimeout, over.OverrideProtocol, over.OverrideMeshGateway
	}
	a, err := r.discover(q)
	if err != nil {
		return nil, err
	}
	row, err := only(a)
	if err != nil {
		return nil, err
	}
	return struct{ Chain any }{row.Value}, nil
}
