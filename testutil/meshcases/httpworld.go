package meshcases

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/filter"
)

// HTTPWorld is a World whose services speak HTTP, and whose chains are compiled from config entries. Db is behind its sidecar; all
// other services are in the mesh by themselves.
type HTTPWorld struct {
	*World
	App *HTTPApp // db

	entries   entries
	instances map[string][]api.ServiceEntry // by service
	client    *http.Client
}

// NewHTTPWorld returns a world in which everything speaks a protocol. Its sidecars are not started yet.
func NewHTTPWorld(t testing.TB, d Dataplane, protocol string) *HTTPWorld {
	t.Helper()
	app := NewHTTPApp(t, "db-1")
	w := &HTTPWorld{World: newWorld(t, d, protocol, app.Addr.Port), App: app, instances: map[string][]api.ServiceEntry{}}
	w.entries = entries{
		proxy:  &api.ProxyDefaults{Config: map[string]any{"protocol": protocol}},
		router: map[string]*api.ServiceRouter{}, splitter: map[string]*api.ServiceSplitter{}, resolver: map[string]*api.ServiceResolver{},
	}
	i := w.DBInstance()
	w.instances["db"] = []api.ServiceEntry{entryOf(i.ID, i.Address, nil)}
	transport := &http.Transport{Protocols: new(http.Protocols), MaxIdleConnsPerHost: 32}
	h2 := protocol == "http2" || protocol == "grpc"
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	transport.DisableKeepAlives = protocol == "tcp" // where a connection goes is chosen once
	w.client = &http.Client{Transport: transport, Timeout: callTimeout}
	t.Cleanup(transport.CloseIdleConnections)
	return w
}

// entries are config entries in memory.
type entries struct {
	proxy    *api.ProxyDefaults
	router   map[string]*api.ServiceRouter
	splitter map[string]*api.ServiceSplitter
	resolver map[string]*api.ServiceResolver
}

func (e entries) Proxy() *api.ProxyDefaults                 { return e.proxy }
func (e entries) Service(string) *api.ServiceDefaults       { return nil }
func (e entries) Router(name string) *api.ServiceRouter     { return e.router[name] }
func (e entries) Splitter(name string) *api.ServiceSplitter { return e.splitter[name] }
func (e entries) Resolver(name string) *api.ServiceResolver { return e.resolver[name] }
func entryOf(id string, a snapshot.Address, meta map[string]string) api.ServiceEntry {
	return api.ServiceEntry{
		Node:    api.Node{Node: "node-1", Address: a.Host},
		Service: api.Service{ID: id, Address: a.Host, Port: a.Port, Meta: meta},
		Checks:  []api.Check{{CheckID: "c", Status: api.Passing}},
	}
}

// Instance runs one more instance of a service, with metadata given as name, value pairs.
func (w *HTTPWorld) Instance(service, id string, meta ...string) *HTTPApp {
	w.T.Helper()
	app := newNativeApp(w.T, id, w.Authority.Leaf(w.T, service), w.Authority.Root)
	m := map[string]string{}
	for i := 0; i+1 < len(meta); i += 2 {
		m[meta[i]] = meta[i+1]
	}
	w.instances[service] = append(w.instances[service], entryOf(id, address(app.Addr.Port), m))
	return app
}

// Check sets the state of an instance's check.
func (w *HTTPWorld) Check(id, status string) {
	for service, all := range w.instances {
		next := append([]api.ServiceEntry(nil), all...)
		for i := range next {
			if next[i].Service.ID == id {
				next[i].Checks = []api.Check{{CheckID: "c", Status: status}}
			}
		}
		w.instances[service] = next
	}
	w.Write()
}

// Write writes config entries, compiles the chain of web's upstream db from all there are, and hands it out with the instances of
// its targets.
func (w *HTTPWorld) Write(written ...api.ConfigEntry) {
	w.T.Helper()
	for _, e := range written {
		switch e := e.(type) {
		case *api.ServiceRouter:
			w.entries.router[e.Name] = e
		case *api.ServiceSplitter:
			w.entries.splitter[e.Name] = e
		case *api.ServiceResolver:
			w.entries.resolver[e.Name] = e
		default:
			w.T.Fatalf("cannot write a %T", e)
		}
	}
	c, err := chain.Compile(chain.Options{Service: "db", Datacenter: Datacenter, TrustDomain: w.Authority.TrustDomain}, w.entries)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Change(WebProxy, func(s *snapshot.Snapshot) {
		before := s.Endpoints
		s.Upstreams[0].Chain, s.Endpoints = c, map[string]*snapshot.Endpoints{}
		for id, t := range c.Targets {
			AddTarget(s, t, w.selected(t)...)
			if old := before[id]; old != nil && reflect.DeepEqual(old, s.Endpoints[id]) {
				s.Endpoints[id] = old // as in life: what has not changed is shared
			}
		}
	})
}

// selected returns the instances of a target.
func (w *HTTPWorld) selected(t api.Target) []snapshot.Instance {
	var out []snapshot.Instance
	for _, e := range w.instances[t.Service] {
		if t.Subset.Filter != "" {
			f, err := filter.Compile(t.Subset.Filter, reflect.TypeFor[api.ServiceEntry]())
			if err != nil {
				w.T.Fatal(err)
			}
			if !f.Match(&e) {
				continue
			}
		}
		i := snapshot.Instance{
			Node: e.Node.Node, ID: e.Service.ID, Address: snapshot.Address{Host: e.Service.Address, Port: e.Service.Port},
			Health: e.Checks[0].Status, Weight: 1,
		}
		if i.Health == api.Critical {
			i.Weight = 0
		}
		out = append(out, i)
	}
	return out
}

// Ask is a request that web makes.
type Ask struct {
	Method string   // empty: GET
	Path   string   // empty: /
	Header []string // "Name: value"
	Host   string
}

// Answer is what web receives.
type Answer struct {
	Echo
	Status int
	Header http.Header // of the answer
	Body   string
}

// Do has web make a request to its upstream.
func (w *HTTPWorld) Do(a Ask) (Answer, error) { return w.do(w.client, "http://"+w.Upstream, a) }

func (w *HTTPWorld) do(client *http.Client, base string, a Ask) (Answer, error) {
	method, path := a.Method, a.Path
	if method == "" {
		method = http.MethodGet
	}
	if path == "" {
		path = "/"
	}
	req, err := http.NewRequestWithContext(context.Background(), method, base+path, nil)
	if err != nil {
		return Answer{}, err
	}
	req.Host = a.Host
	for _, h := range a.Header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	out := Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if err != nil {
		return out, err
	}
	if resp.Header.Get("X-Instance") != "" {
		err = json.Unmarshal(body, &out.Echo)
	}
	return out, err
}

// Call has web make a plain request, which must succeed.
func (w *HTTPWorld) Call() error {
	a, err := w.Do(Ask{})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", a.Status, a.Body)
	}
	return err
}

// Running starts both sidecars and waits until a request passes.
func (w *HTTPWorld) Running() {
	w.T.Helper()
	w.Start()
	w.Eventually("a request to pass", w.Call)
}

// Settled waits until what was written is in force: until a request is answered as wanted.
func (w *HTTPWorld) Settled(a Ask, want func(Answer) error) {
	w.T.Helper()
	w.Within(slack, fmt.Sprintf("%+v to be answered as it should be", a), func() error {
		got, err := w.Do(a)
		if err != nil {
			return err
		}
		return want(got)
	})
}

// From wants an answer from an instance.
func From(instance string) func(Answer) error {
	return func(a Answer) error {
		if a.Status != http.StatusOK || a.Instance != instance {
			return fmt.Errorf("status %d from %q, want %q", a.Status, a.Instance, instance)
		}
		return nil
	}
}

// Status wants a status.
func Status(status int) func(Answer) error {
	return func(a Answer) error {
		if a.Status != status {
			return fmt.Errorf("status %d (%s), want %d", a.Status, strings.TrimSpace(a.Body), status)
		}
		return nil
	}
}

// Requests has web make n plain requests and counts the answers by instance. None may fail.
func (w *HTTPWorld) Requests(n int, a Ask) map[string]int {
	w.T.Helper()
	out := map[string]int{}
	for range n {
		got, err := w.Do(a)
		if err != nil || got.Status != http.StatusOK {
			w.T.Fatalf("status %d, %v: %s", got.Status, err, got.Body)
		}
		out[got.Instance]++
	}
	return out
}

// StartLoad has several callers make requests until the load is stopped.
func (w *HTTPWorld) StartLoad() *Load {
	l := &Load{stop: make(chan struct{})}
	for range 4 {
		l.wg.Go(func() { l.run(w.Call, &l.failed) })
	}
	w.T.Cleanup(l.end)
	return l
}
