package catalog

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
)

// central returns an instance with the configuration that its proxy really has, and the indexes of what was merged. Only proxies
// and gateways have one.
func central(tx *state.Tx, s api.Service) (api.Service, []uint64) {
	if !s.IsProxy() || s.Proxy == nil {
		return s, nil
	}
	name := s.Service
	if s.Kind == api.KindConnectProxy {
		name = s.Proxy.DestinationServiceName
	}
	service, all := state.ServiceDefaults(tx, name), state.ProxyDefaults(tx)
	s.Proxy = chain.Central(s.Proxy, service, all)
	// Which of the two is there is part of the version, too.
	indexes := []uint64{0, 0}
	if service != nil {
		indexes[0] = service.ModifyIndex
	}
	if all != nil {
		indexes[1] = all.ModifyIndex
	}
	return s, indexes
}
