package local

import (
	"cmp"

	"github.com/parleymesh/parley/api"
)

// What maintenance says of itself where nobody gives a reason.
const (
	noServiceReason = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
	noNodeReason    = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
)

// ServiceMaintenance switches maintenance of a service on, for a reason that may be empty, or off.
func (s *State) ServiceMaintenance(id string, enable bool, reason, token string) error {
	return s.change(func(d *draft) error {
		sv := d.service(id)
		if sv == nil {
			return unknownService(id)
		}
		d.maintain(api.CheckDefinition{
			ID: api.ServiceMaintenancePrefix + id, Name: "Service Maintenance Mode", Notes: cmp.Or(reason, noServiceReason),
		}, d.value(sv), enable, cmp.Or(token, sv.token))
		return nil
	})
}

// NodeMaintenance switches maintenance of the node on, for a reason that may be empty, or off.
func (s *State) NodeMaintenance(enable bool, reason, token string) error {
	return s.change(func(d *draft) error {
		d.maintain(api.CheckDefinition{
			ID: api.NodeMaintenance, Name: "Node Maintenance Mode", Notes: cmp.Or(reason, noNodeReason),
		}, nil, enable, token)
		return nil
	})
}

// maintain adds or removes the sign of maintenance. What is so already stays as it is.
func (d *draft) maintain(def api.CheckDefinition, sv *api.Service, enable bool, token string) {
	switch on := d.check(def.ID) != nil; {
	case enable && !on:
		d.putCheck(d.newHealthCheck(def.ID, &def, sv, token, fromAPI, maintenance))
	case !enable && on:
		d.removeCheck(def.ID)
	}
}
