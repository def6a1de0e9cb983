package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

const web = `{"Name": "web", "Port": 80, "Tags": ["v1"], "Check": {"TTL": "30s", "Status": "passing"}}`

func TestRegistrationIsSyncedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(newServers(t)))
		settle()
		h.servers.commands()
		h.register(`{"Name": "web", "ID": "web-1", "Port": 80, "Address": "10.1.0.1", "Meta": {"a": "b"}, "Weights": {"Passing": 3, "Warning": 1},
			"Check": {"TTL": "30s", "Status": "passing", "Notes": "n"},
			"Connect": {"SidecarService": {"Proxy": {"Config": {"x": 1, "list": [1, {"a": null}]}, "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9000, "Config": {"y": 2.5}}]}}}}`)
		settle()
		h.servers.has("web-1 web-1-sidecar-proxy | service:web-1-sidecar-proxy:1=critical service:web-1-sidecar-proxy:2=passing service:web-1=passing")
		if n := h.servers.commands(); n > 4 {
			t.Errorf("%d commands for one registration", n)
		}
		n, services, checks := h.servers.node("node-1")
		if n.ID != node1().ID || n.Meta["rack"] != "r1" {
			t.Errorf("the node is %+v", n)
		}
		if s := services["web-1"]; s.Weights.Passing != 3 || s.TaggedAddresses["lan_ipv4"].Port != 80 || s.Connect == nil || s.Connect.SidecarService != nil {
			t.Errorf("the service is %+v", s)
		}
		if p := services["web-1-sidecar-proxy"].Proxy; p.DestinationServiceID != "web-1" || p.Upstreams[0].LocalBindPort != 9000 {
			t.Errorf("the sidecar is %+v", p)
		}
		if c := checks["service:web-1"]; c.Type != "ttl" || c.Notes != "n" || c.ServiceName != "web" {
			t.Errorf("the check is %+v", c)
		}
		// What is the same is not written again, however often it is compared.
		h.servers.commands()
		for range 5 {
			time.Sleep(25 * time.Second)
			if err := h.UpdateTTL("service:web-1", api.Passing, ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.servers.commands(); n != 0 {
			t.Errorf("%d commands though nothing has changed", n)
		}
		for _, line := range []string{"service synced", "check synced", "node synced"} {
			if h.logged(line) == 0 {
				t.Errorf("not logged: %s", line)
			}
		}
		if err := h.DeregisterService("web-1"); err != nil {
			t.Fatal(err)
		}
		settle()
		h.servers.has("|")
	})
}

func TestCatalogIsRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		// What was there before this agent was, or has been put there by others.
		s.by(registerNode("node-1", api.Registration{
			Service: &api.Service{ID: "ghost", Service: "ghost"},
			Checks:  []api.Check{{CheckID: "of-ghost", ServiceID: "ghost"}, {CheckID: "ghostly"}, {CheckID: api.SerfHealth, Status: api.Passing}},
		}))
		s.by(registerNode("node-1", api.Registration{Service: &api.Service{ID: "consul", Service: "consul"}}))
		s.by(registerNode("node-2", api.Registration{Service: &api.Service{ID: "other", Service: "other"}}))
		h := start(t, options(s))
		h.register(web)
		settle()
		s.has("web | serfHealth=passing service:web=passing")
		if _, services, _ := s.node("node-2"); len(services) != 1 {
			t.Error("another node's service was touched")
		}
		s.by(catalog.Deregister{Deregistration: api.Deregistration{Node: "node-1", ServiceID: "web"}})
		s.by(registerNode("node-1", api.Registration{Check: &api.Check{CheckID: "put-there"}}))
		h.registerCheck(`{"Name": "mem", "TTL": "1h", "Status": "warning"}`)
		time.Sleep(2 * time.Minute)
		s.has("web | mem=warning serfHealth=passing service:web=critical")
		s.by(catalog.Deregister{Deregistration: api.Deregistration{Node: "node-1"}})
		time.Sleep(2 * time.Minute)
		s.has("web | mem=warning service:web=critical")
		if n, _, _ := s.node("node-1"); n == nil || n.Address != "192.0.2.1" || n.Meta["rack"] != "r1" {
			t.Errorf("the node is %+v", n)
		}
	})
}

func TestServersOwnServiceIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		s.by(registerNode("node-1", api.Registration{Service: &api.Service{ID: "consul", Service: "consul"}, Checks: []api.Check{{CheckID: "leaders", ServiceID: "consul"}}}))
		o := options(s)
		o.Server = true
		h := start(t, o)
		settle()
		s.has("consul | leaders=critical")
		if err := h.tryRegister(`{"Name": "consul"}`, "", false); api.StatusOf(err) != 400 {
			t.Errorf("the server's service can be registered: %v", err)
		}
	})
}

func TestServersAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		s.fail(verb.ErrNoLeader)
		h := start(t, options(s))
		h.register(web)
		h.register(`{"Name": "gone"}`)
		time.Sleep(time.Hour)
		if err := h.UpdateTTL("service:web", api.Warning, "careful"); err != nil {
			t.Fatal(err)
		}
		if err := h.DeregisterService("gone"); err != nil {
			t.Fatal(err)
		}
		if n := h.logged("no server answers"); n != 1 {
			t.Errorf("said %d times that no server answers", n)
		}
		if n := s.tried(); n > 3600 {
			t.Errorf("%d tries in an hour", n)
		}
		s.fail(nil)
		time.Sleep(10 * time.Second)
		s.has("web | service:web=warning")

		s.fail(fmt.Errorf("server 192.0.2.7: %w", errors.New("connection reset")))
		if err := h.UpdateTTL("service:web", api.Passing, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.has("web | service:web=warning")
		if n := h.logged("no server answers"); n != 2 {
			t.Errorf("said %d times that no server answers", n)
		}
		s.fail(nil)
		time.Sleep(10 * time.Second)
		s.has("web | service:web=critical") // whose TTL ran out meanwhile
	})
}

func TestRefusalsDoNotHoldUpTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		allowed := map[string]bool{"agent": true}
		s.refuse = func(token string, c verb.Command) error {
			if !allowed[token] {
				return api.Errorf(403, "Permission denied for %q", token)
			}
			return nil
		}
		o := options(s)
		o.Token = func() string { return "agent" }
		h := start(t, o)
		if err := h.tryRegister(`{"Name": "secret", "Check": {"TTL": "10h"}}`, "bad", false); err != nil {
			t.Fatal(err)
		}
		h.register(web)
		time.Sleep(time.Hour)
		s.has("web | service:web=critical")
		if n := h.logged("refuse"); n != 1 {
			t.Errorf("said %d times that it is refused", n)
		}
		if n := s.tried(); n > 400 {
			t.Errorf("%d tries in an hour", n)
		}
		s.mu.Lock()
		allowed["bad"] = true
		s.mu.Unlock()
		time.Sleep(3 * time.Minute)
		s.has("secret web | service:secret=critical service:web=critical")
		// Whatever its token may do by now, a node can take back what it has registered.
		s.mu.Lock()
		delete(allowed, "bad")
		s.mu.Unlock()
		if err := h.DeregisterService("secret"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		s.has("web | service:web=critical")
	})
}

func TestCheckOfAnotherToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		used := map[string]int{}
		s.refuse = func(token string, c verb.Command) error {
			if r, ok := c.(catalog.Register); ok {
				used[token] += len(r.Checks)
			}
			return nil
		}
		h := start(t, options(s))
		if err := h.tryRegister(`{"Name": "web", "Checks": [{"TTL": "1h"}, {"TTL": "1h", "CheckID": "x", "Token": "two"}]}`, "one", false); err != nil {
			t.Fatal(err)
		}
		settle()
		s.has("web | service:web:1=critical x=critical")
		s.mu.Lock()
		defer s.mu.Unlock()
		if used["one"] != 1 || used["two"] != 1 {
			t.Errorf("checks by token: %v", used)
		}
	})
}

func TestTagsOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		h.register(`{"Name": "web", "Port": 80, "Tags": ["mine"], "EnableTagOverride": true}`)
		h.register(`{"Name": "db", "Port": 90, "Tags": ["mine"]}`)
		settle()
		_, services, _ := s.node("node-1")
		for _, id := range []string{"web", "db"} {
			changed := *services[id]
			changed.Tags = []string{"theirs"}
			s.by(registerNode("node-1", api.Registration{Service: &changed, SkipNodeUpdate: true}))
		}
		time.Sleep(2 * time.Minute)
		_, services, _ = s.node("node-1")
		if got := services["web"].Tags[0] + services["db"].Tags[0]; got != "theirsmine" {
			t.Errorf("tags are %s", got)
		}
		if own, _ := h.Service("web"); own.Tags[0] != "theirs" {
			t.Errorf("the tags here are %s", own.Tags)
		}
	})
}

func TestNodeIsKeptCurrent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		start(t, options(s))
		settle()
		old := node1()
		old.Meta = map[string]string{"rack": "old"}
		s.by(catalog.Register{Registration: api.Registration{ID: old.ID, Node: "node-1", Address: old.Address, NodeMeta: old.Meta}})
		time.Sleep(2 * time.Minute)
		if n, _, _ := s.node("node-1"); n.Meta["rack"] != "r1" || n.TaggedAddresses["lan"] == "" {
			t.Errorf("the node is %+v", n)
		}
	})
}

func TestManyAreSyncedInFewRounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		s.fail(verb.ErrNoLeader)
		h := start(t, options(s))
		for i := range 500 {
			h.register(fmt.Sprintf(`{"Name": "web", "ID": "web-%d", "Check": {"TTL": "1h", "Status": "passing"}}`, i))
			h.registerCheck(fmt.Sprintf(`{"Name": "c%d", "TTL": "1h"}`, i))
		}
		s.fail(nil)
		time.Sleep(10 * time.Second)
		if n := s.commands(); n < 500 || n > 520 {
			t.Errorf("%d commands", n)
		}
		if _, services, checks := s.node("node-1"); len(services) != 500 || len(checks) != 1000 {
			t.Errorf("%d services and %d checks", len(services), len(checks))
		}
	})
}

func TestRegistrationDuringASync(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		settle()
		// Whatever is registered while something is told ends as it was registered last.
		for i := range 50 {
			h.register(fmt.Sprintf(`{"Name": "web", "Port": %d}`, i+1))
			if i%3 == 0 {
				if err := h.DeregisterService("web"); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.register(`{"Name": "web", "Port": 99}`)
		settle()
		_, services, _ := s.node("node-1")
		if services["web"] == nil || services["web"].Port != 99 {
			t.Errorf("the catalog has %s", asText(services["web"]))
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		s.fail(verb.ErrNoLeader)
		h := start(t, options(s))
		h.register(web)
		time.Sleep(time.Minute)
		h.stop()
		if err := h.tryRegister(web, "", false); api.StatusOf(err) != 503 {
			t.Errorf("registered with an agent that has stopped: %v", err)
		}
		if n := strings.Count(h.all(), "web"); n == 0 {
			t.Error("nothing to look at after the stop")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		h.Run(ctx)
	})
}
