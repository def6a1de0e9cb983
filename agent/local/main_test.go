package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/agent/datadir"
	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/agent/local"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ agenthttp.Local = (*local.State)(nil)

// servers carry out commands and queries on a true state. What comes and goes is encoded, as between an agent and a server.
type servers struct {
	t *testing.T

	mu      sync.Mutex
	store   *state.Store
	index   uint64
	changed chan struct{}
	down    error                                    // what everything fails with
	refuse  func(token string, c verb.Command) error // what a command is refused with
	applied []verb.Command
	tries   int
}

func newServers(t *testing.T) *servers {
	return &servers{t: t, store: state.New(), changed: make(chan struct{})}
}

func (s *servers) Apply(ctx context.Context, o verb.Options, c verb.Command) (verb.Result, error) {
	if err := c.Validate(); err != nil {
		return verb.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.down != nil {
		return verb.Result{}, s.down
	}
	if s.refuse != nil {
		if err := s.refuse(o.Token, c); err != nil {
			return verb.Result{}, err
		}
	}
	data, err := codec.Encode(c)
	if err != nil {
		s.t.Error(err)
	}
	arrived := reflect.New(reflect.TypeOf(c))
	if err := codec.Decode(data, arrived.Interface()); err != nil {
		s.t.Error(err)
	}
	c = arrived.Elem().Interface().(verb.Command)
	s.index++
	tx := s.store.Write()
	tx.At(api.Tenant{}, s.index)
	if _, err := c.Apply(tx); err != nil {
		tx.Abort()
		return verb.Result{}, err
	}
	tx.Commit()
	s.applied = append(s.applied, c)
	close(s.changed)
	s.changed = make(chan struct{})
	return verb.Result{Index: s.index}, nil
}

func (s *servers) Query(_ context.Context, _ verb.Options, q verb.Query) (verb.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.down != nil {
		return verb.Answer{}, s.down
	}
	return s.read(q)
}

func (s *servers) read(q verb.Query) (verb.Answer, error) {
	tx := s.store.Read()
	rows, err := q.Read(tx)
	if err != nil {
		return verb.Answer{}, err
	}
	a := verb.Answer{Index: s.index}
	for _, r := range rows {
		data, err := r.JSON()
		if err != nil {
			return verb.Answer{}, err
		}
		a.Rows = append(a.Rows, verb.RemoteRow(r.Key, r.Version, data))
	}
	return a, a.Decode(q.NewValue)
}

func (s *servers) Watch(_ context.Context, _ verb.Options, q verb.Query) (verb.Reader, error) {
	return &reader{s: s, q: q}, nil
}

type reader struct {
	s    *servers
	q    verb.Query
	seen bool
	last uint64
}

func (r *reader) Next(ctx context.Context) (verb.Answer, error) {
	for {
		r.s.mu.Lock()
		down, index, changed := r.s.down, r.s.index, r.s.changed
		if down == nil && (!r.seen || index != r.last) {
			defer r.s.mu.Unlock()
			r.seen, r.last = true, index
			return r.s.read(r.q)
		}
		r.s.mu.Unlock()
		if down != nil {
			return verb.Answer{}, down
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return verb.Answer{}, ctx.Err()
		}
	}
}

func (r *reader) Close() {}

// fail makes everything fail, or work again.
func (s *servers) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// by carries out a command of somebody else.
func (s *servers) by(c verb.Command) {
	s.t.Helper()
	if err := s.tryBy(c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *servers) tryBy(c verb.Command) error {
	_, err := s.Apply(context.Background(), verb.Options{}, c)
	return err
}

// commands counts what has been applied, and forgets it.
func (s *servers) commands() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.applied)
	s.applied = nil
	return n
}

// tried counts everything that was asked of the servers.
func (s *servers) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// node is what the catalog says of a node.
func (s *servers) node(name string) (n *api.Node, services map[string]*api.Service, checks map[string]*api.Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	services, checks = map[string]*api.Service{}, map[string]*api.Check{}
	tx := s.store.Read()
	for i := range state.NodeInstances(tx, name) {
		services[i.Service.ID] = &i.Service
	}
	for c := range state.NodeChecks(tx, name) {
		checks[c.CheckID] = c
	}
	return state.Node(tx, name), services, checks
}

// has wants exactly these services, then a bar, then exactly these checks with their statuses, in the catalog.
func (s *servers) has(want string) {
	s.t.Helper()
	_, services, checks := s.node("node-1")
	var ids, statuses []string
	for id := range services {
		ids = append(ids, id)
	}
	for id, c := range checks {
		statuses = append(statuses, id+"="+c.Status)
	}
	slices.Sort(ids)
	slices.Sort(statuses)
	got := strings.TrimSpace(strings.Join(ids, " ") + " | " + strings.Join(statuses, " "))
	if got != want {
		s.t.Errorf("the catalog has\n%s\nwant\n%s", got, want)
	}
}

// host is an agent's local state with what it needs.
type host struct {
	*local.State
	t       *testing.T
	servers *servers
	log     *bytes.Buffer
	logMu   *sync.Mutex
	stop    func()
}

func (h *host) Write(p []byte) (int, error) {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	return h.log.Write(p)
}

// logged counts the lines of the log with a text.
func (h *host) logged(text string) int {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	n := 0
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func node1() api.Node {
	return api.Node{
		ID: "11111111-2222-3333-4444-555555555555", Node: "node-1", Address: "192.0.2.1", Datacenter: "dc1",
		TaggedAddresses: map[string]string{"lan": "192.0.2.1"}, Meta: map[string]string{"rack": "r1"},
	}
}

func options(s *servers) local.Options {
	o := local.Options{
		Node: node1(), Datacenter: "dc1", SidecarMinPort: 21000, SidecarMaxPort: 21002, CheckUpdateInterval: 5 * time.Minute,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") },
	}
	if s != nil {
		o.Client = s
	}
	return o
}

// start starts a host and, when there are servers, keeps them like it.
func start(t *testing.T, o local.Options) *host {
	t.Helper()
	h, err := tryStart(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func tryStart(t *testing.T, o local.Options) (*host, error) {
	t.Helper()
	h := &host{t: t, log: &bytes.Buffer{}, logMu: &sync.Mutex{}}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	if h.State, err = local.New(o); err != nil {
		return nil, err
	}
	h.servers, _ = o.Client.(*servers)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if h.servers != nil {
		running.Go(func() { h.Run(ctx) })
	}
	h.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	t.Cleanup(h.stop)
	return h, nil
}

// register registers a service from JSON as people write it.
func (h *host) register(def string) {
	h.t.Helper()
	if err := h.tryRegister(def, "", false); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) tryRegister(def, token string, replace bool) error {
	return h.RegisterService(serviceDef(h.t, def), token, replace)
}

func serviceDef(t testing.TB, def string) *api.ServiceDefinition {
	t.Helper()
	var d api.ServiceDefinition
	if err := d.UnmarshalJSON([]byte(def)); err != nil {
		t.Fatal(err)
	}
	return &d
}

func checkDef(t *testing.T, def string) *api.CheckDefinition {
	t.Helper()
	var d api.CheckDefinition
	if err := d.UnmarshalJSON([]byte(def)); err != nil {
		t.Fatal(err)
	}
	return &d
}

func (h *host) registerCheck(def string) {
	h.t.Helper()
	if err := h.RegisterCheck(checkDef(h.t, def), ""); err != nil {
		h.t.Fatal(err)
	}
}

// is wants the services and checks here as has does in the catalog.
func (h *host) is(want string) {
	h.t.Helper()
	if got := h.all(); got != want {
		h.t.Errorf("registered is\n%s\nwant\n%s", got, want)
	}
}

func (h *host) all() string {
	var ids, statuses []string
	for _, s := range h.Services() {
		ids = append(ids, s.ID)
	}
	for _, c := range h.Checks() {
		statuses = append(statuses, c.CheckID+"="+c.Status)
	}
	slices.Sort(ids)
	slices.Sort(statuses)
	return strings.TrimSpace(strings.Join(ids, " ") + " | " + strings.Join(statuses, " "))
}

// settle lets everything happen that happens at once.
func settle() { synctest.Wait() }

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func mustOpen(t testing.TB, path string) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// crash returns a copy of a data directory as it is at this moment, which is what a kill leaves.
func crash(t *testing.T, dir *datadir.Dir) *datadir.Dir {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir.Path())); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, to)
}

const journal = "local/registrations"

// kept counts what is kept of registrations, without statuses.
func kept(t *testing.T, dir *datadir.Dir) int {
	t.Helper()
	j, err := crash(t, dir).OpenJournal(journal, 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	return len(j.All())
}

func read(t *testing.T, dir *datadir.Dir, name string) string {
	t.Helper()
	data, err := dir.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func registerNode(name string, reg api.Registration) verb.Command {
	reg.Node, reg.Address = name, "192.0.2.1"
	return catalog.Register{Registration: reg}
}

type verbCommand = verb.Command

func asText(v any) string { return fmt.Sprintf("%+v", v) }
