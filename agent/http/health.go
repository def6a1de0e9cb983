package http

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
)

var healthRoutes = []route{
	on("/v1/health/node/", get(healthNode)),
	on("/v1/health/checks/", get(healthChecks)),
	on("/v1/health/state/", get(healthState)),
	on("/v1/health/service/", get(func(r *request) (any, error) { return healthService(r, false) })),
	on("/v1/health/connect/", get(func(r *request) (any, error) { return healthService(r, true) })),
	on("/v1/health/ingress/", get(healthIngress)),
}

func healthService(r *request, mesh bool) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	var ofNode, tagged, passing func(*api.ServiceEntry) bool
	if meta := r.nodeMeta(); meta != nil {
		ofNode = func(e *api.ServiceEntry) bool { return meta(e.Node.Meta) }
	}
	if tags := r.tags(); tags != nil {
		tagged = func(e *api.ServiceEntry) bool { return tags(e.Service.Tags) }
	}
	if only, err := r.passing(); err != nil {
		return nil, err
	} else if only {
		passing = func(e *api.ServiceEntry) bool { return catalog.Passing(e, true) }
	}
	rows, err := list(r, catalog.Health{Service: r.name, Mesh: mesh, Central: r.central()}, ofNode, tagged, passing)
	if err != nil {
		r.hideMeta()
		return nil, err
	}
	return near(r, translated(r, rows, catalog.WANEntry), func(e *api.ServiceEntry) string { return e.Node.Node })
}

// healthIngress lists the ingress gateways through which a service is reached. There are no gateways in this release, so there
// are none; who waits is woken when the service changes.
func healthIngress(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	if _, err := list[*api.ServiceEntry](r, catalog.Health{Service: r.name}); err != nil {
		r.hideMeta()
		return nil, err
	}
	return rows{}, nil
}

// passing reads ?passing, which means yes when it has no value.
func (r *request) passing() (bool, error) {
	text := r.param("passing")
	if text == "" {
		return r.flag("passing"), nil
	}
	only, err := strconv.ParseBool(text)
	if err != nil {
		return false, api.Errorf(http.StatusBadRequest, "Invalid value for ?passing")
	}
	return only, nil
}

// healthNode lists all checks on a node.
func healthNode(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing node name")
	}
	keep, err := withFilter[*api.Check](r, nil)
	if err != nil {
		return nil, err
	}
	a, err := r.discover(catalog.Node{Name: r.name})
	if err != nil {
		return nil, err
	}
	checks := []*api.Check{}
	for _, row := range a.Rows {
		if c := row.Value.(*catalog.NodePart).Check; c != nil && (keep == nil || keep[0](c)) {
			checks = append(checks, c)
		}
	}
	return checks, nil
}

// healthChecks lists the checks of a service's instances.
func healthChecks(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	return listChecks(r, catalog.Checks{Service: r.name}, nil)
}

// anyState asks for the checks of all statuses.
const anyState = "any"

// healthState lists the checks that have a status.
func healthState(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing check state")
	}
	if r.name == anyState {
		return listChecks(r, catalog.Checks{}, nil)
	}
	return listChecks(r, catalog.Checks{}, func(c *api.Check) bool { return c.Status == r.name })
}

func listChecks(r *request, q catalog.Checks, keep func(*api.Check) bool) (any, error) {
	checks, err := list(r, q, keep)
	if err != nil {
		return nil, err
	}
	if meta := r.nodeMeta(); meta != nil {
		if checks, err = onNodes(r, checks, meta); err != nil {
			return nil, err
		}
	}
	return near(r, checks, func(c *api.Check) string { return c.Node })
}

// onNodes returns the checks on nodes with the metadata, which a check does not hold itself. The nodes are those of the
// moment in which the checks are there.
func onNodes(r *request, checks rows, meta func(map[string]string) bool) (rows, error) {
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	o.MinIndex = 0
	a, err := r.s.opts.Client.Query(r.Context(), o, catalog.Nodes{})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, row := range a.Rows {
		if n := row.Value.(*api.Node); meta(n.Meta) {
			known[strings.ToLower(n.Node)] = true
		}
	}
	return chosen(checks, []func(*api.Check) bool{func(c *api.Check) bool { return known[strings.ToLower(c.Node)] }}), nil
}
