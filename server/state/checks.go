package state

import (
	"iter"
	"reflect"

	"github.com/parleymesh/parley/api"
)

var checks = &table[api.Check]{
	name: "checks", version: 1,
	key: func(tx *Tx, c *api.Check) string { return tx.key(fold(c.Node), c.CheckID) },
	by1: func(tx *Tx, c *api.Check) string { return tx.key(fold(c.Node), c.ServiceID) },
}

// The topics of checks.
const (
	topicChecks        Kind = "checks"         // all
	topicServiceChecks Kind = "service-checks" // those of one service, by name
)

// Checks yields all checks, by node and id.
func Checks(tx *Tx) iter.Seq[*api.Check] {
	tx.saw(topicChecks, "")
	return checks.list(tx, tx.key())
}

// NodeChecks yields the checks on a node, its services' too, by id.
func NodeChecks(tx *Tx, node string) iter.Seq[*api.Check] {
	tx.saw(topicNode, fold(node))
	return checks.list(tx, tx.key(fold(node)))
}

// NodeCheck returns one check, or nil.
func NodeCheck(tx *Tx, node, id string) *api.Check {
	tx.saw(topicNode, fold(node))
	return checks.get(tx, tx.key(fold(node), id))
}

// InstanceChecks yields the checks of one instance or, when id is empty, those of the node as such. It records no topic:
// who reads an instance has said whether it reads with checks.
func InstanceChecks(tx *Tx, node, id string) iter.Seq[*api.Check] {
	return checks.listBy1(tx, tx.key(fold(node), id))
}

// ServiceChecks yields the checks of a service's instances, by node and id.
func ServiceChecks(tx *Tx, name string) iter.Seq[*api.Check] {
	tx.saw(topicServiceChecks, fold(name))
	return func(yield func(*api.Check) bool) {
		for i := range services.listBy1(tx, tx.key(fold(name))) {
			for c := range InstanceChecks(tx, i.Node, i.Service.ID) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// PutCheck writes a check on a node that exists, keeping its create index. A check of a service is given the service's
// name and tags; the service must exist. One that says what already stands is not written.
func PutCheck(tx *Tx, c api.Check) {
	if c.ServiceID != "" {
		if i := services.get(tx, tx.key(fold(c.Node), c.ServiceID)); i != nil {
			c.ServiceName, c.ServiceTags = i.Service.Service, i.Service.Tags
		}
	}
	if c.ServiceTags == nil {
		c.ServiceTags = []string{}
	}
	c.CreateIndex, c.ModifyIndex = tx.index, tx.index
	old := checks.get(tx, checks.key(tx, &c))
	if old != nil {
		if sameCheck(old, &c) {
			return
		}
		c.CreateIndex = old.CreateIndex
		if old.ServiceID != c.ServiceID {
			checkChanged(tx, old)
		}
	}
	checks.put(tx, &c)
	checkChanged(tx, &c)
	if old != nil && old.Status != api.Critical && c.Status == api.Critical {
		checkLost(tx, &c)
	}
}

// sameCheck compares all but the indexes.
func sameCheck(a, b *api.Check) bool {
	x, y := *a, *b
	x.CreateIndex, x.ModifyIndex, y.CreateIndex, y.ModifyIndex = 0, 0, 0, 0
	return reflect.DeepEqual(x, y)
}

// DeleteCheck removes a check. It reports whether there was one.
func DeleteCheck(tx *Tx, node, id string) bool {
	c := checks.get(tx, tx.key(fold(node), id))
	if c == nil {
		return false
	}
	deleteCheck(tx, c)
	return true
}

func deleteCheck(tx *Tx, c *api.Check) {
	checks.remove(tx, checks.key(tx, c))
	checkChanged(tx, c)
	checkLost(tx, c)
}
