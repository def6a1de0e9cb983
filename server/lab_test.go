package server

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/parleymesh/parley/agent/gossip/memnet"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/acl"
	"github.com/parleymesh/parley/server/rpc"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool is gossip that is always right at once: what the tests say of members, all servers know.
type pool struct {
	mu      sync.Mutex // guards what follows
	members map[string]Member
	changed chan struct{}
}

func (p *pool) set(change func(map[string]Member)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.members)
	close(p.changed)
	p.changed = make(chan struct{})
}

// put adds a member, or changes it.
func (p *pool) put(m Member) { p.set(func(all map[string]Member) { all[m.Node.Node] = m }) }

func (p *pool) status(node string, s Status) {
	p.set(func(all map[string]Member) {
		m := all[node]
		m.Status = s
		all[node] = m
	})
}

func (p *pool) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Member
	for _, m := range p.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Node.Node, b.Node.Node) })
	return out
}

func (p *pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Servers implements rpc.Servers, for client agents.
func (p *pool) Servers() []string {
	var out []string
	for _, m := range p.Members() {
		if m.Server && m.Status == Alive {
			out = append(out, m.RPCAddr)
		}
	}
	return out
}

// seenBy is the pool as one server has it.
type seenBy struct {
	*pool
	node string
}

func (s seenBy) Founding(expect int) { s.expect(expect) }

func (s seenBy) Founded() { s.expect(0) }

func (s seenBy) Belongs(cluster string) {
	s.set(func(all map[string]Member) {
		m := all[s.node]
		m.Cluster = cluster
		all[s.node] = m
	})
}

func (s seenBy) Remove(node string) error {
	s.status(node, Left)
	return nil
}

func (s seenBy) expect(n int) {
	s.set(func(all map[string]Member) {
		m := all[s.node]
		m.Expect = n
		all[s.node] = m
	})
}

// lab is a datacenter in memory.
type lab struct {
	t    *testing.T
	net  memnet.Network
	pool *pool
	up   map[string]*host
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, pool: &pool{members: map[string]Member{}, changed: make(chan struct{})}, up: map[string]*host{}}
	t.Cleanup(func() {
		for _, h := range l.up {
			h.stop()
		}
	})
	return l
}

// host is a running server with its listener.
type host struct {
	*Server
	lab    *lab
	name   string
	in     *memnet.Host
	lanes  *rpc.Listener
	leader *rpc.Leader
	peers  *rpc.Peers
	grpc   *grpc.Server
	served sync.WaitGroup
}

// nodeID is an id that a name always has.
func nodeID(name string) string { return fmt.Sprintf("00000000-0000-0000-0000-%012x", name) }

func member(name, addr string, expect int) Member {
	host, _, _ := net.SplitHostPort(addr)
	return Member{
		Node:   api.Node{ID: nodeID(name), Node: name, Address: host, Datacenter: "dc1", TaggedAddresses: map[string]string{"lan": host}},
		Status: Alive, Server: true, RPCAddr: addr, Expect: expect, Version: "1.21.0",
	}
}

// client returns a member that is no server.
func clientMember(name, addr string) Member {
	m := member(name, addr+":0", 0)
	m.Server, m.RPCAddr, m.Node.TaggedAddresses = false, "", nil
	return m
}

// start starts a server, at an address, with a data directory or in memory.
func (l *lab) start(m Member, dir string) *host {
	l.t.Helper()
	name := m.Node.Node
	in, err := l.net.Listen(name, m.RPCAddr)
	if err != nil {
		l.t.Fatal(err)
	}
	h := &host{lab: l, name: name, in: in}
	log := slog.New(slog.DiscardHandler)
	if h.lanes, err = rpc.Listen(rpc.ListenOptions{Listener: listening(in), Logger: log}); err != nil {
		l.t.Fatal(err)
	}
	dialer := l.dialer(in)
	h.leader = rpc.NewLeader(rpc.LeaderOptions{Addr: func() string { return h.RawLeaderAddr() }, Dialer: dialer, Logger: log})
	h.peers = rpc.NewPeers(dialer)
	l.pool.put(m)
	h.Server, err = New(Options{
		NodeID: m.Node.ID, NodeName: name, Datacenter: "dc1", Domain: "consul", DataDir: dir, BootstrapExpect: m.Expect,
		NonVoter: m.NonVoter, Members: seenBy{l.pool, name}, Stream: h.lanes.Raft(dialer, nil), Leader: h.leader, Peers: h.peers, Autopilot: api.DefaultAutopilot(),
		Authorizer: acl.Open{}, Logger: log, RaftLog: hclog.NewNullLogger(), LogOutput: io.Discard,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	h.grpc = rpc.NewServer(h.Server)
	h.served.Go(func() { _ = h.grpc.Serve(h.lanes.GRPC()) })
	l.up[name] = h
	return h
}

// dialer connects as a host does.
func (l *lab) dialer(from *memnet.Host) rpc.Dialer {
	return rpc.Dialer{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		timeout := 3 * time.Second
		if end, ok := ctx.Deadline(); ok {
			timeout = time.Until(end)
		}
		return from.DialTimeout(addr, timeout)
	}}
}

// agent returns a client agent's client.
func (l *lab) agent(addr string) *rpc.Client {
	l.t.Helper()
	in, err := l.net.Listen("agent", addr)
	if err != nil {
		l.t.Fatal(err)
	}
	c := rpc.NewClient(rpc.ClientOptions{Servers: l.pool, Dialer: l.dialer(in)})
	l.t.Cleanup(func() { _, _ = c.Close(), in.Shutdown() })
	return c
}

// listener makes a listener of a host in memory.
type listener struct {
	*memnet.Host
	closed context.Context
	close  context.CancelFunc
}

func listening(h *memnet.Host) *listener {
	l := &listener{Host: h}
	l.closed, l.close = context.WithCancel(context.Background())
	return l
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.Host.Addr()) }

func (l *listener) Close() error {
	l.close()
	return l.Shutdown()
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.StreamCh():
		return c, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

// stop stops a server in the order in which an agent does.
func (h *host) stop() {
	h.lab.t.Helper()
	delete(h.lab.up, h.name)
	h.grpc.Stop()
	h.served.Wait()
	if err := h.Server.Close(); err != nil {
		h.lab.t.Error(err)
	}
	_, _ = h.leader.Close(), h.peers.Close()
	_ = h.lanes.Close()
}

// kill takes a server off the network before it can tell anybody.
func (h *host) kill() {
	h.lab.t.Helper()
	_ = h.in.Shutdown()
	h.stop()
	h.lab.pool.status(h.name, Failed)
}

// leads waits until one of the servers that are up leads and answers.
func (l *lab) leads() *host {
	l.t.Helper()
	for range 3000 {
		for _, h := range l.up {
			if h.Ready() {
				return h
			}
		}
		time.Sleep(10 * time.Millisecond) // simulated
	}
	l.t.Fatal("nobody leads after half a minute")
	return nil
}

// follower returns a server that follows, once there is a leader.
func (l *lab) follower() *host {
	l.t.Helper()
	leader := l.leads()
	for _, h := range l.up {
		if h != leader {
			return h
		}
	}
	l.t.Fatal("no follower")
	return nil
}

// eventually waits until something holds.
func (l *lab) eventually(what string, holds func() bool) {
	l.t.Helper()
	for range 12000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond) // simulated
	}
	l.t.Fatalf("not within two minutes: %s", what)
}

// three starts three servers that found a cluster together.
func (l *lab) three() {
	for i := range 3 {
		l.start(member(fmt.Sprint("s", i), fmt.Sprintf("10.0.0.%d:8300", i+1), 3), "")
	}
	l.leads()
}

// only returns the one row of an answer.
func only[T any](t *testing.T, a verb.Answer, err error) T {
	t.Helper()
	if err != nil || len(a.Rows) != 1 {
		t.Fatalf("%d rows, %v", len(a.Rows), err)
	}
	return a.Rows[0].Value.(T)
}
