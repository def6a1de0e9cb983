// Package agent wires one agent together: it takes a validated configuration, constructs every part in dependency order,
// and stops them in the reverse one. New is the architecture, read from top to bottom. What the parts do is theirs; here
// are only the small adapters between interfaces that two of them declare.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/coordinate"
	"github.com/parleymesh/parley/agent/datadir"
	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/agent/event"
	"github.com/parleymesh/parley/agent/gossip"
	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/agent/leaf"
	"github.com/parleymesh/parley/agent/local"
	"github.com/parleymesh/parley/agent/telemetry"
	"github.com/parleymesh/parley/agent/watcher"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/proxy/xds"
	"github.com/parleymesh/parley/server"
	"github.com/parleymesh/parley/server/acl"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/rpc"
	"github.com/parleymesh/parley/server/verb"
)

// Options is what an agent is given besides its configuration.
type Options struct {
	Config *config.Config
	Build  Build
	// Reload reads the configuration anew; nil where there is none to read.
	Reload func() (*config.Config, error)
	// Stamp changes when what Reload reads does.
	Stamp func() string

	logs *logs
}

// Build tells from what the binary was built.
type Build struct {
	Version string // of Parley
	Commit  string
	Date    time.Time
}

// Agent is a running agent.
type Agent struct {
	cfg    *config.Config
	opts   Options
	log    *slog.Logger
	nodeID string

	dir    *datadir.Dir
	tls    endpoints
	listen listeners
	events *event.Log
	gossip *gossip.Pool
	wan    *gossip.Pool   // nil on a client agent, and where its port is closed
	server *server.Server // nil on a client agent
	client verb.Client
	// snapshots is what client is, for the state as a whole.
	snapshots verb.Snapshots
	local     *local.State
	leaves    *leaf.Cache
	source    *snapshot.Assembler
	dns       *dns.Server
	http      *agenthttp.Server
	metrics   *telemetry.Metrics
	xds       *xds.Server

	inside  *inside
	watches *watcher.Group
	// haveLocal is closed once local is there, for what gossip brings before.
	haveLocal chan struct{}

	undo    undo
	failed  chan error // receives why the agent cannot go on
	leaving chan struct{}
	leave   sync.Once
	loaded  string // the stamp of what the configuration was read from, where it is reloaded by itself
	// reloading keeps reloads apart.
	reloading sync.Mutex
}

// New starts an agent. On an error nothing is left running.
func New(ctx context.Context, o Options) (*Agent, error) {
	a := &Agent{
		cfg: o.Config, opts: o, log: o.logs.logger(),
		failed: make(chan error, 8), leaving: make(chan struct{}), haveLocal: make(chan struct{}),
	}
	if a.autoReloads() { // before anything else, so that no change during the start is missed
		a.loaded = o.Stamp()
	}
	steps := []func() error{
		a.refuse, a.openData, a.openTLS, a.openListeners, a.startMetrics,
		a.startWAN, a.startGossip, a.startServing, a.startLocal, a.startMesh, a.startDNS, a.startHTTP, a.startWatches, a.startRemoteExec,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			_ = a.Stop(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	a.goOn()
	return a, nil
}

// refuse stops on settings that close something which this release would leave open.
func (a *Agent) refuse() error {
	if a.cfg.ACL.Enabled {
		return errors.New("acl.enabled: this release has no ACLs yet, and without them everything is allowed; " +
			"remove the setting if that is meant, and keep the ports from those who may not do everything")
	}
	return nil
}

// openData takes the data directory for this process alone, and finds the node's id.
func (a *Agent) openData() (err error) {
	if a.cfg.DataDir != "" && !a.cfg.Dev {
		if a.dir, err = datadir.Open(a.cfg.DataDir); err != nil {
			return err
		}
		a.undo.push("data directory", closing(a.dir.Close))
	}
	a.nodeID, err = config.NodeID(a.cfg.NodeID, a.dir)
	return err
}

// startGossip joins nobody yet.
func (a *Agent) startGossip() (err error) {
	o, err := a.gossipOptions()
	if err != nil {
		return err
	}
	a.events = event.New(event.Options{
		Node: a.cfg.NodeName, Services: a.eventServices, Logger: a.log,
		Broadcast: func(data []byte) error { return a.gossip.Broadcast(data) },
	})
	o.Heard = a.events.Receive
	if a.gossip, err = gossip.New(o); err != nil {
		return err
	}
	a.listen.serfLANN = int(a.gossip.Local().Addr.Port())
	a.undo.push("gossip", closing(a.gossip.Close))
	return nil
}

// startServing gives the agent who carries out commands and queries: a server of its own, or a client to the others.
func (a *Agent) startServing() error {
	dialer := rpc.Dialer{TLS: a.tls.dialServers}
	if !a.cfg.Server {
		client := rpc.NewClient(rpc.ClientOptions{
			Servers: a.gossip, Dialer: dialer, Hold: a.cfg.Performance.RPCHoldTimeout,
			DefaultWait: a.cfg.DefaultQueryTime, MaxWait: a.cfg.MaxQueryTime, Logger: a.log,
		})
		a.undo.push("RPC client", closing(client.Close))
		a.client, a.snapshots = client, client
		return nil
	}
	return a.startServer(dialer)
}

func (a *Agent) startServer(dialer rpc.Dialer) error {
	lanes, err := rpc.Listen(rpc.ListenOptions{
		Listener: a.listen.rpc, TLS: a.tls.rpc.Listen("h2"), RequireTLS: a.cfg.TLS.InternalRPC.VerifyIncoming,
		RouteTimeout: a.cfg.Limits.RPCHandshakeTimeout, MaxConnsPerClient: a.cfg.Limits.RPCMaxConnsPerClient, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.undo.push("RPC listener", closing(lanes.Close))

	leader := rpc.NewLeader(rpc.LeaderOptions{Addr: func() string { return a.server.RawLeaderAddr() }, Dialer: dialer, Logger: a.log})
	a.undo.push("connection to the leader", closing(leader.Close))

	peers := rpc.NewPeers(dialer)
	a.undo.push("connections to the other servers", closing(peers.Close))

	var elsewhere core.Elsewhere
	if a.wan != nil {
		elsewhere = a.startElsewhere()
	}

	cfg := a.cfg
	expect := cfg.BootstrapExpect
	if cfg.Bootstrap {
		expect = 1
	}
	a.server, err = server.New(server.Options{
		NodeID: a.nodeID, NodeName: cfg.NodeName, Datacenter: cfg.Datacenter, Release: a.opts.Build.Version, Domain: cfg.Domain, DataDir: a.dataPath(),
		BootstrapExpect: expect, RaftMultiplier: cfg.Performance.RaftMultiplier, RaftLogs: raftLogs(cfg), Hold: cfg.Performance.RPCHoldTimeout,
		DefaultWait: cfg.DefaultQueryTime, MaxWait: cfg.MaxQueryTime,
		Members: members{a.gossip, a.wan, a.node()}, Elsewhere: elsewhere, Everywhere: everywhere{a.gossip, a.wan}, Gossip: gossips{pools{a.gossip, a.wan}, a.events}, Stream: lanes.Raft(dialer, a.rpcAdvertise()), Leader: leader, Peers: peers,
		Autopilot:  autopilot(cfg.Autopilot),
		Authorizer: acl.Open{}, DefaultAllow: cfg.Intentions.Allow, DefaultWhy: cfg.Intentions.Why, FirstEntries: firstEntries(cfg),
		Logger: a.log, RaftLog: newRaftLog(a.log), LogOutput: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug).Writer(),
	})
	if err != nil {
		return err
	}
	a.undo.push("server", closing(a.server.Close))
	a.client, a.snapshots = a.server, a.server
	a.watchFailure(a.server.Failed())

	serve := rpc.NewServer(a.server)
	a.serve("RPC", func() error { return serveUntilStopped(serve, lanes.GRPC()) })
	a.undo.push("RPC", func(context.Context) error { serve.Stop(); return nil })
	return nil
}

// dataPath is where the server keeps its log; empty in development mode.
func (a *Agent) dataPath() string {
	if a.dir == nil {
		return ""
	}
	return a.dir.Path()
}

// startLocal takes up what is registered on this host.
func (a *Agent) startLocal() (err error) {
	cfg := a.cfg
	var checkTLS *tls.Config
	if cfg.EnableAgentTLSForChecks {
		checkTLS = a.tls.rpc.Client()
	}
	a.local, err = local.New(local.Options{
		Node: a.node(), Datacenter: cfg.Datacenter, Client: a.client, Dir: a.dir, Server: cfg.Server,
		SidecarMinPort: cfg.Ports.SidecarMinPort, SidecarMaxPort: cfg.Ports.SidecarMaxPort,
		Scripts: scripts(cfg), CheckOutputMaxSize: cfg.CheckOutputMaxSize, CheckUpdateInterval: cfg.CheckUpdateInterval,
		DiscardCheckOutput: cfg.DiscardCheckOutput, TLS: checkTLS,
		Token: func() string { return a.cfg.ACL.Tokens.Agent }, Members: func() int { return len(a.gossip.Members()) }, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.undo.push("local services", closing(a.local.Close))
	close(a.haveLocal)
	return a.local.LoadDefinitions(cfg.Services, cfg.Checks)
}

// eventServices is what runs on this host, as the filters of events see it.
func (a *Agent) eventServices() []event.Service {
	select {
	case <-a.haveLocal:
	default:
		return nil
	}
	var out []event.Service
	for _, s := range a.local.Services() {
		out = append(out, event.Service{Name: s.Service, Tags: s.Tags})
	}
	return out
}

func scripts(c *config.Config) check.ScriptPolicy {
	switch {
	case c.EnableScriptChecks:
		return check.AllScripts
	case c.EnableLocalScriptChecks:
		return check.FileScripts
	}
	return check.NoScripts
}

// startMesh serves proxies with what they need to know.
func (a *Agent) startMesh() error {
	leaves := leaf.New(leaf.Options{Client: a.client, Datacenter: a.cfg.Datacenter, Logger: a.log})
	a.undo.push("leaf certificates", closing(leaves.Close))
	source := snapshot.NewAssembler(snapshot.AssemblerOptions{
		Local: a.local, Leaves: leaves, Client: a.client, Authorizer: acl.Open{}, Datacenter: a.cfg.Datacenter, Logger: a.log,
	})
	a.undo.push("proxy snapshots", func(context.Context) error { source.Close(); return nil })
	a.leaves, a.source = leaves, source

	a.xds = xds.NewServer(xds.Options{Source: hurrying{source, a.local}, Logger: a.log})
	a.undo.push("xDS", func(context.Context) error { a.xds.Close(); return nil })
	a.serveXDS(a.xds)
	return nil
}

// hurrying has the checks of a proxy run again soon after it has asked for its configuration: it is about to listen.
type hurrying struct {
	snapshot.Source
	local *local.State
}

// Subscribe implements snapshot.Source.
func (h hurrying) Subscribe(ctx context.Context, proxyID, token string) (snapshot.Stream, error) {
	h.local.Hurry(proxyID)
	return h.Source.Subscribe(ctx, proxyID, token)
}

// startDNS answers for the services of all hosts.
func (a *Agent) startDNS() error {
	a.dns = dns.New(a.dnsOptions())
	for i := range a.listen.dnsTCP {
		a.serve("DNS", func() error { return a.dns.Serve(a.listen.dnsTCP[i], a.listen.dnsUDP[i]) })
	}
	a.undo.push("DNS", a.dns.Close)
	return nil
}

// startHTTP comes after all that it serves: who reaches it finds that there.
func (a *Agent) startHTTP() error {
	s := agenthttp.New(a.httpOptions())
	a.http = s
	a.tellMetrics(s)
	for _, l := range a.listen.http {
		a.serve("HTTP", func() error { return s.Serve(l) })
	}
	a.inside = newInside()
	a.serve("HTTP", func() error { return s.Serve(a.inside) })
	a.undo.push("HTTP", s.Close)
	return nil
}

// goOn starts what has no listener: keeping the catalog like what is registered here, and finding the others.
func (a *Agent) goOn() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.local.Run(ctx) })
	if !a.cfg.DisableCoordinates {
		running.Go(func() {
			coordinate.Run(ctx, coordinate.Options{
				Node: a.cfg.NodeName, Where: a.gossip.Coordinate, Members: func() int { return len(a.gossip.Members()) },
				Client: a.client, Token: func() string { return a.cfg.ACL.Tokens.Agent }, Logger: a.log,
			})
		})
	}
	if len(a.cfg.RetryJoin) > 0 {
		running.Go(func() { a.join(ctx) })
	}
	if a.autoReloads() {
		running.Go(func() { a.autoReload(ctx) })
	}
	running.Go(func() { a.joinWAN(ctx) })
	if a.wan != nil {
		running.Go(func() { a.flood(ctx) })
	}
	a.undo.push("background work", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
}

// join looks for the others until one answers.
func (a *Agent) join(ctx context.Context) {
	err := a.gossip.RetryJoin(ctx, a.cfg.RetryJoin, a.cfg.RetryInterval, a.cfg.RetryMax, nil)
	if err != nil && ctx.Err() == nil {
		a.fail(err)
	}
}

// serve runs a listener's loop. One that ends with an error ends the agent.
func (a *Agent) serve(name string, run func() error) {
	go func() {
		if err := run(); err != nil {
			a.fail(fmt.Errorf("serve %s: %w", name, err))
		}
	}()
}

func (a *Agent) fail(err error) {
	select {
	case a.failed <- err:
	default: // there is reason enough to stop
	}
}

// watchFailure ends the agent with whatever comes.
func (a *Agent) watchFailure(failed <-chan error) {
	done := make(chan struct{})
	go func() {
		select {
		case err := <-failed:
			a.fail(err)
		case <-done:
		}
	}()
	a.undo.push("watch of the server", func(context.Context) error { close(done); return nil })
}

// Failed receives why the agent cannot go on. It must then be stopped.
func (a *Agent) Failed() <-chan error { return a.failed }

// Leaving is closed when somebody has asked the agent, through its API, to leave. It must then be stopped.
func (a *Agent) Leaving() <-chan struct{} { return a.leaving }

// Leave tells the others that this agent goes for good: a server hands over leadership first, and gives up its vote.
func (a *Agent) Leave(ctx context.Context) error {
	if a.server != nil {
		a.server.StepDown()
	}
	if err := a.leavePools(ctx); err != nil {
		return fmt.Errorf("leave the pool: %w; the others will find this agent failed", err)
	}
	if a.alone() {
		return nil
	}
	// Until the others know, they send requests here.
	select {
	case <-time.After(a.cfg.Performance.LeaveDrainTime):
	case <-ctx.Done():
	}
	return nil
}

// alone tells that nobody else is there who could be told anything.
func (a *Agent) alone() bool {
	return !slices.ContainsFunc(a.gossip.Members(), func(m gossip.Member) bool {
		return m.Status == api.MemberAlive && m.ID != a.nodeID
	})
}

// Stop ends everything, in the reverse of the order in which it was started.
func (a *Agent) Stop(ctx context.Context) error { return a.undo.run(ctx) }

// node is this host as the catalog knows it.
func (a *Agent) node() api.Node {
	meta := map[string]string{"consul-network-segment": "", "consul-version": api.CompatibleWith}
	for k, v := range a.cfg.NodeMeta {
		meta[k] = v
	}
	return api.Node{
		ID: a.nodeID, Node: a.cfg.NodeName, Address: a.cfg.Addrs.Advertise.String(), Datacenter: a.cfg.Datacenter,
		TaggedAddresses: a.cfg.Addrs.Tagged(), Meta: meta,
	}
}
