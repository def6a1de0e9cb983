package http_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// empty is a server that checks the shape of what it is asked, and has nothing.
type empty struct{}

func (empty) Apply(_ context.Context, _ verb.Options, c verb.Command) (verb.Result, error) {
	return verb.Result{Index: 1}, c.Validate()
}

func (empty) Query(_ context.Context, _ verb.Options, q verb.Query) (verb.Answer, error) {
	return verb.Answer{Index: 1}, q.Validate()
}

func (empty) Watch(context.Context, verb.Options, verb.Query) (verb.Reader, error) {
	return nil, errors.New("nothing is watched")
}

// FuzzRequest throws paths, queries and bodies at the API: whatever comes, an endpoint answers, and no fault of ours is
// met on the way.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, body string }{
		{"GET", "/v1/catalog/service/web?tag=a&passing&filter=ServicePort == 1&near=_agent", ""},
		{"GET", "/v1/health/service/web?index=1&wait=1s&stale&max_stale=1s", ""},
		{"PUT", "/v1/catalog/register", `{"Node": "a", "Address": "b", "Service": {"Service": "x", "Port": 1}}`},
		{"PUT", "/v1/agent/service/register?replace-existing-checks=1", `{"name": "web", "connect": {"sidecar_service": {"proxy": {"upstreams": [{"destination_name": "db", "local_bind_port": 1}]}}}}`},
		{"GET", "/v1/agent/service/web?hash=abc&wait=1ms", ""},
		{"PUT", "/v1/agent/check/register", `{"name": "c", "http": "http://x/", "interval": "10s", "header": {"a": ["b"]}}`},
		{"PUT", "/v1/agent/check/update/c", `{"Status": "passing", "Output": "x"}`},
		{"GET", "/v1/agent/health/service/name/web?format=text", ""},
		{"PUT", "/v1/agent/service/maintenance/web?enable=true&reason=x", ""},
		{"GET", "/v1/agent/members?wan=1&filter=Status == 1", ""},
		{"GET", "/v1/agent/connect/ca/leaf/web?index=7&wait=1ms", ""},
		{"GET", "/v1/kv/a/b?recurse&keys&separator=/", ""},
		{"PUT", "/v1/kv/a%2Fb?cas=1&flags=2&acquire=x", "value"},
		{"DELETE", "/v1/kv/a?recurse&cas=7", ""},
		{"PUT", "/v1/session/create", `{"LockDelay": 15, "TTL": "10s", "Behavior": "delete", "NodeChecks": [], "ServiceChecks": [{"ID": "c"}]}`},
		{"PUT", "/v1/session/renew/00000000-0000-4000-8000-000000000001", ""},
		{"GET", "/v1/session/node/n1?index=1&wait=1ms", ""},
		{"PUT", "/v1/txn?stale", `[{"KV": {"Verb": "get-tree", "Key": "a"}}, {"Node": {"Verb": "get", "Node": {"Node": "n1"}}}]`},
		{"PUT", "/v1/txn", `[{"KV": {"Verb": "lock", "Key": "a", "Value": "MQ==", "Session": "s"}}, {"Check": {"Verb": "cas", "Check": {"Node": "n1", "CheckID": "c", "Definition": {"Interval": "10s"}}}}, {"Session": {"Verb": "delete", "Session": {"ID": "s"}}}]`},
		{"POST", "/v1/connect/intentions", `{"SourceName": "web", "DestinationName": "db", "Action": "allow"}`},
		{"PUT", "/v1/connect/intentions/exact?source=web&destination=db", `{"Permissions": [{"Action": "allow", "HTTP": {"PathExact": "/"}}]}`},
		{"GET", "/v1/connect/intentions/match?by=source&name=web&name=default/db", ""},
		{"GET", "/v1/connect/intentions/check?source=web&destination=db", ""},
		{"POST", "/v1/agent/connect/authorize", `{"Target": "db", "ClientCertURI": "spiffe://x.consul/ns/default/dc/dc1/svc/web"}`},
		{"PUT", "/v1/config?cas=0", `{"kind": "service-defaults", "name": "web", "protocol": "http"}`},
		{"GET", "/v1/config/service-intentions/db", ""},
		{"POST", "/v1/discovery-chain/web?compile-dc=dc1", `{"OverrideConnectTimeout": "5s"}`},
		{"PUT", "/v1/connect/ca/configuration", `{"Provider": "consul", "Config": {"LeafCertTTL": "72h"}}`},
	} {
		f.Add(seed.method, seed.target, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		req, err := http.NewRequest(method, strings.ReplaceAll(target, " ", "%20"), strings.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			t.Skip("not a request that a server would see")
		}
		s := agenthttp.New(agenthttp.Options{
			Node: "node-1", Datacenter: "dc1", Client: empty{}, Authorizer: tokens{}, MaxWait: time.Millisecond,
			Local: newLocals(), Members: &pool{}, Leaves: newLeaves(), Proxies: proxies{},
			Self:  func(context.Context) (api.Self, error) { return api.Self{}, nil },
			Leave: func(context.Context) error { return nil }, Reload: func(context.Context) error { return nil },
			Metrics: metrics.NewInmemSink(time.Second, time.Minute), Logger: slog.New(slog.DiscardHandler),
		})
		defer s.Close(context.Background())
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if strings.Contains(w.Body.String(), "internal fault") {
			t.Errorf("%s %s %q: a panic", method, target, body)
		}
		if w.Code == http.StatusBadRequest && w.Body.Len() == 0 {
			t.Errorf("%s %s %q: refused without a reason", method, target, body)
		}
	})
}
