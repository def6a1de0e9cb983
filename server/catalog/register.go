package catalog

import (
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Register writes a node and, with it, a service and checks. All of it or nothing is written.
type Register struct{ api.Registration }

// CommandType implements verb.Command.
func (Register) CommandType() string { return "catalog.register" }

// Validate implements verb.Command.
func (r Register) Validate() error {
	if err := state.CheckNode(r.Node, r.ID); err != nil {
		return err
	}
	if r.Address == "" && !r.SkipNodeUpdate {
		return refusal("Must provide address if SkipNodeUpdate is not set")
	}
	if r.Service != nil {
		if err := state.CheckService(r.Service); err != nil {
			return err
		}
	}
	for _, c := range r.checks() {
		if c.CheckID == "" && c.Name == "" {
			return refusal("Must provide a check's CheckID or Name")
		}
		if c.Node != "" && fold(c.Node) != fold(r.Node) {
			return refusal("Check %q is for the node %q, but the registration is of %q", c.CheckID, c.Node, r.Node)
		}
	}
	return nil
}

// checks is the one check and the list together.
func (r Register) checks() []api.Check {
	if r.Check == nil {
		return r.Checks
	}
	return append(slices.Clone(r.Checks), *r.Check)
}

// Needs implements verb.Command.
func (r Register) Needs(tx *state.Tx) []api.Permission {
	var needs []api.Permission
	checks := r.checks()
	onNode := slices.ContainsFunc(checks, func(c api.Check) bool { return c.ServiceID == "" })
	if onNode || r.Service == nil && len(checks) == 0 || r.changesNode(tx) {
		needs = append(needs, api.Permission{Resource: "node", Name: r.Node, Access: api.Write})
	}
	if r.Service != nil {
		needs = append(needs, api.Permission{Resource: "service", Name: r.Service.Service, Access: api.Write})
		if old := state.NodeInstance(tx, r.Node, r.Service.Normalized().ID); old != nil && old.Service.Service != r.Service.Service {
			needs = append(needs, api.Permission{Resource: "service", Name: old.Service.Service, Access: api.Write})
		}
	}
	for _, c := range checks {
		if i := state.NodeInstance(tx, r.Node, c.ServiceID); c.ServiceID != "" && i != nil {
			needs = append(needs, api.Permission{Resource: "service", Name: i.Service.Service, Access: api.Write})
		}
	}
	return needs
}

func (r Register) changesNode(tx *state.Tx) bool {
	old := state.Node(tx, r.Node)
	return old == nil || !r.SkipNodeUpdate && (old.Address != r.Address || r.ID != "" && old.ID != r.ID)
}

// Apply implements verb.Command.
func (r Register) Apply(tx *state.Tx) (any, error) {
	if err := r.admit(tx); err != nil {
		return nil, err
	}
	r.putNode(tx)
	if r.Service != nil {
		state.PutService(tx, r.Node, r.Service.Normalized())
	}
	for _, c := range r.checks() {
		state.PutCheck(tx, r.normalCheck(c))
	}
	return true, nil
}

// admit checks what must hold before the first write.
func (r Register) admit(tx *state.Tx) error {
	old := state.Node(tx, r.Node)
	if old == nil && r.SkipNodeUpdate && r.Address == "" {
		return refusal("Node %q is not registered, so it cannot be skipped: set Address and not SkipNodeUpdate", r.Node)
	}
	if err := state.AdmitNode(tx, r.Node, r.ID, r.Address); err != nil {
		return err
	}
	for _, c := range r.checks() {
		if c.ServiceID == "" || r.Service != nil && r.Service.Normalized().ID == c.ServiceID {
			continue
		}
		if state.NodeInstance(tx, r.Node, c.ServiceID) == nil {
			return refusal("Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.CheckID)
		}
	}
	return nil
}

// putNode writes the node. One that comes under a new name, by its id, leaves no other behind.
func (r Register) putNode(tx *state.Tx) {
	state.LeaveOldName(tx, r.Node, r.ID)
	old := state.Node(tx, r.Node)
	if old != nil && r.SkipNodeUpdate {
		return
	}
	n := api.Node{
		ID: r.ID, Node: r.Node, Address: r.Address, Datacenter: r.Datacenter,
		TaggedAddresses: r.TaggedAddresses, Meta: r.NodeMeta, Partition: r.Partition, PeerName: r.PeerName,
	}
	if n.ID == "" && old != nil {
		n.ID = old.ID
	}
	state.PutNode(tx, n)
}

func (r Register) normalCheck(c api.Check) api.Check {
	c.Node = r.Node
	if c.CheckID == "" {
		c.CheckID = c.Name
	}
	if c.Status == "" {
		c.Status = api.Critical
	}
	return c
}
