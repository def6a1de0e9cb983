package http

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

var agentHealthRoutes = []route{
	on("/v1/agent/health/service/id/", get(agentHealthByID)),
	on("/v1/agent/health/service/name/", get(agentHealthByName)),
}

// instanceHealth is a service of this host with all checks that concern it, rolled up.
type instanceHealth struct {
	AggregatedStatus string
	Service          *api.AgentService
	Checks           []instanceCheck
}

// instanceCheck is a check as only these two endpoints show it.
type instanceCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	ExposedPort int
	Definition  instanceCheckDefinition
	CreateIndex uint64
	ModifyIndex uint64
}

// instanceCheckDefinition shows every field, and what it shows is not filled in for checks that an agent runs itself.
type instanceCheckDefinition struct {
	HTTP                           string
	TLSServerName                  string
	TLSSkipVerify                  bool
	Header                         map[string][]string
	Method                         string
	Body                           string
	TCP                            string
	TCPUseTLS                      bool
	UDP                            string
	GRPC                           string
	GRPCUseTLS                     bool
	OSService                      string
	Interval                       api.Duration
	Timeout                        api.Duration
	DeregisterCriticalServiceAfter api.Duration
}

func newInstanceCheck(c *api.Check) instanceCheck {
	tags := c.ServiceTags
	if len(tags) == 0 {
		tags = nil
	}
	return instanceCheck{
		Node: c.Node, CheckID: c.CheckID, Name: c.Name, Status: c.Status, Notes: c.Notes, Output: c.Output,
		ServiceID: c.ServiceID, ServiceName: c.ServiceName, ServiceTags: tags, ExposedPort: c.ExposedPort,
	}
}

// healthStatus is the status code by which a load balancer sees a service's health.
var healthStatus = map[string]int{
	api.Passing: http.StatusOK, api.Warning: http.StatusTooManyRequests,
	api.Critical: http.StatusServiceUnavailable, api.Maintenance: http.StatusServiceUnavailable,
}

// shownHealth answers with a health, as text if that is what the client wants.
func (r *request) shownHealth(code int, reason string, body any) *reply {
	r.w.Header().Set("X-Consul-Reason", reason)
	if r.param("format") == "text" || strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		return &reply{status: code, contentType: "text/plain", body: []byte(reason)}
	}
	return &reply{status: code, body: body}
}

func agentHealthByID(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Missing serviceID")
	}
	s, _ := r.s.opts.Local.Service(r.name)
	if s == nil {
		return r.shownHealth(http.StatusNotFound, fmt.Sprintf("ServiceId %s not found", r.name), instanceHealth{AggregatedStatus: api.Critical}), nil
	}
	if err := r.need("service", s.Service, api.Read); err != nil {
		return nil, err
	}
	h := r.healthOf(s, r.s.opts.Local.Checks())
	return r.shownHealth(healthStatus[h.AggregatedStatus], h.AggregatedStatus, h), nil
}

func agentHealthByName(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Missing service Name")
	}
	if err := r.need("service", r.name, api.Read); err != nil {
		return nil, err
	}
	all, checks := []instanceHealth{}, r.s.opts.Local.Checks()
	worst := api.Passing
	for _, s := range r.s.opts.Local.Services() {
		if s.Service != r.name {
			continue
		}
		h := r.healthOf(s, checks)
		all = append(all, h)
		worst = worse(worst, h.AggregatedStatus)
	}
	if len(all) == 0 {
		return r.shownHealth(http.StatusNotFound, fmt.Sprintf("ServiceName %s Not Found", r.name), all), nil
	}
	slices.SortFunc(all, func(a, b instanceHealth) int { return cmp.Compare(a.Service.ID, b.Service.ID) })
	return r.shownHealth(healthStatus[worst], worst, all), nil
}

// worse returns the worse of two rolled up statuses.
func worse(a, b string) string {
	order := []string{api.Passing, api.Warning, api.Critical, api.Maintenance}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// healthOf rolls up the checks of a service and of the node.
func (r *request) healthOf(s *api.Service, checks []*api.Check) instanceHealth {
	a := api.NewAgentService(s, r.s.opts.Datacenter)
	h := instanceHealth{Service: &a, Checks: []instanceCheck{}}
	var concerned []api.Check
	for _, c := range checks {
		if c.ServiceID == "" || c.ServiceID == s.ID {
			concerned = append(concerned, *c)
			h.Checks = append(h.Checks, newInstanceCheck(c))
		}
	}
	slices.SortFunc(h.Checks, func(a, b instanceCheck) int { return cmp.Compare(a.CheckID, b.CheckID) })
	h.AggregatedStatus = api.WorstStatus(concerned)
	return h
}
