package configentry

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// standing are the entries that stand, as chains are compiled from them. A transaction sees each that is looked up, also those
// that are not there.
type standing struct{ tx *state.Tx }

// Proxy implements chain.Entries.
func (s standing) Proxy() *api.ProxyDefaults { return state.ProxyDefaults(s.tx) }

// Service implements chain.Entries.
func (s standing) Service(name string) *api.ServiceDefaults { return state.ServiceDefaults(s.tx, name) }

// Router implements chain.Entries.
func (s standing) Router(name string) *api.ServiceRouter {
	return typed[*api.ServiceRouter](state.ConfigEntry(s.tx, api.KindServiceRouter, name))
}

// Splitter implements chain.Entries.
func (s standing) Splitter(name string) *api.ServiceSplitter {
	return typed[*api.ServiceSplitter](state.ConfigEntry(s.tx, api.KindServiceSplitter, name))
}

// Resolver implements chain.Entries.
func (s standing) Resolver(name string) *api.ServiceResolver {
	return typed[*api.ServiceResolver](state.ConfigEntry(s.tx, api.KindServiceResolver, name))
}
