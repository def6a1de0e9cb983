package catalog

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Nodes lists all nodes, by name. A row is an *api.Node.
type Nodes struct{}

// QueryType implements verb.Query.
func (Nodes) QueryType() string { return "catalog.nodes" }

// Validate implements verb.Query.
func (Nodes) Validate() error { return nil }

// Needs implements verb.Query.
func (Nodes) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Nodes) NewValue() any { return new(api.Node) }

// Read implements verb.Query.
func (Nodes) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for n := range state.Nodes(tx) {
		rows = append(rows, nodeRow(n))
	}
	return rows, nil
}

func nodeRow(n *api.Node) *verb.Row {
	return &verb.Row{Key: fold(n.Node), Version: n.ModifyIndex, Value: n, Needs: []api.Permission{readNode(n.Node)}}
}

// NodeByID finds a node by its id, which is how a host recognises itself after it was renamed.
type NodeByID struct{ ID string }

// QueryType implements verb.Query.
func (NodeByID) QueryType() string { return "catalog.node-by-id" }

// Validate implements verb.Query.
func (NodeByID) Validate() error { return nil }

// Needs implements verb.Query.
func (NodeByID) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (NodeByID) NewValue() any { return new(api.Node) }

// Read implements verb.Query.
func (q NodeByID) Read(tx *state.Tx) ([]*verb.Row, error) {
	if n := state.NodeByID(tx, q.ID); n != nil {
		return []*verb.Row{nodeRow(n)}, nil
	}
	return nil, nil
}

// NodePart is one row of what is on a node: the node itself, which comes first, or one service, or one check.
type NodePart struct {
	Node    *api.Node    `json:",omitempty"`
	Service *api.Service `json:",omitempty"`
	Check   *api.Check   `json:",omitempty"`
}

// Node is one node with all that is on it. A row is a *NodePart; no rows: there is no such node.
type Node struct {
	Name string
	// Central asks for proxies with the defaults of their services and of all proxies merged in.
	Central bool
}

// QueryType implements verb.Query.
func (Node) QueryType() string { return "catalog.node" }

// Validate implements verb.Query.
func (q Node) Validate() error {
	if q.Name == "" {
		return api.Errorf(400, "Missing node name")
	}
	return nil
}

// Needs implements verb.Query.
func (Node) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Node) NewValue() any { return new(NodePart) }

// Read implements verb.Query.
func (q Node) Read(tx *state.Tx) ([]*verb.Row, error) {
	n := state.Node(tx, q.Name)
	if n == nil {
		return nil, nil
	}
	rows := []*verb.Row{{Key: "", Version: n.ModifyIndex, Value: &NodePart{Node: n}, Needs: []api.Permission{readNode(n.Node)}}}
	for i := range state.NodeInstances(tx, q.Name) {
		service, version := &i.Service, i.Service.ModifyIndex
		if q.Central {
			merged, indexes := central(tx, i.Service)
			service, version = &merged, verb.Version(append(indexes, version)...)
		}
		rows = append(rows, &verb.Row{
			Key: rowKey("service", i.Service.ID), Version: version,
			Value: &NodePart{Service: service}, Needs: []api.Permission{readService(i.Service.Service)},
		})
	}
	for c := range state.NodeChecks(tx, q.Name) {
		rows = append(rows, &verb.Row{
			Key: rowKey("check", c.CheckID), Version: c.ModifyIndex,
			Value: &NodePart{Check: c}, Needs: []api.Permission{readCheck(c)},
		})
	}
	return rows, nil
}

// readCheck is the permission that shows a check: its service's, or its node's.
func readCheck(c *api.Check) api.Permission {
	if c.ServiceName != "" {
		return readService(c.ServiceName)
	}
	return readNode(c.Node)
}
