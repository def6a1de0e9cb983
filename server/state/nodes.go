package state

import (
	"iter"
	"maps"
	"strings"

	"github.com/parleymesh/parley/api"
)

var nodes = &table[api.Node]{
	name: "nodes", version: 1,
	key: func(tx *Tx, n *api.Node) string { return tx.key(fold(n.Node)) },
	by1: func(tx *Tx, n *api.Node) string {
		if n.ID == "" {
			return ""
		}
		return tx.key(fold(n.ID))
	},
}

// The topics of nodes.
const (
	topicNodes Kind = "nodes" // the list of all
	topicNode  Kind = "node"  // one node with its services and checks
)

// fold is how names of nodes and services are compared: DNS does not know upper case.
func fold(name string) string { return strings.ToLower(name) }

// Nodes yields all nodes by name.
func Nodes(tx *Tx) iter.Seq[*api.Node] {
	tx.saw(topicNodes, "")
	return nodes.list(tx, tx.key())
}

// Node returns the node of that name, or nil.
func Node(tx *Tx, name string) *api.Node {
	tx.saw(topicNode, fold(name))
	return nodes.get(tx, tx.key(fold(name)))
}

// PeekNode returns the node beside an instance and records no topic: a change of the node wakes who reads the instance.
func PeekNode(tx *Tx, name string) *api.Node { return nodes.get(tx, tx.key(fold(name))) }

// NodeByID returns the node with the id, or nil.
func NodeByID(tx *Tx, id string) *api.Node {
	tx.saw(topicNodes, "")
	if id == "" {
		return nil
	}
	for n := range nodes.listBy1(tx, tx.key(fold(id))) {
		return n
	}
	return nil
}

// PutNode writes the node, keeping its create index. A node that says what already stands is not written.
func PutNode(tx *Tx, n api.Node) {
	n.CreateIndex, n.ModifyIndex = tx.index, tx.index
	if old := nodes.get(tx, tx.key(fold(n.Node))); old != nil {
		if sameNode(old, &n) {
			return
		}
		n.CreateIndex = old.CreateIndex
	}
	nodes.put(tx, &n)
	nodeChanged(tx, n.Node)
}

func sameNode(a, b *api.Node) bool {
	return a.Node == b.Node && a.ID == b.ID && a.Address == b.Address && a.Datacenter == b.Datacenter &&
		maps.Equal(a.TaggedAddresses, b.TaggedAddresses) && maps.Equal(a.Meta, b.Meta)
}

// DeleteNode removes the node and all that is on it. It reports whether there was one.
func DeleteNode(tx *Tx, name string) bool {
	n := nodes.get(tx, tx.key(fold(name)))
	if n == nil {
		return false
	}
	nodeGone(tx, n)
	nodes.remove(tx, tx.key(fold(name)))
	return true
}
