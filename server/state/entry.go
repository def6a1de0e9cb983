package state

import "github.com/parleymesh/parley/api"

// HealthEntry returns an instance with its node and all checks that concern it, and the indexes of all of these; nil for one
// whose node is gone. It records no topic: who reads the instances with their checks has said so.
func HealthEntry(tx *Tx, i *Instance) (e *api.ServiceEntry, indexes []uint64) {
	n := PeekNode(tx, i.Node)
	if n == nil {
		return nil, nil
	}
	e = &api.ServiceEntry{Node: *n, Service: i.Service, Checks: []api.Check{}}
	indexes = []uint64{n.ModifyIndex, i.Service.ModifyIndex}
	for _, id := range []string{"", i.Service.ID} { // the node's checks, and its own
		for c := range InstanceChecks(tx, i.Node, id) {
			e.Checks = append(e.Checks, *c)
			indexes = append(indexes, c.ModifyIndex)
		}
	}
	return e, indexes
}
