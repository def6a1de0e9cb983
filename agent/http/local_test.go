package http_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// locals is what is registered on a host, in its simplest form: kept in maps, checks never run.
type locals struct {
	mu       sync.Mutex
	services map[string]*api.Service
	checks   map[string]*api.Check
	changed  chan struct{}
	token    string // of the last registration
}

func newLocals() *locals {
	return &locals{services: map[string]*api.Service{}, checks: map[string]*api.Check{}, changed: make(chan struct{})}
}

// change makes a change and wakes who waits for one.
func (l *locals) change(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

func (l *locals) Service(id string) (*api.Service, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.services[id], l.changed
}

func (l *locals) Services() []*api.Service {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*api.Service
	for _, s := range l.services {
		out = append(out, s)
	}
	return out
}

func (l *locals) Check(id string) *api.Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checks[id]
}

func (l *locals) Checks() []*api.Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*api.Check
	for _, c := range l.checks {
		out = append(out, c)
	}
	return out
}

func (l *locals) RegisterService(def *api.ServiceDefinition, token string, replaceChecks bool) error {
	if err := api.CheckName("service name", def.Name); err != nil {
		return err
	}
	if def.Port < 0 || def.Port > 65535 {
		return api.Errorf(http.StatusBadRequest, "Port %d is out of range: 0 to 65535", def.Port)
	}
	s := api.Service{
		Kind: def.Kind, ID: def.ID, Service: def.Name, Tags: def.Tags, Address: def.Address, Meta: def.Meta, Port: def.Port,
		Proxy: def.Proxy, Connect: def.Connect,
	}.Normalized()
	return l.change(func() error {
		l.token = token
		l.services[s.ID] = &s
		if replaceChecks {
			l.dropChecks(s.ID)
		}
		checks := def.Checks
		if def.Check != nil {
			checks = append(checks, *def.Check)
		}
		for i, c := range checks {
			id := cmp.Or(c.CheckID, fmt.Sprintf("service:%s:%d", s.ID, i+1))
			l.put(&api.Check{CheckID: id, Name: cmp.Or(c.Name, fmt.Sprintf("Service '%s' check", s.Service)), Status: c.Status, ServiceID: s.ID, Type: "ttl"})
		}
		return nil
	})
}

func (l *locals) put(c *api.Check) {
	c.Node, c.Status = "node-1", cmp.Or(c.Status, api.Critical)
	if s := l.services[c.ServiceID]; s != nil {
		c.ServiceName, c.ServiceTags = s.Service, s.Tags
	}
	l.checks[c.CheckID] = c
}

func (l *locals) dropChecks(service string) {
	for id, c := range l.checks {
		if c.ServiceID == service {
			delete(l.checks, id)
		}
	}
}

func (l *locals) DeregisterService(id string) error {
	return l.change(func() error {
		delete(l.services, id)
		l.dropChecks(id)
		return nil
	})
}

func (l *locals) RegisterCheck(def *api.CheckDefinition, token string) error {
	if err := check.Validate(def, check.NoScripts, false); err != nil {
		return err
	}
	return l.change(func() error {
		l.token = token
		l.put(&api.Check{CheckID: cmp.Or(def.ID, def.CheckID, def.Name), Name: def.Name, Status: def.Status, ServiceID: def.ServiceID, Notes: def.Notes, Type: check.KindOf(def)})
		return nil
	})
}

func (l *locals) DeregisterCheck(id string) error {
	return l.change(func() error { delete(l.checks, id); return nil })
}

func (l *locals) UpdateTTL(id, status, output string) error {
	return l.change(func() error {
		c := *l.checks[id]
		c.Status, c.Output = status, output
		l.checks[id] = &c
		return nil
	})
}

func (l *locals) maintenance(id, service string, enable bool, reason string) error {
	return l.change(func() error {
		delete(l.checks, id)
		if enable {
			l.put(&api.Check{CheckID: id, Name: "Maintenance Mode", ServiceID: service, Notes: reason, Type: "maintenance"})
		}
		return nil
	})
}

func (l *locals) ServiceMaintenance(id string, enable bool, reason, _ string) error {
	return l.maintenance(api.ServiceMaintenancePrefix+id, id, enable, reason)
}

func (l *locals) NodeMaintenance(enable bool, reason, _ string) error {
	return l.maintenance(api.NodeMaintenance, "", enable, reason)
}

// pool is a gossip pool of two.
type pool struct{ joined, left []string }

func (p *pool) Members() []api.Member {
	return []api.Member{
		{Name: "node-1", Addr: "127.0.0.1", Port: 8301, Status: api.MemberAlive, Tags: map[string]string{"role": "consul"}},
		{Name: "secret-2", Addr: "127.0.0.2", Port: 8301, Status: api.MemberFailed, Tags: map[string]string{"role": "node"}},
	}
}

func (p *pool) Join(_ context.Context, addrs []string, wan bool) error {
	if addrs[0] == "127.0.0.1:1" {
		return fmt.Errorf("join 127.0.0.1:1: connection refused")
	}
	p.joined = append(p.joined, fmt.Sprint(addrs, wan))
	return nil
}

func (p *pool) ForceLeave(_ context.Context, node string, prune, wan bool) error {
	if node != "secret-2" {
		return fmt.Errorf("No node found with name '%s'", node)
	}
	p.left = append(p.left, fmt.Sprint(node, prune, wan))
	return nil
}

func (p *pool) Explain(_ context.Context, node string, _ bool) (api.MemberExplanation, error) {
	if node != "secret-2" && node != "node-1" {
		return api.MemberExplanation{}, api.Errorf(http.StatusNotFound, "no member is called %q", node)
	}
	return api.MemberExplanation{Name: node, Status: "failed", Silent: []string{}, Events: []api.MemberEvent{}}, nil
}

// leaves holds one certificate for every service, which rotate replaces.
type leaves struct {
	mu       sync.Mutex
	index    uint64
	replaced chan struct{}
}

func newLeaves() *leaves { return &leaves{index: 7, replaced: make(chan struct{})} }

func (l *leaves) Leaf(_ context.Context, service, token string) (api.Leaf, <-chan struct{}, error) {
	if service == "secret" && token != "root" {
		return api.Leaf{}, nil, api.Errorf(http.StatusForbidden, "Permission denied: service:write on %q", service)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return api.Leaf{Service: service, ModifyIndex: l.index, CreateIndex: l.index}, l.replaced, nil
}

func (l *leaves) rotate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	close(l.replaced)
	l.replaced = make(chan struct{})
}

// proxies has the snapshot of "web-sidecar-proxy" at hand, and never any other.
type proxies struct{}

func (proxies) Snapshot(ctx context.Context, id, _, hash string) ([]byte, string, error) {
	if id != "web-sidecar-proxy" {
		<-ctx.Done()
		return nil, "", fmt.Errorf("snapshot of %s: %w", id, ctx.Err())
	}
	if hash == "h1" {
		<-ctx.Done()
	}
	return []byte(`{"ProxyID":"web-sidecar-proxy"}`), "h1", nil
}
