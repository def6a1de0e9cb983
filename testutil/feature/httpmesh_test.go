package feature

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestHTTPMesh takes config entries to where requests go, through a real agent and real Envoys.
func TestHTTPMesh(t *testing.T) {
	envoy := planes()[1]
	a := testutil.Dev(t)
	write := func(e api.ConfigEntry) {
		t.Helper()
		if err := a.API.ConfigEntries().Put(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(&api.ProxyDefaults{Kind: api.KindProxyDefaults, Name: api.ProxyDefaultsGlobal, Config: map[string]any{"protocol": "http"}})
	if err := a.API.Intentions().Put(t.Context(), &api.Intention{SourceName: "web", DestinationName: "*", Action: api.Allow}, nil); err != nil {
		t.Fatal(err)
	}
	port := testutil.FreePorts(t).HTTP
	backends := map[string]*backend{}
	for name, service := range map[string]string{"db-1": "db", "db-2": "db", "api-1": "api"} {
		b := startBackend(t, name)
		backends[name] = b
		d := b.definition(service)
		d.Meta = map[string]string{"version": name}
		register(t, a, d)
		envoy.start(t, a, name)
	}
	register(t, a, &api.ServiceDefinition{
		Name: "web", Port: 1, Connect: &api.Connect{SidecarService: &api.ServiceDefinition{Proxy: &api.Proxy{
			Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: port}},
		}}},
	})
	envoy.start(t, a, "web")
	client := &http.Client{Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	get := func(ctx context.Context, path string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+path, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return strconv.Itoa(resp.StatusCode), err
		}
		return string(body), err
	}
	reaches := func(path string, want ...string) {
		t.Helper()
		began := time.Now()
		defer func() { t.Logf("%s reached %q after %s", path, want, time.Since(began).Round(time.Millisecond)) }()
		testutil.Eventually(t, fmt.Sprintf("%s to reach %q", path, want), func(ctx context.Context) error {
			seen := map[string]bool{}
			for range 10 * len(want) {
				got, err := get(ctx, path)
				if err != nil {
					return err
				}
				seen[got] = true
			}
			for _, w := range want {
				if !seen[w] || len(seen) != len(want) {
					return fmt.Errorf("answered by %v", seen)
				}
			}
			return nil
		})
	}
	reaches("/", "db-1", "db-2")

	write(&api.ServiceResolver{Kind: api.KindServiceResolver, Name: "db", Subsets: map[string]api.Subset{
		"two": {Filter: `Service.Meta.version == "db-2"`},
	}, Failover: map[string]api.ResolverFailover{"two": {Service: "api"}}})
	write(&api.ServiceRouter{Kind: api.KindServiceRouter, Name: "db", Routes: []api.ServiceRoute{
		{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/api"}}, Destination: &api.RouteDestination{Service: "api"}},
		{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/two"}}, Destination: &api.RouteDestination{ServiceSubset: "two"}},
	}})
	reaches("/api", "api-1")
	reaches("/two", "db-2")
	reaches("/", "db-1", "db-2")

	backends["db-2"].unwell.Store(true)
	reaches("/two", "api-1")
	reaches("/", "db-1")
	backends["db-2"].unwell.Store(false)
	reaches("/two", "db-2")

	if err := a.API.Intentions().Put(t.Context(), &api.Intention{SourceName: "web", DestinationName: "api", Action: api.Deny}, nil); err != nil {
		t.Fatal(err)
	}
	reaches("/api", "403")
	reaches("/two", "db-2")

	write(&api.ServiceDefaults{Kind: api.KindServiceDefaults, Name: "web", UpstreamConfig: &api.UpstreamConfig{
		Overrides: []api.UpstreamSettings{{Name: "db", Limits: &api.UpstreamLimits{MaxConcurrentRequests: new(int)}}},
	}})
	reaches("/", "503")
	if err := a.API.ConfigEntries().Delete(t.Context(), api.KindServiceDefaults, "web", nil); err != nil {
		t.Fatal(err)
	}
	reaches("/", "db-1", "db-2")
}
