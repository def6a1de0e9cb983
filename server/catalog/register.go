package catalog

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Register writes a node and, with it, a service and checks. All of it or nothing is written.
type Register struct{ api.Registration }

// CommandType implements verb.Command.
func (Register) CommandType() string { return "catalog.register" }

// Validate implements verb.Command.
func (r Register) Validate() error {
	if r.Node == "" {
		return refusal("Must provide node")
	}
	if err := api.CheckName("node name", r.Node); err != nil {
		return err
	}
	if r.Address == "" && !r.SkipNodeUpdate {
		return refusal("Must provide address if SkipNodeUpdate is not set")
	}
	if r.ID != "" {
		if len(r.ID) != 36 {
			return refusal("Bad node ID: uuid string is wrong length")
		}
		if _, err := uuid.Parse(r.ID); err != nil {
			return refusal("Bad node ID: %v", err)
		}
	}
	if err := validateService(r.Service); err != nil {
		return err
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

func validateService(s *api.Service) error {
	if s == nil {
		return nil
	}
	if s.Service == "" {
		if s.ID != "" {
			return refusal("Must provide service name (Service.Service) when service ID is provided")
		}
		return refusal("Must provide service name (Service.Service)")
	}
	if err := api.CheckName("service name", s.Service); err != nil {
		return err
	}
	if s.Port < 0 || s.Port > 65535 {
		return api.Errorf(http.StatusBadRequest, "Service.Port %d of %q is out of range: 0 to 65535", s.Port, s.Service)
	}
	if s.Kind == api.KindConnectProxy && (s.Proxy == nil || s.Proxy.DestinationServiceName == "") {
		return refusal("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
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
	if old != nil && r.ID != "" && old.ID != "" && fold(old.ID) != fold(r.ID) && alive(tx, old.Node) {
		return refusal("Node name %s is reserved by node %s at %s, which is alive; give the node at %s another node_name, or stop the other one first",
			r.Node, old.ID, old.Address, r.Address)
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

// alive tells whether gossip holds the node to be alive.
func alive(tx *state.Tx, node string) bool {
	c := state.NodeCheck(tx, node, api.SerfHealth)
	return c != nil && c.Status == api.Passing
}

// putNode writes the node. One that comes under a new name, by its id, leaves no other behind.
func (r Register) putNode(tx *state.Tx) {
	if same := state.NodeByID(tx, r.ID); same != nil && fold(same.Node) != fold(r.Node) {
		state.DeleteNode(tx, same.Node)
	}
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
