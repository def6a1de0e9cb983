package state

import (
	"cmp"
	"slices"

	"github.com/parleymesh/parley/api"
)

// Intentions live in service-intentions entries: a source of an entry is one intention. What config entries and intentions
// both do with them is here.

// ServiceIntentions returns the entry of a destination, or nil.
func ServiceIntentions(tx *Tx, destination string) *api.ServiceIntentions {
	e, _ := ConfigEntry(tx, api.KindServiceIntentions, destination).(*api.ServiceIntentions)
	return e
}

// AllIntentions returns the entries of all destinations, by name.
func AllIntentions(tx *Tx) []*api.ServiceIntentions {
	var out []*api.ServiceIntentions
	for e := range ConfigEntries(tx, api.KindServiceIntentions) {
		out = append(out, e.ConfigEntry.(*api.ServiceIntentions))
	}
	return out
}

// SourceIndex finds a source in an entry, which may be nil; -1: it is not there.
func SourceIndex(e *api.ServiceIntentions, name, peer string) int {
	if e == nil {
		return -1
	}
	return slices.IndexFunc(e.Sources, func(s api.SourceIntention) bool { return s.Name == name && s.Peer == peer })
}

// Precedence orders intentions: an exact name goes before a wildcard, and the destination counts more than the source.
func Precedence(source, destination string) int {
	switch {
	case source != api.Wildcard && destination != api.Wildcard:
		return 9
	case destination != api.Wildcard:
		return 8
	case source != api.Wildcard:
		return 6
	}
	return 5
}

// NormalizeIntentions gives the entry its derived fields and sorts its sources by precedence. Sources of the same
// precedence stay in the order in which they were written.
func NormalizeIntentions(e *api.ServiceIntentions) {
	e.Kind = api.KindServiceIntentions
	e.Namespace, e.Partition = plain(e.Namespace), plain(e.Partition)
	for i := range e.Sources {
		s := &e.Sources[i]
		if s.Type == "" {
			s.Type = api.SourceConsul
		}
		s.Namespace, s.Partition = plain(s.Namespace), plain(s.Partition)
		s.Precedence = Precedence(s.Name, e.Name)
	}
	slices.SortStableFunc(e.Sources, func(a, b api.SourceIntention) int { return cmp.Compare(b.Precedence, a.Precedence) })
}

// plain takes the default namespace or partition, however it is written, to the one way in which it is kept.
func plain(name string) string {
	if name == api.DefaultTenant {
		return ""
	}
	return name
}
