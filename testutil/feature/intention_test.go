package feature

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
	"github.com/parleymesh/parley/testutil/policycases"
)

// TestRequestsAreJudged takes permissions and tokens from the command line to real Envoys, and back out of their log.
func TestRequestsAreJudged(t *testing.T) {
	testutil.Envoy(t) // or skip
	a := testutil.Dev(t)
	start := func(service string) {
		run(t, a, "connect", "envoy", "-sidecar-for", service, "-envoy-binary", testutil.Envoy(t),
			"-admin-bind", "127.0.0.1:"+strconv.Itoa(testutil.FreePorts(t).HTTP), "--",
			"-l", "warning", "--concurrency", "1", "--file-flush-interval-msec", "50")
	}
	write := func(e api.ConfigEntry) {
		t.Helper()
		if err := a.API.ConfigEntries().Put(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	one := policycases.NewIssuer(t, "one")
	log := filepath.Join(dir, "access.log")
	write(&api.ProxyDefaults{Kind: api.KindProxyDefaults, Name: api.ProxyDefaultsGlobal, Config: map[string]any{"protocol": "http"},
		AccessLogs: api.AccessLogs{Enabled: true, Type: "file", Path: log, DisableListenerLogs: true}})
	write(&api.MeshEntry{Kind: api.KindMesh, HTTP: &api.MeshHTTP{Incoming: &api.MeshHTTPDirection{
		RequestNormalization: &api.RequestNormalization{MergeSlashes: true},
	}}})
	provider := one.Provider(t)
	provider.Locations = nil
	write(provider)
	create := func(x api.Intention, flags ...string) {
		t.Helper()
		text, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "intention.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		a.Must(append(append([]string{"intention", "create", "-file"}, flags...), file)...)
	}
	intention := api.Intention{SourceName: "web", DestinationName: "db", Permissions: []api.IntentionPermission{
		{Action: api.Deny, HTTP: &api.IntentionHTTP{PathPrefix: "/admin/keys"}},
		{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: "/admin"}, JWT: &api.IntentionJWT{Providers: []api.IntentionJWTProvider{
			{Name: "one", VerifyClaims: []api.IntentionJWTClaim{{Path: []string{"role"}, Value: "admin"}}},
		}}},
		{Action: api.Allow, HTTP: &api.IntentionHTTP{Methods: []string{"GET"}}},
	}}
	create(intention)
	if got := a.Must("intention", "get", "web", "db"); !strings.Contains(got, "3 permissions") || !strings.Contains(got, "/admin/keys") {
		t.Errorf("intention get prints %s", got)
	}
	if out, _, code := a.Run("intention", "check", "web", "db"); code != 1 || !strings.Contains(out, "Denied") {
		t.Errorf("a connection alone: %d, %s", code, out)
	}
	// A provider that is asked for stays, and one that is not there is not asked for.
	if _, stderr, code := a.Run("config", "delete", "-kind", "jwt-provider", "-name", "one"); code == 0 || !strings.Contains(stderr, "one") {
		t.Errorf("the provider in use could be deleted: %d, %s", code, stderr)
	}
	absent := intention
	absent.Permissions = []api.IntentionPermission{{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: "/"}, JWT: &api.IntentionJWT{
		Providers: []api.IntentionJWTProvider{{Name: "two"}},
	}}}
	if err := a.API.Intentions().Put(t.Context(), &absent, nil); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("an intention could name a provider that is not there: %v", err)
	}

	b := startBackend(t, "db-1")
	register(t, a, b.definition("db"))
	start("db-1")
	port := testutil.FreePorts(t).HTTP
	register(t, a, &api.ServiceDefinition{
		Name: "web", Port: 1, Connect: &api.Connect{SidecarService: &api.ServiceDefinition{Proxy: &api.Proxy{
			Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: port}},
		}}},
	})
	start("web")
	client := &http.Client{Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(ctx context.Context, id, method, path, token string) (int, error) {
		req, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(port))+path, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("User-Agent", id)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	eventually := func(method, path, token string, want int) {
		t.Helper()
		testutil.Eventually(t, fmt.Sprintf("%s %s to be answered with %d", method, path, want), func(ctx context.Context) error {
			got, err := ask(ctx, "settling", method, path, token)
			if err == nil && got != want {
				err = fmt.Errorf("status %d", got)
			}
			return err
		})
	}
	eventually("GET", "/", "", 200)
	admin, user := one.Token(t, map[string]any{"role": "admin"}), one.Token(t, map[string]any{"role": "user"})
	asked := []struct {
		method, path, token string
		status              int
		rule                string
	}{
		{"GET", "/", "", 200, "intention:web->db#3"},
		{"POST", "/", "", 403, "intention:web->db: denied"},
		{"GET", "/admin", "", 401, "intention:web->db#2: no valid token"},
		{"GET", "/x/../admin", "", 401, "intention:web->db#2: no valid token"},
		{"GET", "/admin", user, 403, "intention:web->db#2: wrong claims"},
		{"POST", "/admin", admin, 200, "intention:web->db#2"},
		{"GET", "/admin/keys", admin, 403, "intention:web->db#1: denied"},
		{"GET", "/admin//keys", admin, 403, "intention:web->db#1: denied"},
	}
	for i, x := range asked {
		if got, err := ask(t.Context(), fmt.Sprint("asked-", i), x.method, x.path, x.token); err != nil || got != x.status {
			t.Errorf("%s %s: %d, %v, want %d", x.method, x.path, got, err, x.status)
		}
	}
	testutil.Eventually(t, "the log to name the rules", func(context.Context) error {
		found := map[string]string{}
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["listener"] == "public_listener" {
				found[fmt.Sprint(entry["user_agent"])] = fmt.Sprint(entry["rule"])
			}
		}
		for i, x := range asked {
			if got := found[fmt.Sprint("asked-", i)]; got != x.rule {
				return fmt.Errorf("%s %s: the log names %q, want %q", x.method, x.path, got, x.rule)
			}
		}
		return nil
	})
	// With web -> * allow and * -> db deny the second has precedence, in the API and in the proxy.
	a.Must("intention", "delete", "web", "db")
	a.Must("intention", "create", "-allow", "web", "*")
	eventually("POST", "/", "", 200)
	a.Must("intention", "create", "-deny", "*", "db")
	eventually("POST", "/", "", 403)
	if d, _, err := a.API.Intentions().Check(t.Context(), "web", "db", nil); err != nil || d.Allowed {
		t.Errorf("the API says %+v, %v", d, err)
	}
	for range 20 {
		if got, err := ask(t.Context(), "after", "POST", "/", admin); err != nil || got != 403 {
			t.Fatalf("a denied request was answered with %d, %v", got, err)
		}
	}
	create(intention, "-replace")
	eventually("POST", "/admin", admin, 200)
	eventually("POST", "/", "", 403)
}
