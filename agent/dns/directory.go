package dns

import (
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// flood is how many names that do not exist may be asked for in a tick before the list of those that do is followed. With it,
// a flood of names at random costs the servers nothing, and a name that is registered is found at once all the same.
const flood = 256

// nothingThere are the rows of a name that does not exist.
var nothingThere = newFacts(nil)

// directory is the source that lists all names of a source's kind; false when there is no such list.
func (s source) directory() (source, bool) {
	switch {
	case s.dc != "":
		return source{}, false
	case s.kind == serviceRows:
		return source{kind: allServices}, true
	case s.kind == nodeRows:
		return source{kind: allNodes}, true
	}
	return source{}, false
}

// listed tells whether a name may exist for all that is known: it does not when there is a list and it does not stand in it. It
// is called with mu held.
func (vs *views) listed(s source) bool {
	d, ok := s.directory()
	v := vs.open[d]
	if !ok || v == nil || !vs.flooded {
		return true // it is asked for: so what was registered just now is found
	}
	f := v.at(vs.terms)
	if f == nil || f.names()[s.name] {
		return true
	}
	vs.strange.Add(1)
	v.use(vs.ticks.Load())
	return false
}

// openDirectory has the list that a source would stand in followed. It is called with mu held.
func (vs *views) openDirectory(s source) {
	d, ok := s.directory()
	if !ok || vs.closed || vs.open[d] != nil || vs.asking[d] != nil {
		return
	}
	a := &asking{done: make(chan struct{})}
	vs.asking[d] = a
	t := vs.terms
	vs.work.Go(func() { vs.find(d, a, t) })
}

// names are those of services or nodes.
func names(rows []*verb.Row) map[string]bool {
	out := make(map[string]bool, len(rows))
	for _, r := range rows {
		switch v := r.Value.(type) {
		case *catalog.ServiceName:
			out[strings.ToLower(v.Name)] = true
		case *api.Node:
			out[strings.ToLower(v.Node)] = true
		}
	}
	return out
}
