package chain

import (
	"maps"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// then returns modifiers that do what two do one after the other; either may be nil. The result does not remove a
// header to which it gives a value, unless one of the two does so by itself: so it does not matter in which order a proxy
// carries it out. Of two values that are added to one header the second one is kept, since a list of modifiers holds only one.
func then(a, b *api.HeaderModifiers) *api.HeaderModifiers {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := &api.HeaderModifiers{
		Set: merged(without(a.Set, b.Set, b.Remove), b.Set),
		// Setting a header ends what was added to it before.
		Add: merged(without(without(a.Add, b.Set, b.Remove), b.Add, nil), b.Add),
	}
	for _, name := range a.Remove {
		value, added := find(b.Add, name)
		switch _, set := find(b.Set, name); {
		case set:
		case added:
			// To add to what has been removed is to set it.
			out.Add = without(out.Add, nil, []string{name})
			out.Set = merged(out.Set, map[string]string{name: value})
		case !containsName(b.Remove, name):
			out.Remove = append(out.Remove, name)
		}
	}
	out.Remove = append(out.Remove, b.Remove...)
	return out
}

// without returns the headers that are neither among others nor named.
func without(headers, others map[string]string, names []string) map[string]string {
	out := maps.Clone(headers)
	maps.DeleteFunc(out, func(name, _ string) bool {
		_, found := find(others, name)
		return found || containsName(names, name)
	})
	return out
}

func merged(a, b map[string]string) map[string]string {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := make(map[string]string, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func find(headers map[string]string, name string) (string, bool) {
	if v, ok := headers[name]; ok {
		return v, true
	}
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

func containsName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}
