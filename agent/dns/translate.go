package dns

import "github.com/parleymesh/parley/api"

// wanTag is the tag of the addresses by which other datacenters reach a node or an instance.
const wanTag = "wan"

// abroad tells whether what is asked for is in another datacenter and is to be told by its address for others.
func (q *asked) abroad() bool { return q.cfg.TranslateWAN && q.dc != "" && q.dc != q.datacenter }

// seenFromHere shows instances by the addresses at which they are reached from here. Those that others share stay as they are.
func (q *asked) seenFromHere(entries []*api.ServiceEntry) []*api.ServiceEntry {
	if !q.abroad() {
		return entries
	}
	out := make([]*api.ServiceEntry, len(entries))
	for i, e := range entries {
		seen := *e
		seen.Node = *q.nodeFromHere(&e.Node)
		if wan, ok := e.Service.TaggedAddresses[wanTag]; ok {
			seen.Service.Address, seen.Service.Port = wan.Address, wan.Port
		}
		out[i] = &seen
	}
	return out
}

// nodeFromHere does the same for a node.
func (q *asked) nodeFromHere(n *api.Node) *api.Node {
	wan := n.TaggedAddresses[wanTag]
	if !q.abroad() || wan == "" {
		return n
	}
	seen := *n
	seen.Address = wan
	return &seen
}
