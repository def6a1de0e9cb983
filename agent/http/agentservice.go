package http

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/parleymesh/parley/api"
)

var agentServiceRoutes = []route{
	on("/v1/agent/services", get(agentServices)),
	on("/v1/agent/service/", get(agentService)),
	on("/v1/agent/service/register", put(agentServiceRegister)),
	on("/v1/agent/service/deregister/", put(agentServiceDeregister)),
	on("/v1/agent/service/maintenance/", put(agentServiceMaintenance)),
}

func agentServices(r *request) (any, error) {
	wanted, err := chooser[*api.AgentService](r)
	if err != nil {
		return nil, err
	}
	services := map[string]*api.AgentService{}
	for _, s := range r.s.opts.Local.Services() {
		if shown, err := r.may("service", s.Service, api.Read); err != nil {
			return nil, err
		} else if !shown {
			continue
		}
		if a := api.NewAgentService(s, r.s.opts.Datacenter); wanted(&a) {
			services[a.ID] = &a
		}
	}
	return services, nil
}

// agentService shows one service. With ?hash it waits until the content is another one.
func agentService(r *request) (any, error) {
	ctx, stop, err := r.patience(r.param("hash") != "")
	if err != nil {
		return nil, err
	}
	defer stop()
	for again := true; ; {
		s, changed := r.s.opts.Local.Service(r.name)
		if s == nil {
			return nil, api.Errorf(http.StatusNotFound, "unknown service ID: %s", r.name)
		}
		if err := r.need("service", s.Service, api.Read); err != nil {
			return nil, err
		}
		a := api.NewAgentService(s, r.s.opts.Datacenter)
		if a.ContentHash, err = contentHash(a); err != nil {
			return nil, err
		}
		if a.ContentHash != r.param("hash") || !again {
			r.w.Header().Set("X-Consul-ContentHash", a.ContentHash)
			return a, nil
		}
		if again, err = r.s.until(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// contentHash tells one content from another. It is the same on every agent and after a restart.
func contentHash(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

func agentServiceRegister(r *request) (any, error) {
	var def api.ServiceDefinition
	if err := r.decode(&def); err != nil {
		return nil, err
	}
	replace, err := r.yes("replace-existing-checks")
	if err != nil {
		return nil, err
	}
	if err := onlyDefaultTenant(def.Namespace, def.Partition); err != nil {
		return nil, err
	}
	if def.Name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	if err := r.need("service", def.Name, api.Write); err != nil {
		return nil, err
	}
	if old, _ := r.s.opts.Local.Service(cmp.Or(def.ID, def.Name)); old != nil && old.Service != def.Name {
		if err := r.need("service", old.Service, api.Write); err != nil {
			return nil, err
		}
	}
	return nil, r.s.opts.Local.RegisterService(&def, cmp.Or(def.Token, r.token()), replace)
}

// yes reads a parameter that means yes also when it has no value.
func (r *request) yes(name string) (bool, error) {
	text := r.param(name)
	if text == "" {
		return r.flag(name), nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, api.Errorf(http.StatusBadRequest, "Invalid value for %s: %q is neither true nor false", name, text)
	}
	return b, nil
}

// onlyDefaultTenant refuses a body that belongs elsewhere.
func onlyDefaultTenant(namespace, partition string) error {
	if !defaultTenant(namespace) {
		return api.Errorf(http.StatusBadRequest, "Namespace is %q, but only %q exists in this release", namespace, api.DefaultTenant)
	}
	if !defaultTenant(partition) {
		return api.Errorf(http.StatusBadRequest, "Partition is %q, but only %q exists in this release", partition, api.DefaultTenant)
	}
	return nil
}

// ownService returns the service that the request names, which is there, once the client may change it.
func (r *request) ownService() (*api.Service, error) {
	s, _ := r.s.opts.Local.Service(r.name)
	if s == nil {
		return nil, api.Errorf(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", r.name)
	}
	return s, r.need("service", s.Service, api.Write)
}

func agentServiceDeregister(r *request) (any, error) {
	s, err := r.ownService()
	if err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.DeregisterService(s.ID)
}

func agentServiceMaintenance(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service ID")
	}
	enable, err := r.enable()
	if err != nil {
		return nil, err
	}
	s, err := r.ownService()
	if err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.ServiceMaintenance(s.ID, enable, r.param("reason"), r.token())
}
