package configentry

import (
	"iter"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
)

// standing are the entries that stand, as chains are compiled from them. A transaction sees each that is looked up, also those
// that are not there.
type standing struct{ tx *state.Tx }

// lookup returns the entry as its type; nil when there is none.
func lookup[T any](s standing, kind, name string) T {
	e, _ := state.ConfigEntry(s.tx, kind, name).(T)
	return e
}

// Proxy implements chain.Entries.
func (s standing) Proxy() *api.ProxyDefaults { return state.ProxyDefaults(s.tx) }

// Service implements chain.Entries.
func (s standing) Service(name string) *api.ServiceDefaults { return state.ServiceDefaults(s.tx, name) }

// Router implements chain.Entries.
func (s standing) Router(name string) *api.ServiceRouter {
	return lookup[*api.ServiceRouter](s, api.KindServiceRouter, name)
}

// Splitter implements chain.Entries.
func (s standing) Splitter(name string) *api.ServiceSplitter {
	return lookup[*api.ServiceSplitter](s, api.KindServiceSplitter, name)
}

// Resolver implements chain.Entries.
func (s standing) Resolver(name string) *api.ServiceResolver {
	return lookup[*api.ServiceResolver](s, api.KindServiceResolver, name)
}

// proposed are the entries that stand with one in its place: written, or absent when entry is nil.
type proposed struct {
	standing
	kind, name string
	entry      api.ConfigEntry
}

// or returns the proposed entry where it is the one that is looked up, and what stands otherwise.
func or[T any](p proposed, kind, name string, stands T) T {
	if kind != p.kind || name != p.name {
		return stands
	}
	e, _ := p.entry.(T)
	return e
}

// Proxy implements chain.Entries.
func (p proposed) Proxy() *api.ProxyDefaults {
	return or(p, api.KindProxyDefaults, api.ProxyDefaultsGlobal, p.standing.Proxy())
}

// Service implements chain.Entries.
func (p proposed) Service(name string) *api.ServiceDefaults {
	return or(p, api.KindServiceDefaults, name, p.standing.Service(name))
}

// Router implements chain.Entries.
func (p proposed) Router(name string) *api.ServiceRouter {
	return or(p, api.KindServiceRouter, name, p.standing.Router(name))
}

// Splitter implements chain.Entries.
func (p proposed) Splitter(name string) *api.ServiceSplitter {
	return or(p, api.KindServiceSplitter, name, p.standing.Splitter(name))
}

// Resolver implements chain.Entries.
func (p proposed) Resolver(name string) *api.ServiceResolver {
	return or(p, api.KindServiceResolver, name, p.standing.Resolver(name))
}

// routing yields the entries by which services lead to one another.
func routing(tx *state.Tx) iter.Seq[api.ConfigEntry] {
	return func(yield func(api.ConfigEntry) bool) {
		for _, kind := range chain.RoutingKinds {
			for e := range state.ConfigEntries(tx, kind) {
				if !yield(e.ConfigEntry) {
					return
				}
			}
		}
	}
}

// admitChains refuses to write an entry, or to delete it when e is nil, if a chain would break by it: so none breaks later,
// when it is pushed to proxies. A chain that is broken already, as one of an older release may be, holds nothing up: what
// mends it is written step by step.
func admitChains(tx *state.Tx, kind, name string, e api.ConfigEntry) error {
	before := standing{tx}
	after := proposed{before, kind, name, e}
	for _, service := range affected(tx, kind, name) {
		// A protocol, a loop or a missing subset is the same wherever the chain is compiled for.
		o := chain.Options{Service: service, Datacenter: "here"}
		_, err := chain.Compile(o, after)
		if err == nil {
			continue
		}
		if _, broken := chain.Compile(o, before); broken == nil {
			return err
		}
	}
	return nil
}

// affected returns the services whose chains the entry may change so that they could break.
func affected(tx *state.Tx, kind, name string) []string {
	switch kind {
	case api.KindServiceDefaults, api.KindServiceRouter, api.KindServiceSplitter, api.KindServiceResolver:
		return chain.Affected(name, routing(tx))
	case api.KindProxyDefaults:
		var names []string
		for e := range routing(tx) {
			names = append(names, e.EntryName())
		}
		return names
	}
	return nil
}
