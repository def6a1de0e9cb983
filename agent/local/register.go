package local

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// serverService is the service by which servers are found. On a server it is the leader's to register.
const serverService = "consul"

// RegisterService adds or replaces a service with its checks and sidecar: all of it or nothing. With replaceChecks, those of
// its checks that are not in the definition are removed. It is on disk when this returns; the catalog follows.
func (s *State) RegisterService(def *api.ServiceDefinition, token string, replaceChecks bool) error {
	return s.change(func(d *draft) error {
		return d.register(def, token, fromAPI, replaceChecks)
	})
}

// register adds a service, its checks and its sidecar to the draft.
func (d *draft) register(def *api.ServiceDefinition, token string, from origin, replaceChecks bool) error {
	token = cmp.Or(def.Token, token)
	if err := d.admit(def); err != nil {
		return err
	}
	sv := newService(def, token, from, "")
	id := sv.def.ID
	var sidecar *api.ServiceDefinition
	if def.Connect != nil && def.Connect.SidecarService != nil {
		var err error
		if sidecar, err = d.sidecar(sv, def.Connect.SidecarService); err != nil {
			return err
		}
	}
	if err := d.place(sv, checksOf(def), replaceChecks); err != nil {
		return err
	}
	if sidecar == nil {
		if old := d.sidecarOf(id); old != nil {
			d.removeService(old.def.ID)
		}
		return nil
	}
	px := newService(sidecar, cmp.Or(sidecar.Token, token), from, id)
	return d.place(px, checksOf(sidecar), true)
}

// admit tells whether a service may be registered at all.
func (d *draft) admit(def *api.ServiceDefinition) error {
	if err := validateService(def); err != nil {
		return err
	}
	if d.s.o.Server && serviceID(def) == serverService {
		return invalid("service ID %q is that of the server which runs in this agent; choose another", serverService)
	}
	return nil
}

// place adds a service that is valid and its checks to the draft.
func (d *draft) place(sv *service, defs []api.CheckDefinition, replaceChecks bool) error {
	checks, err := d.serviceChecks(sv, defs)
	if err != nil {
		return err
	}
	if replaceChecks {
		for _, c := range d.checksOf(sv.def.ID) {
			// What the API has added to the service of a file is not the file's to remove.
			if c.part == ofService || c.part == alone && sv.origin == fromAPI {
				d.removeCheck(c.id)
			}
		}
	}
	d.putService(sv)
	for _, c := range checks {
		d.putCheck(c)
	}
	return nil
}

// checksOf is the list of checks and the single one together.
func checksOf(def *api.ServiceDefinition) []api.CheckDefinition {
	if def.Check == nil {
		return def.Checks
	}
	return append(slices.Clone(def.Checks), *def.Check)
}

// serviceChecks makes the checks that a service is registered with.
func (d *draft) serviceChecks(sv *service, defs []api.CheckDefinition) ([]*healthCheck, error) {
	var out []*healthCheck
	for i := range defs {
		def := &defs[i]
		id := cmp.Or(def.CheckID, def.ID)
		if id == "" {
			id = "service:" + sv.def.ID
			if len(defs) > 1 {
				id = fmt.Sprintf("service:%s:%d", sv.def.ID, i+1)
			}
		}
		if err := d.admitCheck(id, def, sv.origin); err != nil {
			return nil, fmt.Errorf("check %q of service %q: %w", cmp.Or(def.Name, id), sv.def.ID, err)
		}
		if def.ServiceID != "" && def.ServiceID != sv.def.ID {
			return nil, invalid("check %q: ServiceID is %q, but it stands in the definition of %q", id, def.ServiceID, sv.def.ID)
		}
		if old := d.check(id); old != nil && old.def.ServiceID != sv.def.ID {
			return nil, invalid("CheckID %q of service %q is taken by a check of %s; give this one another CheckID",
				id, sv.def.ID, owner(old.def.ServiceID))
		}
		if slices.ContainsFunc(out, func(c *healthCheck) bool { return c.id == id }) {
			return nil, invalid("CheckID %q is given twice in the definition of service %q", id, sv.def.ID)
		}
		out = append(out, d.newHealthCheck(id, def, sv.value, cmp.Or(def.Token, sv.token), sv.origin, ofService))
	}
	return out, nil
}

func owner(service string) string {
	if service == "" {
		return "the node"
	}
	return "service " + strconv.Quote(service)
}

func (d *draft) admitCheck(id string, def *api.CheckDefinition, from origin) error {
	if err := validateCheckID(id); err != nil {
		return err
	}
	return check.Validate(def, d.s.o.Scripts, from == fromFile)
}

// RegisterCheck adds or replaces a check of the node, or of the service that it names.
func (s *State) RegisterCheck(def *api.CheckDefinition, token string) error {
	return s.change(func(d *draft) error { return d.registerCheck(def, token, fromAPI) })
}

func (d *draft) registerCheck(def *api.CheckDefinition, token string, from origin) error {
	id := cmp.Or(def.ID, def.CheckID, def.Name)
	if id == "" {
		return invalid("Missing check name")
	}
	if err := d.admitCheck(id, def, from); err != nil {
		return err
	}
	named := *def
	named.Name = cmp.Or(def.Name, id)
	sv, err := d.checkedService(def.ServiceID)
	if err != nil {
		return err
	}
	d.putCheck(d.newHealthCheck(id, &named, sv, cmp.Or(def.Token, token), from, alone))
	return nil
}

// checkedService returns the service that a check is of; nil for one of the node.
func (d *draft) checkedService(id string) (*api.Service, error) {
	if id == "" {
		return nil, nil
	}
	sv := d.service(id)
	if sv == nil {
		return nil, api.Errorf(http.StatusNotFound, "ServiceID %q does not exist", id)
	}
	return d.value(sv), nil
}

// value is a service's value, which may be exchanged at any time once it is registered.
func (d *draft) value(sv *service) *api.Service {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return sv.value
}

// DeregisterService removes a service with its checks and its sidecar.
func (s *State) DeregisterService(id string) error {
	return s.change(func(d *draft) error { return d.deregisterService(id) })
}

func (d *draft) deregisterService(id string) error {
	if d.service(id) == nil {
		return unknownService(id)
	}
	d.removeService(id)
	return nil
}

// DeregisterCheck removes a check.
func (s *State) DeregisterCheck(id string) error {
	return s.change(func(d *draft) error {
		if d.check(id) == nil {
			return unknownCheck(id)
		}
		d.removeCheck(id)
		return nil
	})
}
