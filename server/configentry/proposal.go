package configentry

import (
	"iter"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
)

// entryKey names an entry.
type entryKey struct{ kind, name string }

func (k entryKey) String() string { return k.kind + "/" + k.name }

// change writes an entry, or deletes it when there is none.
type change struct {
	entryKey
	entry api.ConfigEntry
}

// proposal is what would stand once some changes have been made, all at once: a protocol that two services must share can be
// changed for both. Changes are judged by it before the first is written.
type proposal struct {
	tx      *state.Tx
	changes []change
	by      map[entryKey]int // which change each entry has
}

// propose returns the state with the changes, of which no two are of one entry; without any, it is what stands.
func propose(tx *state.Tx, changes ...change) *proposal {
	p := &proposal{tx: tx, changes: changes, by: make(map[entryKey]int, len(changes))}
	for i, c := range changes {
		p.by[c.entryKey] = i
	}
	return p
}

// entry returns an entry, or nil. The transaction sees each that is looked up, also those that are not there.
func (p *proposal) entry(kind, name string) api.ConfigEntry {
	if i, ok := p.by[entryKey{kind, name}]; ok {
		return p.changes[i].entry
	}
	return state.ConfigEntry(p.tx, kind, name)
}

// entries yields the entries of a kind: those that stay by name, then those that are written.
func (p *proposal) entries(kind string) iter.Seq[api.ConfigEntry] {
	return func(yield func(api.ConfigEntry) bool) {
		for e := range state.ConfigEntries(p.tx, kind) {
			if _, changed := p.by[entryKey{kind, e.EntryName()}]; !changed && !yield(e.ConfigEntry) {
				return
			}
		}
		for _, c := range p.changes {
			if c.kind == kind && c.entry != nil && !yield(c.entry) {
				return
			}
		}
	}
}

// Proxy implements chain.Entries.
func (p *proposal) Proxy() *api.ProxyDefaults {
	return typed[*api.ProxyDefaults](p.entry(api.KindProxyDefaults, api.ProxyDefaultsGlobal))
}

// Service implements chain.Entries.
func (p *proposal) Service(name string) *api.ServiceDefaults {
	return typed[*api.ServiceDefaults](p.entry(api.KindServiceDefaults, name))
}

// Router implements chain.Entries.
func (p *proposal) Router(name string) *api.ServiceRouter {
	return typed[*api.ServiceRouter](p.entry(api.KindServiceRouter, name))
}

// Splitter implements chain.Entries.
func (p *proposal) Splitter(name string) *api.ServiceSplitter {
	return typed[*api.ServiceSplitter](p.entry(api.KindServiceSplitter, name))
}

// Resolver implements chain.Entries.
func (p *proposal) Resolver(name string) *api.ServiceResolver {
	return typed[*api.ServiceResolver](p.entry(api.KindServiceResolver, name))
}

// intentions returns the entry of a destination, or nil.
func (p *proposal) intentions(name string) *api.ServiceIntentions {
	return typed[*api.ServiceIntentions](p.entry(api.KindServiceIntentions, name))
}

// mesh returns the entry of the whole mesh, or nil.
func (p *proposal) mesh() *api.MeshEntry {
	return typed[*api.MeshEntry](p.entry(api.KindMesh, api.MeshEntryName))
}

// exports returns what is exported, or nil.
func (p *proposal) exports() *api.ExportedServices {
	return typed[*api.ExportedServices](p.entry(api.KindExportedServices, api.ExportedServicesDefault))
}

// typed returns an entry as its type, nil for none.
func typed[T any](e api.ConfigEntry) T {
	t, _ := e.(T)
	return t
}

// admit judges the changes beside what stands. It returns, by change, why it is refused; none: all may be made.
func (p *proposal) admit() map[int]error {
	refused := map[int]error{}
	refuse := func(i int, err error) {
		if err != nil && refused[i] == nil {
			refused[i] = err
		}
	}
	for i, c := range p.changes {
		switch e := c.entry.(type) {
		case *api.ServiceIntentions:
			refuse(i, checkLegacy(e, state.ServiceIntentions(p.tx, e.Name)))
			refuse(i, state.CheckProviders(e, p.provider))
		case *api.ServiceDefaults:
			refuse(i, p.checkPermissive(c.entryKey, e.MutualTLSMode))
		case *api.ProxyDefaults:
			refuse(i, p.checkPermissive(c.entryKey, e.MutualTLSMode))
		case nil:
			if c.kind == api.KindJWTProvider {
				refuse(i, p.checkProviderUnused(c.name))
			}
		}
	}
	p.admitPermissions(refuse)
	p.admitChains(refuse)
	return refused
}

// provider tells whether there is a JWT provider of the name.
func (p *proposal) provider(name string) bool { return p.entry(api.KindJWTProvider, name) != nil }

// checkProviderUnused refuses to delete a provider by whose tokens requests are judged.
func (p *proposal) checkProviderUnused(name string) error {
	for e := range p.entries(api.KindServiceIntentions) {
		err := state.CheckProviders(e.(*api.ServiceIntentions), func(other string) bool { return other != name })
		if err != nil {
			return refusal("cannot delete jwt provider config entry referenced by an intention. Provider name: %s, intention name: %s", name, e.EntryName())
		}
	}
	return nil
}

// permissive is the mode of mutual TLS in which a service takes plain text as well.
const permissive = "permissive"

// checkPermissive refuses to open a service to plain text where the mesh does not allow that. One that is open already stays as it is.
func (p *proposal) checkPermissive(k entryKey, mode string) error {
	if mode != permissive {
		return nil
	}
	if m := p.mesh(); m != nil && m.AllowEnablingPermissiveMutualTLS {
		return nil
	}
	was := ""
	switch old := state.ConfigEntry(p.tx, k.kind, k.name).(type) {
	case *api.ServiceDefaults:
		was = old.MutualTLSMode
	case *api.ProxyDefaults:
		was = old.MutualTLSMode
	}
	if was == permissive {
		return nil
	}
	return refusal("MutualTLSMode cannot be set to %q: the mesh config entry does not say AllowEnablingPermissiveMutualTLS; "+
		"set that first, for as long as services are moved into the mesh", permissive)
}

// admitPermissions refuses what leaves intentions that judge by request with a service that has no requests.
func (p *proposal) admitPermissions(refuse func(int, error)) {
	check := func(i int, e *api.ServiceIntentions) {
		if e != nil {
			refuse(i, chain.CheckPermissions(e, chain.Protocol(p.Service(e.Name), p.Proxy())))
		}
	}
	for i, c := range p.changes {
		switch c.kind {
		case api.KindServiceIntentions, api.KindServiceDefaults:
			check(i, p.intentions(c.name))
		case api.KindProxyDefaults:
			for e := range p.entries(api.KindServiceIntentions) {
				check(i, e.(*api.ServiceIntentions))
			}
		}
	}
}

// anywhere stands for the datacenter that a chain is compiled for when that makes no difference: a protocol, a loop or a missing
// subset is the same in all of them.
const anywhere = "here"

// admitChains refuses what breaks a chain, so that none breaks later, when it is pushed to proxies. A chain that is broken
// already, as one of an older release may be, holds nothing up: what mends it is written step by step.
func (p *proposal) admitChains(refuse func(int, error)) {
	by, stands := p.affected(), propose(p.tx)
	exports := p.exports()
	if i, ok := p.by[entryKey{api.KindExportedServices, api.ExportedServicesDefault}]; ok && exports != nil {
		for _, s := range exports.Services {
			if _, ok := by[s.Name]; !ok {
				by[s.Name] = i
			}
		}
	}
	for _, service := range sorted(by) {
		o := chain.Options{Service: service, Datacenter: anywhere}
		after, err := chain.Compile(o, p)
		if err == nil && exports != nil {
			err = checkExports(exports, service, after)
		}
		if err == nil {
			continue
		}
		before, broken := chain.Compile(o, stands)
		if broken == nil {
			broken = checkExports(stands.exports(), service, before)
		}
		if broken == nil {
			refuse(by[service], err)
		}
	}
}

// affected returns the services whose chains the changes may break, each with a change that may.
func (p *proposal) affected() map[string]int {
	by := map[string]int{}
	var names []string
	add := func(name string, i int) {
		if _, ok := by[name]; !ok {
			by[name] = i
			names = append(names, name)
		}
	}
	for i, c := range p.changes {
		switch c.kind {
		case api.KindServiceDefaults, api.KindServiceRouter, api.KindServiceSplitter, api.KindServiceResolver:
			add(c.name, i)
		case api.KindProxyDefaults:
			for e := range p.routing() {
				add(e.EntryName(), i)
			}
		}
	}
	if len(names) == 0 {
		return by
	}
	for name, cause := range chain.Affected(names, p.routing()) {
		by[name] = by[cause]
	}
	return by
}

// routing yields the entries by which services lead to one another.
func (p *proposal) routing() iter.Seq[api.ConfigEntry] {
	return func(yield func(api.ConfigEntry) bool) {
		for _, kind := range chain.RoutingKinds {
			for e := range p.entries(kind) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// checkExports is checkExport for a service that may be exported.
func checkExports(e *api.ExportedServices, service string, c *api.DiscoveryChain) error {
	if e == nil {
		return nil
	}
	for _, s := range e.Services {
		if s.Name == service {
			return checkExport(service, c)
		}
	}
	return nil
}

// carryOut makes the changes, unless one of them is refused.
func (p *proposal) carryOut(now time.Time) error {
	refused := p.admit()
	for i := range p.changes {
		if err := refused[i]; err != nil {
			return err
		}
	}
	p.write(now)
	return nil
}

// write makes the changes, which have been admitted, at a time that is the same on all servers.
func (p *proposal) write(now time.Time) {
	again := false
	for _, c := range p.changes {
		again = again || binds(c.kind)
		if c.entry == nil {
			state.DeleteConfigEntry(p.tx, c.kind, c.name)
			continue
		}
		normalize(c.entry)
		if s := status(c.entry); s != nil { // the servers' own, whatever was sent
			*s = api.EntryStatus{}
			if old := state.ConfigEntry(p.tx, c.kind, c.name); old != nil {
				*s = *status(old)
			}
		}
		state.PutConfigEntry(p.tx, c.entry)
	}
	if again {
		bind(p.tx, now)
	}
}
