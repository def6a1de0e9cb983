package http

import (
	"cmp"
	"net/http"

	"github.com/parleymesh/parley/api"
)

var agentCheckRoutes = []route{
	on("/v1/agent/checks", get(agentChecks)),
	on("/v1/agent/check/register", put(agentCheckRegister)),
	on("/v1/agent/check/deregister/", put(agentCheckDeregister)),
	on("/v1/agent/check/pass/", put(func(r *request) (any, error) { return agentCheckReport(r, api.Passing) })),
	on("/v1/agent/check/warn/", put(func(r *request) (any, error) { return agentCheckReport(r, api.Warning) })),
	on("/v1/agent/check/fail/", put(func(r *request) (any, error) { return agentCheckReport(r, api.Critical) })),
	on("/v1/agent/check/update/", put(agentCheckUpdate)),
}

func agentChecks(r *request) (any, error) {
	wanted, err := chooser[*api.Check](r)
	if err != nil {
		return nil, err
	}
	checks := map[string]*api.Check{}
	for _, c := range r.s.opts.Local.Checks() {
		resource, name := r.ownerOf(c.ServiceName)
		if shown, err := r.may(resource, name, api.Read); err != nil {
			return nil, err
		} else if shown && wanted(c) {
			checks[c.CheckID] = withTags(c)
		}
	}
	return checks, nil
}

// ownerOf returns the resource that a check of a service, or of the node, belongs to.
func (r *request) ownerOf(service string) (resource, name string) {
	if service != "" {
		return "service", service
	}
	return "node", r.s.opts.Node
}

// withTags shows the tags of a check's service as a list even when there are none.
func withTags(c *api.Check) *api.Check {
	if c.ServiceTags != nil {
		return c
	}
	c2 := *c
	c2.ServiceTags = []string{}
	return &c2
}

func agentCheckRegister(r *request) (any, error) {
	var def api.CheckDefinition
	if err := r.decode(&def); err != nil {
		return nil, err
	}
	if err := onlyDefaultTenant(def.Namespace, def.Partition); err != nil {
		return nil, err
	}
	if def.Name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing check name")
	}
	service := ""
	if def.ServiceID != "" {
		s, _ := r.s.opts.Local.Service(def.ServiceID)
		if s == nil {
			return nil, api.Errorf(http.StatusNotFound, "ServiceID %q does not exist", def.ServiceID)
		}
		service = s.Service
	}
	resource, name := r.ownerOf(service)
	if err := r.need(resource, name, api.Write); err != nil {
		return nil, err
	}
	if old := r.s.opts.Local.Check(cmp.Or(def.ID, def.CheckID, def.Name)); old != nil && old.ServiceName != service {
		resource, name = r.ownerOf(old.ServiceName)
		if err := r.need(resource, name, api.Write); err != nil {
			return nil, err
		}
	}
	return nil, r.s.opts.Local.RegisterCheck(&def, cmp.Or(def.Token, r.token()))
}

// mayChangeCheck lets who may change the check that the request names, which is there.
func (r *request) mayChangeCheck() error {
	c := r.s.opts.Local.Check(r.name)
	if c == nil {
		return api.Errorf(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", r.name)
	}
	resource, name := r.ownerOf(c.ServiceName)
	return r.need(resource, name, api.Write)
}

func agentCheckDeregister(r *request) (any, error) {
	if err := r.mayChangeCheck(); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.DeregisterCheck(r.name)
}

// agentCheckReport takes a TTL check's status from the path.
func agentCheckReport(r *request, status string) (any, error) {
	if err := r.mayChangeCheck(); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.UpdateTTL(r.name, status, r.param("note"))
}

// agentCheckUpdate takes it from the body.
func agentCheckUpdate(r *request) (any, error) {
	var u api.CheckUpdate
	if err := r.decode(&u); err != nil {
		return nil, err
	}
	if !api.ValidStatus(u.Status) {
		return nil, api.Errorf(http.StatusBadRequest, "Invalid check status: '%s'; it is one of passing, warning and critical", u.Status)
	}
	if err := r.mayChangeCheck(); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.UpdateTTL(r.name, u.Status, u.Output)
}
