package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// serve answers one request with the handler and returns a client for it.
func serve(t *testing.T, config api.Config, handler http.HandlerFunc) *api.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config.Address = server.URL
	return newClient(t, config)
}

func newClient(t *testing.T, config api.Config) *api.Client {
	t.Helper()
	client, err := api.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestQueryOptionsAndMeta(t *testing.T) {
	client := serve(t, api.Config{Token: "usual", Datacenter: "dc1"}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for name, want := range map[string]string{
			"dc": "dc2", "index": "7", "wait": "1500ms", "filter": `Node == "a b"`, "near": "_agent", "ns": "team", "node-meta": "rack:r1",
		} {
			if got := q.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if !q.Has("stale") || q.Has("consistent") {
			t.Errorf("mode: %s", r.URL.RawQuery)
		}
		if got := r.Header.Get("X-Consul-Token"); got != "special" {
			t.Errorf("token %q", got)
		}
		w.Header().Set("X-Consul-Index", "8")
		w.Header().Set("X-Consul-Knownleader", "true")
		w.Header().Set("X-Consul-Lastcontact", "12")
		io.WriteString(w, `[{"Node":"a b"}]`)
	})
	nodes, meta, err := client.Catalog().Nodes(t.Context(), &api.QueryOptions{
		Datacenter: "dc2", Namespace: "team", Token: "special", Mode: api.Stale, WaitIndex: 7, WaitTime: 1500 * time.Millisecond,
		Filter: `Node == "a b"`, Near: "_agent", NodeMeta: map[string]string{"rack": "r1"},
	})
	if err != nil || len(nodes) != 1 || nodes[0].Node != "a b" {
		t.Errorf("got %+v, %v", nodes, err)
	}
	if want := (api.Meta{LastIndex: 8, LastContact: 12 * time.Millisecond, KnownLeader: true}); meta != want {
		t.Errorf("got %+v, want %+v", meta, want)
	}
}

func TestServersMessageBecomesTheError(t *testing.T) {
	client := serve(t, api.Config{}, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "Permission denied: token lacks service:write on \"web\"", http.StatusForbidden)
	})
	err := client.Agent().RegisterService(t.Context(), &api.ServiceDefinition{Name: "web"}, false, nil)
	var e *api.Error
	if !errors.As(err, &e) || e.Status != 403 || e.Message != `Permission denied: token lacks service:write on "web"` {
		t.Errorf("got %v", err)
	}
}

func TestKVRoundTrip(t *testing.T) {
	type call struct{ method, path, query, body string }
	var last call
	client := serve(t, api.Config{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last = call{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body)}
		switch {
		case r.Method != http.MethodGet:
			io.WriteString(w, "true")
		case strings.HasSuffix(r.URL.Path, "absent"):
			w.Header().Set("X-Consul-Index", "5")
			w.WriteHeader(http.StatusNotFound)
		default:
			io.WriteString(w, `[{"Key":"/a b/c","Flags":42,"Value":"aGVsbG8=","LockIndex":0,"CreateIndex":1,"ModifyIndex":2}]`)
		}
	})
	kv, ctx := client.KV(), t.Context()

	if err := kv.Put(ctx, &api.KVPair{Key: "/a b/c", Value: []byte("hello"), Flags: 42}, nil); err != nil {
		t.Fatal(err)
	}
	if want := (call{"PUT", "/v1/kv/%2Fa%20b%2Fc", "flags=42", "hello"}); last != want {
		t.Errorf("got %+v, want %+v", last, want)
	}
	pair, _, err := kv.Get(ctx, "/a b/c", nil)
	if err != nil || string(pair.Value) != "hello" || pair.Flags != 42 {
		t.Errorf("got %+v, %v", pair, err)
	}
	pair, meta, err := kv.Get(ctx, "absent", nil)
	if pair != nil || err != nil || meta.LastIndex != 5 {
		t.Errorf("absent: %+v, %+v, %v", pair, meta, err)
	}
	if done, err := kv.CAS(ctx, &api.KVPair{Key: "k", ModifyIndex: 9}, nil); !done || err != nil || last.query != "cas=9" {
		t.Errorf("cas: %v, %v, %s", done, err, last.query)
	}
	if err := kv.DeleteTree(ctx, "dir/", nil); err != nil || last.method != "DELETE" || !strings.HasPrefix(last.query, "recurse") {
		t.Errorf("delete: %v, %+v", err, last)
	}
}

func TestConfigEntriesAndIntentions(t *testing.T) {
	client := serve(t, api.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/config/service-defaults/web":
			io.WriteString(w, `{"Kind":"service-defaults","Name":"web","Protocol":"http","New":1}`)
		case "GET /v1/config/service-defaults":
			io.WriteString(w, `[{"Kind":"service-defaults","Name":"web"}]`)
		case "PUT /v1/config":
			body, _ := io.ReadAll(r.Body)
			if _, err := api.DecodeConfigEntry(body); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "true")
		case "PUT /v1/connect/intentions/exact":
			var body map[string]any
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["Action"] != "allow" || body["CreateIndex"] != nil {
				t.Errorf("body %v, %v", body, err)
			}
			if q := r.URL.Query(); q.Get("source") != "web" || q.Get("destination") != "db" {
				t.Errorf("query %v", q)
			}
			io.WriteString(w, "true")
		case "GET /v1/connect/intentions/check":
			io.WriteString(w, `{"Allowed":false,"Why":"no intention allows it"}`)
		default:
			http.NotFound(w, r)
		}
	})
	ctx, entries := t.Context(), client.ConfigEntries()
	entry, _, err := entries.Get(ctx, api.KindServiceDefaults, "web", nil)
	if d, ok := entry.(*api.ServiceDefaults); err != nil || !ok || d.Protocol != "http" {
		t.Errorf("get: %+v, %v", entry, err)
	}
	if list, _, err := entries.List(ctx, api.KindServiceDefaults, nil); err != nil || len(list) != 1 || list[0].EntryName() != "web" {
		t.Errorf("list: %+v, %v", list, err)
	}
	if absent, _, err := entries.Get(ctx, api.KindServiceDefaults, "nothing", nil); absent != nil || err != nil {
		t.Errorf("absent: %+v, %v", absent, err)
	}
	if err := entries.Put(ctx, entry, nil); err != nil {
		t.Error(err)
	}
	x := &api.Intention{SourceName: "web", DestinationName: "db", Action: api.Allow}
	if err := client.Intentions().Put(ctx, x, nil); err != nil {
		t.Error(err)
	}
	if d, _, err := client.Intentions().Check(ctx, "web", "db", nil); err != nil || d.Allowed || d.Why == "" {
		t.Errorf("check: %+v, %v", d, err)
	}
	if found, _, err := client.Intentions().Get(ctx, "a", "b", nil); found != nil || err != nil {
		t.Errorf("absent intention: %+v, %v", found, err)
	}
}

func TestContextEndsABlockingQuery(t *testing.T) {
	arrived := make(chan struct{})
	client := serve(t, api.Config{}, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, _, err := client.Health().Service(ctx, "web", nil, true, &api.QueryOptions{WaitIndex: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "api") // short: a socket's path may have about a hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `"127.0.0.1:8300"`)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	client := newClient(t, api.Config{Address: "unix://" + path})
	if leader, err := client.Status().Leader(t.Context(), nil); err != nil || leader != "127.0.0.1:8300" {
		t.Errorf("got %q, %v", leader, err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `[]`) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that fails below
	server.StartTLS()
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "https://")
	trusting := newClient(t, api.Config{Address: address, TLS: true, TLSSkipVerify: true})
	if _, err := trusting.Status().Peers(t.Context(), nil); err != nil {
		t.Error(err)
	}
	checking := newClient(t, api.Config{Address: address, TLS: true})
	if _, err := checking.Status().Peers(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestTokenDoesNotFollowARedirectElsewhere(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the request followed, with token %q", r.Header.Get("X-Consul-Token"))
	}))
	t.Cleanup(elsewhere.Close)
	client := serve(t, api.Config{Token: "secret"}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, err := client.Status().Leader(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("got %v", err)
	}
}

func TestUnreachableSaysWhatToDo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, err = newClient(t, api.Config{Address: address}).Status().Leader(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "PARLEY_HTTP_ADDR") {
		t.Errorf("got %v", err)
	}
}

func TestConfigFromEnv(t *testing.T) {
	env := map[string]string{
		"CONSUL_HTTP_ADDR": "old:1", "PARLEY_HTTP_ADDR": "new:2", "CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_SSL": "true",
		"PARLEY_HTTP_SSL_VERIFY": "false", "CONSUL_CACERT": "ca.pem", "PARLEY_NAMESPACE": "team",
	}
	config, err := api.ConfigFromEnv(func(name string) string { return env[name] })
	want := api.Config{Address: "new:2", AddressFrom: "PARLEY_HTTP_ADDR", Token: "t", TLS: true, TLSSkipVerify: true, CAFile: "ca.pem", Namespace: "team"}
	if err != nil || config != want {
		t.Errorf("got %+v, %v", config, err)
	}
	env["PARLEY_HTTP_SSL"] = "maybe"
	if _, err := api.ConfigFromEnv(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), "HTTP_SSL") {
		t.Errorf("got %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]api.Config{
		`unknown scheme "ftp"`: {Address: "ftp://x"},
		`no path`:              {Address: "unix://"},
		`want host:port`:       {Address: "http://x/prefix"},
		`token file`:           {TokenFile: empty},
		`read the token file`:  {TokenFile: empty + "-none"},
		`CA certificate`:       {CAFile: empty + "-none"},
		`no PEM certificate`:   {CAFile: empty},
		`load the client`:      {CertFile: empty},
	} {
		if _, err := api.New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v\ngot %v, want %s", config, err, want)
		}
	}
}
