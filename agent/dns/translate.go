package dns

import (
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
)

// abroad tells whether what is in a datacenter is to be told by its address for others. A prepared query may lead to another one
// than is asked for.
func (q *asked) abroad(dc string) bool {
	return q.cfg.TranslateWAN && dc != "" && !strings.EqualFold(dc, q.datacenter)
}

// seenFromHere shows instances by the addresses at which they are reached from here. Those that others share stay as they are.
func (q *asked) seenFromHere(entries []*api.ServiceEntry) []*api.ServiceEntry {
	if !q.cfg.TranslateWAN {
		return entries
	}
	out := make([]*api.ServiceEntry, len(entries))
	for i, e := range entries {
		if out[i] = e; q.abroad(e.Node.Datacenter) {
			seen := *e
			catalog.WANEntry(&seen)
			out[i] = &seen
		}
	}
	return out
}

// nodeFromHere does the same for a node.
func (q *asked) nodeFromHere(n *api.Node) *api.Node {
	if !q.abroad(n.Datacenter) {
		return n
	}
	seen := *n
	catalog.WANNode(&seen)
	return &seen
}
