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
// themselves, and those that lead to them, by any number of splits, redirects and failovers and, before these, by a route. (What a
// router leads to is not routed again.) The entries are all those of RoutingKinds; others are passed over.
func Affected(services []string, entries iter.Seq[api.ConfigEntry]) map[string]string {
	from, routed := map[string][]string{}, map[string][]string{}
	for e := range entries {
		to := from
		if e.EntryKind() == api.KindServiceRouter {
			to = routed
		}
		for _, name := range References(e) {
			to[name] = append(to[name], e.EntryName())
		}
	}
	by := make(map[string]string, len(services))
	for _, name := range services {
		by[name] = name
	}
	reached := slices.Clone(services)
	for i := 0; i < len(reached); i++ {
		for _, f := range from[reached[i]] {
			if _, found := by[f]; !found {
				by[f] = by[reached[i]]
				reached = append(reached, f)
			}
		}
	}
	for _, name := range reached {
		for _, f := range routed[name] {
			if _, found := by[f]; !found {
				by[f] = by[name]
			}
		}
	}
	return by
}
