package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/verb"
)

// servers is what an assembler sees of the servers: a Watcher whose answers are set by hand.
type servers struct {
	mu      sync.Mutex // guards what follows
	rows    map[string][]*verb.Row
	down    error
	readers map[*fakeReader]struct{}
	opened  map[string]int
	seq     uint64
	changed chan struct{}
}

func newServers() *servers {
	return &servers{
		rows: map[string][]*verb.Row{}, readers: map[*fakeReader]struct{}{}, opened: map[string]int{}, changed: make(chan struct{}),
	}
}

func keyOf(q verb.Query) string { return fmt.Sprintf("%s %+v", q.QueryType(), q) }

func (s *servers) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// set gives a query its rows.
func (s *servers) set(q verb.Query, values ...any) {
	s.change(func() {
		s.seq++
		var rows []*verb.Row
		for i, v := range values {
			rows = append(rows, &verb.Row{Key: fmt.Sprintf("%06d", i), Version: s.seq, Value: v})
		}
		s.rows[keyOf(q)] = rows
		if rows == nil {
			s.rows[keyOf(q)] = []*verb.Row{}
		}
	})
}

// fail has every watch fail, now and until it is called with nil.
func (s *servers) fail(err error) { s.change(func() { s.down = err }) }

func (s *servers) watches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.readers)
}

func (s *servers) Watch(_ context.Context, o verb.Options, q verb.Query) (verb.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	r := &fakeReader{s: s, key: keyOf(q)}
	s.readers[r] = struct{}{}
	s.opened[r.key]++
	return r, nil
}

type fakeReader struct {
	s    *servers
	key  string
	last []*verb.Row
	some bool
}

func (r *fakeReader) Next(ctx context.Context) (verb.Answer, error) {
	for {
		r.s.mu.Lock()
		rows, ok := r.s.rows[r.key]
		down, changed := r.s.down, r.s.changed
		r.s.mu.Unlock()
		if down != nil {
			return verb.Answer{}, down
		}
		if ok && (!r.some || !slices.Equal(rows, r.last)) {
			r.last, r.some = rows, true
			return verb.Answer{Rows: rows, KnownLeader: true}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return verb.Answer{}, ctx.Err()
		}
	}
}

func (r *fakeReader) Close() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	delete(r.s.readers, r)
}

// host is the agent that an assembler is part of.
type host struct {
	mu       sync.Mutex // guards what follows
	services map[string]*api.Service
	leaves   map[string]api.Leaf
	denied   map[string]bool // by token
	changed  chan struct{}
	signed   int
}

func newHost() *host {
	return &host{services: map[string]*api.Service{}, leaves: map[string]api.Leaf{}, denied: map[string]bool{}, changed: make(chan struct{})}
}

func (h *host) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *host) Service(id string) (*api.Service, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.services[id], h.changed
}

func (h *host) Leaf(ctx context.Context, service, token string) (api.Leaf, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signed++
	if h.denied[token] {
		return api.Leaf{}, nil, api.Errorf(403, "Permission denied")
	}
	leaf, ok := h.leaves[service]
	if !ok {
		return api.Leaf{}, nil, api.Errorf(500, "No cluster leader")
	}
	return leaf, h.changed, nil
}

func (h *host) Decide(_ context.Context, token string, p api.Permission) (api.Decision, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.Resource != "service" || p.Access != api.Write {
		return api.Decision{}, fmt.Errorf("asked for %+v", p)
	}
	return api.Decision{Allowed: !h.denied[token], Why: "the test says so"}, nil
}

// world is an assembler in the middle of fakes that know all about web's sidecar, which calls db.
type world struct {
	t    *testing.T
	a    *Assembler
	s    *servers
	host *host
}

const proxyID = "web-sidecar-proxy"

func newWorld(t *testing.T) *world {
	w := &world{t: t, s: newServers(), host: newHost()}
	w.a = NewAssembler(AssemblerOptions{Local: w.host, Leaves: w.host, Client: w.s, Authorizer: w.host, Datacenter: "dc1"})
	return w
}

// within runs a test in simulated time, in a world of which nothing is known yet.
func within(t *testing.T, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		run(t, w)
	})
}

// known runs a test in a world of which all is known, with a subscriber who has had the first snapshot.
func known(t *testing.T, run func(t *testing.T, w *world, s Stream, first *Snapshot)) {
	t.Helper()
	within(t, func(t *testing.T, w *world) {
		w.fill()
		s := w.subscribe("")
		run(t, w, s, w.next(s))
	})
}

func (w *world) fill() {
	w.register(db())
	w.leaf("1")
	w.s.set(rootsQuery(), &api.CARoots{TrustDomain: "td.consul", Roots: []api.CARoot{{RootCert: "ROOT"}}})
	w.central(&configentry.Defaults{})
	w.chain("db")
	w.policy(false, Rule{ID: "a", Source: "api", Allow: true})
	w.instances("db", "10.0.0.1")
}

func db() api.Upstream { return api.Upstream{DestinationName: "db", LocalBindPort: 9191} }

func (w *world) register(upstreams ...api.Upstream) {
	s := &api.Service{
		Kind: api.KindConnectProxy, ID: proxyID, Service: proxyID, Port: 21000, ModifyIndex: uint64(time.Now().UnixNano()),
		Proxy: &api.Proxy{DestinationServiceName: "web", LocalServicePort: 8080, Upstreams: upstreams},
	}
	w.host.change(func() { w.host.services[proxyID] = s })
}

func (w *world) leaf(serial string) {
	w.host.change(func() {
		w.host.leaves["web"] = api.Leaf{SerialNumber: serial, CertPEM: "cert " + serial, PrivateKeyPEM: "key"}
	})
}

func dc1(service string) api.Target {
	id := api.TargetID(service, "", "", "", "dc1", "")
	return api.Target{ID: id, Service: service, Namespace: "default", Partition: "default", Datacenter: "dc1"}
}

func (w *world) chain(service string, targets ...api.Target) {
	if len(targets) == 0 {
		targets = []api.Target{dc1(service)}
	}
	c := &api.DiscoveryChain{ServiceName: service, Protocol: "tcp", StartNode: "resolver:" + targets[0].ID, Targets: map[string]api.Target{}}
	for _, t := range targets {
		c.Targets[t.ID] = t
	}
	w.s.set(chainQuery(service, "", "dc1"), c)
}

// central sets what config entries say of web's proxies.
func (w *world) central(d *configentry.Defaults) { w.s.set(centralQuery("web"), d) }

// instances sets where a service is, each at an address, followed by its checks' statuses after commas.
func (w *world) instances(service string, entries ...string) {
	var rows []any
	for i, text := range entries {
		e := &api.ServiceEntry{Node: api.Node{Node: fmt.Sprint("node-", i), Address: text}, Service: api.Service{ID: fmt.Sprint(service, "-", i), Port: 20000}}
		rows = append(rows, e)
	}
	w.entries(service, rows...)
}

func (w *world) entries(service string, rows ...any) {
	w.s.set(catalog.Health{Service: service, Mesh: true}, rows...)
}

func (w *world) subscribe(token string) Stream {
	w.t.Helper()
	s, err := w.a.Subscribe(context.Background(), proxyID, token)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// next waits for a snapshot; in simulated time, so that one that does not come is found out at once.
func (w *world) next(s Stream) *Snapshot {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := s.Next(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// none wants no snapshot to come for a while.
func (w *world) none(s Stream) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if got, err := s.Next(ctx); err == nil {
		w.t.Fatalf("got %+v", got)
	} else if ctx.Err() == nil {
		w.t.Fatal(err)
	}
}

// end closes the assembler and wants nothing to be left.
func (w *world) end() {
	w.t.Helper()
	w.a.Close()
	synctest.Wait()
	if n := w.s.watches(); n > 0 {
		w.t.Errorf("%d watches are left", n)
	}
}

func hosts(e *Endpoints) string {
	var out []string
	for _, i := range e.Instances {
		out = append(out, fmt.Sprintf("%s %s %d", i.Address, i.Health, i.Weight))
	}
	return cmp.Or(fmt.Sprint(out), "none")
}
