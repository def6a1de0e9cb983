package http_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is the API of a single server in memory, listening on loopback.
type agent struct {
	t      testing.TB
	core   *core.Core
	local  *locals
	pool   *pool
	leaves *leaves
	url    string
	http   *http.Client
	api    *agenthttp.Server
}

// nouns is what the server of the tests knows.
func nouns() core.Types {
	return core.NewTypes(
		[]verb.Command{
			coordinate.Update{}, catalog.Register{}, catalog.Deregister{}, kv.Put{}, kv.Delete{}, ca.Install{}, ca.SetConfiguration{},
			operator.SetAutopilot{}, operator.RemovePeer{}, operator.TransferLeader{},
			configentry.Put{}, configentry.Delete{}, configentry.Batch{},
			intention.Create{}, intention.Update{}, intention.Upsert{}, intention.DeleteByID{}, intention.Delete{}, intention.SetDefault{},
			query.Create{}, query.Update{}, query.Delete{},
			kv.Txn{}, kv.CreateSession{}, kv.RenewSession{}, kv.DestroySession{},
		},
		[]verb.Query{
			catalog.Nodes{}, catalog.NodeByID{}, catalog.Node{}, catalog.Services{}, catalog.Instances{}, catalog.Health{}, catalog.Checks{},
			coordinate.List{}, coordinate.Node{},
			operator.Leader{}, operator.Peers{}, operator.RaftConfiguration{}, operator.Autopilot{}, operator.AutopilotState{}, operator.Usage{},
			kv.Get{}, kv.List{}, kv.Keys{}, kv.TxnRead{}, kv.Session{}, kv.Sessions{}, kv.NodeSessions{},
			ca.Roots{}, ca.Configuration{}, ca.Sign{},
			configentry.Get{}, configentry.List{}, configentry.Chain{}, configentry.Exported{}, configentry.Rehearse{},
			intention.List{}, intention.ByID{}, intention.Exact{}, intention.Match{}, intention.Check{}, intention.Policy{},
			query.List{}, query.Get{}, query.Explain{}, query.Execute{},
		},
	)
}

// tokens is an authorizer that lets the bearer of "root" do everything and others all but change permissions, or read what is
// called secret.
type tokens struct{}

func (tokens) Judge(_ *state.Tx, token string) (core.Judge, error) {
	if token == "bogus" {
		return nil, api.Errorf(http.StatusForbidden, "ACL not found")
	}
	return judge(token), nil
}

func (a tokens) Decide(_ context.Context, token string, p api.Permission) (api.Decision, error) {
	j, err := a.Judge(nil, token)
	if err != nil {
		return api.Decision{}, err
	}
	return j.Decide(p), nil
}

type judge string

func (j judge) Unlimited() bool { return j == "root" }

func (j judge) Decide(p api.Permission) api.Decision {
	if j != "root" && (strings.Contains(p.Name, "secret") || p.Resource == "acl") {
		return api.Decision{Why: "it is secret"}
	}
	return api.Decision{Allowed: true}
}

// servers is a set of one.
type servers struct{}

func (servers) LeaderAddr() string { return "127.0.0.1:8300" }

func (servers) RaftConfiguration() (api.RaftConfiguration, error) {
	return api.RaftConfiguration{Index: 1, Servers: []api.RaftServer{
		{ID: "s1", Node: "node-1", Address: "127.0.0.1:8300", Leader: true, Voter: true, ProtocolVersion: "3"},
	}}, nil
}

func (servers) Progress() verb.Progress { return verb.Progress{LastTerm: 2, LastIndex: 9} }

func (servers) AutopilotState() (api.AutopilotState, error) {
	return api.AutopilotState{
		Healthy: true, Leader: "s1", Voters: []string{"s1"},
		Servers: map[string]api.AutopilotServer{"s1": {ID: "s1", Name: "node-1", NodeStatus: "alive", Healthy: true, Status: "leader", NodeType: "voter"}},
	}, nil
}

func (servers) Datacenters() []string { return []string{"dc1", "dc2"} }

func (servers) Places() []api.CoordinateDatacenter {
	at := &api.Coordinate{Vec: make([]float64, api.CoordinateSize)}
	return []api.CoordinateDatacenter{
		{Datacenter: "dc1", AreaID: "wan", Coordinates: []api.CoordinateEntry{{Node: "node-1", Coord: at}, {Node: "secret-2", Coord: at}}},
		{Datacenter: "dc2", AreaID: "wan"},
	}
}

func (servers) ServersEverywhere() []api.Member {
	return []api.Member{
		{Name: "node-1.dc1", Status: api.MemberAlive, Tags: map[string]string{"role": "consul", "dc": "dc1"}},
		{Name: "secret-2.dc2", Status: api.MemberAlive, Tags: map[string]string{"role": "consul", "dc": "dc2"}},
	}
}

// memory is a leader's in which every session may stay.
type memory struct{}

func (memory) RenewSession(*api.Session) bool { return true }

// start starts a server and its API. The options may be changed before.
func start(t testing.TB, change ...func(*agenthttp.Options)) *agent {
	t.Helper()
	c := newCore(t)
	local, members, certs := newLocals(), &pool{}, newLeaves()
	o := agenthttp.Options{
		Node: "node-1", Datacenter: "dc1", Client: c, Snapshots: c, Authorizer: tokens{}, DefaultACLPolicy: "allow",
		Local: local, Members: members, Leaves: certs, Proxies: proxies{},
		Self: func(context.Context) (api.Self, error) {
			return api.Self{Config: api.SelfConfig{Datacenter: "dc1", NodeName: "node-1"}}, nil
		},
		Version: agenthttp.Version{HumanVersion: "1.2.3"},
		Leave:   func(context.Context) error { return nil }, Reload: func(context.Context) error { return nil },
		Metrics: metrics.NewInmemSink(time.Second, time.Minute),
		Logger:  slog.New(slog.DiscardHandler),
	}
	for _, ch := range change {
		ch(&o)
	}
	a := &agent{t: t, core: c, local: local, pool: members, leaves: certs, api: agenthttp.New(o), http: &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.url = "http://" + l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- a.api.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		a.http.CloseIdleConnections()
		if err := a.api.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return a
}

func newCore(t testing.TB) *core.Core {
	t.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID = "s1"
	cfg.Logger = hclog.NewNullLogger()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	addr, tr := raft.NewInmemTransport("s1")
	store, snaps := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	err := raft.BootstrapCluster(cfg, store, store, snaps, tr, raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: addr}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := core.New(core.Options{
		Datacenter: "dc1", Types: nouns(), Authorizer: tokens{}, Servers: servers{}, Memory: memory{}, Raft: cfg, Logs: store, Stable: store, Snapshots: snaps, Transport: tr,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// answer is what came back.
type answer struct {
	t      testing.TB
	asked  string
	status int
	header http.Header
	body   string
}

// do sends a request. What follows the path is the body, if there is one, and headers as "Name: value".
func (a *agent) do(method, path string, rest ...string) answer {
	a.t.Helper()
	got, err := a.try(context.Background(), method, path, rest...)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func (a *agent) try(ctx context.Context, method, path string, rest ...string) (answer, error) {
	var body io.Reader
	if len(rest) > 0 && rest[0] != "" {
		body = strings.NewReader(rest[0])
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+strings.ReplaceAll(path, " ", "%20"), body)
	if err != nil {
		return answer{}, err
	}
	for _, h := range rest[min(1, len(rest)):] {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{a.t, method + " " + path, resp.StatusCode, resp.Header, string(data)}, err
}

// is demands a status and a part of the body.
func (got answer) is(status int, part string) answer {
	got.t.Helper()
	if got.status != status || !strings.Contains(got.body, part) {
		got.t.Errorf("%s: got %d %.300q, want %d with %q", got.asked, got.status, got.body, status, part)
	}
	return got
}

// want demands a status and a part of the body, written as one.
func (got answer) want(statusAndPart string) answer {
	got.t.Helper()
	code, part, _ := strings.Cut(statusAndPart, " ")
	status, err := strconv.Atoi(code)
	if err != nil {
		got.t.Fatal(err)
	}
	return got.is(status, part)
}

// has demands a header.
func (got answer) has(name, value string) answer {
	got.t.Helper()
	if have := got.header.Get(name); have != value {
		got.t.Errorf("%s: header %s is %q, want %q", got.asked, name, have, value)
	}
	return got
}

// json reads the body into v.
func (got answer) json(v any) answer {
	got.t.Helper()
	if err := json.Unmarshal([]byte(got.body), v); err != nil {
		got.t.Errorf("%s: %v in %.300q", got.asked, err, got.body)
	}
	return got
}

// index is the X-Consul-Index.
func (got answer) index() uint64 {
	got.t.Helper()
	n, err := strconv.ParseUint(got.header.Get("X-Consul-Index"), 10, 64)
	if err != nil || n == 0 {
		got.t.Errorf("%s: the index is %q", got.asked, got.header.Get("X-Consul-Index"))
	}
	return n
}
