package clients

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// answering starts an HTTP server that answers with a name, and returns its port.
func answering(t *testing.T, name string) int {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestHAProxy has HAProxy find the instances of a service by SRV records, and follow their health and their number. It makes no
// checks of its own: what it knows is what the agent's DNS tells it.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	haproxy := debian(t, "haproxy")
	a := testutil.Dev(t)
	add := func(id string) {
		t.Helper()
		register(t, a, api.ServiceDefinition{ID: id, Name: "web", Address: "127.0.0.1", Port: answering(t, id)})
	}
	mark := func(id, status string) {
		t.Helper()
		if err := a.API.Agent().UpdateTTL(t.Context(), "alive-"+id, status, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	add("web-1")
	add("web-2")
	front := testutil.FreePorts(t).HTTP
	conf := writeFile(t, filepath.Join(t.TempDir(), "haproxy.cfg"), fmt.Sprintf(`
global
  log stderr format raw local0 info
defaults
  mode http
  log global
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout queue 1s
  retries 3
  option redispatch
resolvers parley
  nameserver agent %s
  accepted_payload_size 8192
  resolve_retries 3
  timeout resolve 200ms
  timeout retry 500ms
  hold valid 200ms
  hold obsolete 0s
  hold nx 0s
frontend front
  bind 127.0.0.1:%d
  default_backend web
backend web
  balance roundrobin
  server-template web 10 _web._tcp.service.consul resolvers parley resolve-opts allow-dup-ip init-addr none
`, a.DNSAddr(), front))
	start(t, exec.Command(haproxy, "-db", "-f", conf))

	// served waits until just these instances share the traffic.
	served := func(want ...string) {
		t.Helper()
		testutil.Eventually(t, fmt.Sprintf("traffic at %v", want), func(ctx context.Context) error {
			seen := map[string]bool{}
			for range 20 {
				name, err := fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d/", front))
				if err != nil {
					return err
				}
				seen[name] = true
			}
			if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
				return fmt.Errorf("%v answer", got)
			}
			return nil
		})
	}
	served("web-1", "web-2")
	mark("web-1", api.Critical)
	served("web-2")
	mark("web-1", api.Passing)
	served("web-1", "web-2")
	add("web-3")
	served("web-1", "web-2", "web-3")
	if err := a.API.Agent().DeregisterService(t.Context(), "web-2", nil); err != nil {
		t.Fatal(err)
	}
	served("web-1", "web-3")
	// None is left: the balancer says so itself. The first one that comes back is served again.
	mark("web-1", api.Critical)
	mark("web-3", api.Critical)
	testutil.Eventually(t, "nobody to answer", func(ctx context.Context) error {
		if name, err := fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d/", front)); err == nil {
			return fmt.Errorf("%s answers", name)
		}
		return nil
	})
	mark("web-3", api.Passing)
	served("web-3")
}
