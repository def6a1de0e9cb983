package catalog

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Deregister removes a service or a check from a node or, when neither is named, the node with all that is on it. What is
// not there is no error.
type Deregister struct{ api.Deregistration }

// CommandType implements verb.Command.
func (Deregister) CommandType() string { return "catalog.deregister" }

// Validate implements verb.Command.
func (d Deregister) Validate() error {
	if d.Node == "" {
		return refusal("Must provide node")
	}
	return nil
}

// Needs implements verb.Command.
func (d Deregister) Needs(tx *state.Tx) []api.Permission {
	service := ""
	switch {
	case d.ServiceID != "":
		if i := state.NodeInstance(tx, d.Node, d.ServiceID); i != nil {
			service = i.Service.Service
		}
	case d.CheckID != "":
		if c := state.NodeCheck(tx, d.Node, d.CheckID); c != nil {
			service = c.ServiceName
		}
	}
	if service != "" {
		return []api.Permission{{Resource: "service", Name: service, Access: api.Write}}
	}
	return []api.Permission{{Resource: "node", Name: d.Node, Access: api.Write}}
}

// Apply implements verb.Command.
func (d Deregister) Apply(tx *state.Tx) (any, error) {
	switch {
	case d.ServiceID != "":
		state.DeleteService(tx, d.Node, d.ServiceID)
	case d.CheckID != "":
		state.DeleteCheck(tx, d.Node, d.CheckID)
	default:
		state.DeleteNode(tx, d.Node)
	}
	return true, nil
}
