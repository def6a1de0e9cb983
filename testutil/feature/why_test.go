package feature

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestCatalogWhy asks who registered instances, and what removes them.
func TestCatalogWhy(t *testing.T) {
	c := testutil.NewCluster(t, 1, 2)
	server, one, two := c.Servers[0], c.Clients[0], c.Clients[1]
	one.Must("services", "register", "-name=web", "-id=web-7", "-port=80")
	err := two.API.Agent().RegisterService(t.Context(), &api.ServiceDefinition{
		Name: "db", Checks: []api.CheckDefinition{{TTL: api.Duration(600e9), DeregisterCriticalServiceAfter: api.Duration(90e9), Status: api.Passing}},
	}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = server.API.Catalog().Register(t.Context(), &api.Registration{
		Node: "router", Address: "10.9.9.9", Service: &api.Service{Service: "gateway"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	says := func(id string, want ...string) {
		t.Helper()
		testutil.Eventually(t, "why "+id, func(context.Context) error {
			out, errs, code := server.Run("catalog", "why", id)
			for _, w := range want {
				if code != 0 || !strings.Contains(out, w) {
					return errors.New(w + " is not in: " + out + errs)
				}
			}
			return nil
		})
	}
	says("web-7", "web-7 (service web) on client-1 (127.0.0.1) is passing", "the agent of client-1 (client agent, alive)", "services deregister -id=web-7 at the agent of client-1", "leaving the pool")
	says("db", "the agent of client-2", "that has deregister_critical_service_after")
	says("gateway", "a write to the catalog", "no agent runs under the name router", "/v1/catalog/deregister, and nothing else")
	says("consul", "every server is listed")
	two.Kill()
	says("db", "client agent, failed", "force-leave")
	if _, errs, code := server.Run("catalog", "why", "nobody"); code != 1 || !strings.Contains(errs, `no instance of the id "nobody"`) {
		t.Errorf("an id that nobody has: %d %q", code, errs)
	}
}
