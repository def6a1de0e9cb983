package chain

import (
	"iter"
	"slices"

	"github.com/parleymesh/parley/api"
)

// RoutingKinds are the kinds of entries by which one service leads to another.
var RoutingKinds = []string{api.KindServiceRouter, api.KindServiceSplitter, api.KindServiceResolver}

// References returns the services other than its own that an entry names as somewhere to go.
func References(e api.ConfigEntry) []string {
	var names []string
	switch e := e.(type) {
	case *api.ServiceRouter:
		for _, r := range e.Routes {
			if r.Destination != nil {
				names = append(names, r.Destination.Service)
			}
		}
	case *api.ServiceSplitter:
		for _, s := range e.Splits {
			names = append(names, s.Service)
		}
	case *api.ServiceResolver:
		if e.Redirect != nil && e.Redirect.Peer == "" {
			names = append(names, e.Redirect.Service)
		}
		for _, f := range e.Failover {
			names = append(names, f.Service)
			for _, t := range f.Targets {
				if t.Peer == "" {
					names = append(names, t.Service)
				}
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || n == e.EntryName() })
}

// Affected returns the services whose chains may change with what is said of some, each with the one of those by which it may:
// themselves, and those that lead to them by any number of steps. The entries are all those of RoutingKinds; others are passed
// over.
func Affected(services []string, entries iter.Seq[api.ConfigEntry]) map[string]string {
	from := map[string][]string{}
	for e := range entries {
		for _, to := range References(e) {
			from[to] = append(from[to], e.EntryName())
		}
	}
	by := make(map[string]string, len(services))
	next := slices.Clone(services)
	for _, name := range services {
		by[name] = name
	}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		for _, f := range from[name] {
			if _, found := by[f]; !found {
				by[f] = by[name]
				next = append(next, f)
			}
		}
	}
	return by
}
