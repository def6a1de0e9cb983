package state

import (
	"iter"
	"reflect"

	"github.com/parleymesh/parley/api"
)

// Instance is a service on a node: the row of the catalog. Its key begins with the node, so the instances of a node
// are neighbours.
type Instance struct {
	Node    string
	Service api.Service
}

var services = &table[Instance]{
	name: "services", version: 1,
	key: func(tx *Tx, i *Instance) string { return tx.key(fold(i.Node), i.Service.ID) },
	by1: func(tx *Tx, i *Instance) string { return tx.key(fold(i.Service.Service)) },
	by2: func(tx *Tx, i *Instance) string {
		if d := meshDestination(&i.Service); d != "" {
			return tx.key(fold(d))
		}
		return ""
	},
}

// The topics of services.
const (
	topicServices Kind = "services" // the list of names, with tags
	topicService  Kind = "service"  // the instances of one name, with their nodes
	topicHealth   Kind = "health"   // the same, with checks
	topicMesh     Kind = "mesh"     // what answers for a name in the mesh: its sidecars, or itself when native; with checks
)

// meshDestination is the service for which an instance answers in the mesh; empty when it does not.
func meshDestination(s *api.Service) string {
	switch {
	case s.Kind == api.KindConnectProxy && s.Proxy != nil:
		return s.Proxy.DestinationServiceName
	case s.Connect != nil && s.Connect.Native:
		return s.Service
	}
	return ""
}

// Instances yields all instances, by node and id.
func Instances(tx *Tx) iter.Seq[*Instance] {
	tx.saw(topicServices, "")
	return services.list(tx, tx.key())
}

// NodeInstances yields the instances on a node, by id.
func NodeInstances(tx *Tx, node string) iter.Seq[*Instance] {
	tx.saw(topicNode, fold(node))
	return services.list(tx, tx.key(fold(node)))
}

// NodeInstance returns one instance, or nil.
func NodeInstance(tx *Tx, node, id string) *Instance {
	tx.saw(topicNode, fold(node))
	return services.get(tx, tx.key(fold(node), id))
}

// ServiceInstances yields the instances of a service. Who reads them with their checks says so, and is then woken by
// checks too.
func ServiceInstances(tx *Tx, name string, withChecks bool) iter.Seq[*Instance] {
	if withChecks {
		tx.saw(topicHealth, fold(name))
	} else {
		tx.saw(topicService, fold(name))
	}
	return services.listBy1(tx, tx.key(fold(name)))
}

// MeshInstances yields what answers for a service in the mesh: its sidecars, or its own instances when they are native.
func MeshInstances(tx *Tx, destination string) iter.Seq[*Instance] {
	tx.saw(topicMesh, fold(destination))
	return services.listBy2(tx, tx.key(fold(destination)))
}

// PutService writes an instance on a node that exists, keeping its create index. One that says what already stands is
// not written.
func PutService(tx *Tx, node string, s api.Service) {
	s = withVirtual(tx, s)
	s.CreateIndex, s.ModifyIndex = tx.index, tx.index
	i := &Instance{Node: node, Service: s}
	old := services.get(tx, services.key(tx, i))
	if old != nil {
		if sameService(&old.Service, &s) {
			return
		}
		i.Service.CreateIndex = old.Service.CreateIndex
	}
	services.put(tx, i)
	serviceChanged(tx, node, old, i)
}

// sameService compares all but the indexes.
func sameService(a, b *api.Service) bool {
	x, y := *a, *b
	x.CreateIndex, x.ModifyIndex, y.CreateIndex, y.ModifyIndex = 0, 0, 0, 0
	return reflect.DeepEqual(x, y)
}

// DeleteService removes an instance and its checks. It reports whether there was one.
func DeleteService(tx *Tx, node, id string) bool {
	k := tx.key(fold(node), id)
	old := services.get(tx, k)
	if old == nil {
		return false
	}
	for _, c := range collect(InstanceChecks(tx, node, id)) {
		deleteCheck(tx, c)
	}
	services.remove(tx, k)
	serviceChanged(tx, node, old, nil)
	return true
}
