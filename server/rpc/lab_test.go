package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network joins hosts by pipes in memory.
type network struct {
	mu    sync.Mutex
	hosts map[string]*inn
}

// inn is a listener, and the ends of all connections to it.
type inn struct {
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	open  []net.Conn
	gate  chan struct{} // while it is there and open, nothing passes
}

// cut parts a host from all others until it is healed: what is under way waits.
func (h *inn) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *inn) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}

// pass waits until something may pass, or done.
func (h *inn) pass(done <-chan struct{}) error {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-done:
		return net.ErrClosed
	}
}

// line is a connection to a host.
type line struct {
	net.Conn
	to   *inn
	done chan struct{}
	once sync.Once
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if cut := l.to.pass(l.done); cut != nil {
		return 0, cut
	}
	return n, err
}

func (l *line) Write(p []byte) (int, error) {
	if err := l.to.pass(l.done); err != nil {
		return 0, err
	}
	return l.Conn.Write(p)
}

func (l *line) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Conn.Close()
}

func newNetwork() *network { return &network{hosts: map[string]*inn{}} }

// Network and String implement net.Addr.
func (h *inn) Network() string { return "memory" }
func (h *inn) String() string  { return h.addr }

func (h *inn) Addr() net.Addr { return h }

func (h *inn) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *inn) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (n *network) listen(addr string) *inn {
	h := &inn{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	return h
}

func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	h := n.hosts[addr]
	n.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	if err := h.pass(ctx.Done()); err != nil {
		return nil, ctx.Err()
	}
	pipe, far := net.Pipe()
	near := &line{Conn: pipe, to: h, done: make(chan struct{})}
	select {
	case h.conns <- far:
		h.mu.Lock()
		h.open = append(h.open, near, far)
		h.mu.Unlock()
		return near, nil
	case <-h.done:
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// board is a state that several servers show. Each watch and query shows its rows.
type board struct {
	views *watch.Views[string, *verb.Row]
	mu    sync.Mutex
	view  *watch.View[*verb.Row]
	rows  map[string]uint64
	index uint64
}

func newBoard(t *testing.T) *board {
	b := &board{views: watch.NewViews[string, *verb.Row](), rows: map[string]uint64{}, index: 1}
	b.set("first")
	t.Cleanup(b.views.Close)
	return b
}

func (b *board) list() []*verb.Row {
	var rows []*verb.Row
	for k, v := range b.rows {
		rows = append(rows, &verb.Row{Key: k, Version: v, Value: &api.KVPair{Key: k, ModifyIndex: v}})
	}
	slices.SortFunc(rows, func(a, b *verb.Row) int { return len(a.Key) - len(b.Key) })
	return rows
}

// set changes a row.
func (b *board) set(key string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index++
	b.rows[key] = b.index
	if b.view != nil {
		b.view.Set(b.index, b.list())
	}
	return b.index
}

func (b *board) open() *watch.Reader[*verb.Row] {
	return b.views.Open("", func(ctx context.Context, v *watch.View[*verb.Row]) {
		b.mu.Lock()
		b.view = v
		v.Set(b.index, b.list())
		b.mu.Unlock()
		<-ctx.Done()
	})
}

// server is a gRPC server whose handler shows a board.
type server struct {
	*network
	*board
	addr                  string
	host                  *inn
	grpc                  *grpc.Server
	done                  sync.WaitGroup
	applied               chan verb.Envelope
	queries, watches      atomic.Int64
	refuse                atomic.Pointer[error]
	active                atomic.Int64
	hang                  atomic.Bool
	lastContact           time.Duration
	forwarded, unforwards atomic.Int64
}

func (n *network) serve(t *testing.T, addr string, b *board) *server {
	s := &server{network: n, board: b, addr: addr, applied: make(chan verb.Envelope, 16)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.host = s.listen(s.addr)
	s.grpc = NewServer(s)
	s.done.Go(func() { _ = s.grpc.Serve(s.host) })
}

// kill ends a server as kill -9 does.
func (s *server) kill() {
	s.netMu().Lock()
	if s.hosts[s.addr] == s.host {
		delete(s.hosts, s.addr)
	}
	s.netMu().Unlock()
	s.host.mu.Lock()
	for _, c := range s.host.open {
		_ = c.Close()
	}
	s.host.mu.Unlock()
	s.grpc.Stop()
	s.done.Wait()
}

func (s *server) netMu() *sync.Mutex { return &s.network.mu }

func (s *server) enter(ctx context.Context, e verb.Envelope) error {
	if e.Forwarded {
		s.forwarded.Add(1)
	} else {
		s.unforwards.Add(1)
	}
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := s.refuse.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *server) fails(err error) {
	if err == nil {
		s.refuse.Store(nil)
		return
	}
	s.refuse.Store(&err)
}

// ApplyEnvelope implements verb.Handler.
func (s *server) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	s.applied <- e
	if err := s.enter(ctx, e); err != nil {
		return verb.Result{}, err
	}
	return verb.Result{Index: s.set("applied")}, nil
}

// QueryEnvelope implements verb.Handler.
func (s *server) QueryEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	s.queries.Add(1)
	if err := s.enter(ctx, e); err != nil {
		return verb.Answer{}, err
	}
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	return verb.Answer{Index: s.index, Rows: s.list(), KnownLeader: true}, nil
}

// WatchEnvelope implements verb.Handler.
func (s *server) WatchEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Reader, error) {
	s.watches.Add(1)
	if err := s.enter(ctx, e); err != nil {
		return nil, err
	}
	s.active.Add(1)
	return &boardReader{s, s.open()}, nil
}

type boardReader struct {
	s  *server
	in *watch.Reader[*verb.Row]
}

func (r *boardReader) Next(ctx context.Context) (verb.Answer, error) {
	st, err := r.in.Next(ctx, watch.Bounds{})
	if e := r.s.refuse.Load(); err == nil && e != nil {
		err = *e
	}
	return verb.Answer{Index: st.Index, Rows: st.Rows, KnownLeader: true, LastContact: r.s.lastContact}, err
}

func (r *boardReader) Close() {
	r.s.active.Add(-1)
	r.in.Close()
}

// following returns the server to which a stream stands.
func following(s ...*server) *server {
	return s[slices.IndexFunc(s, func(s *server) bool { return s.active.Load() > 0 })]
}

// servers is a list of addresses that can change.
type servers struct {
	mu      sync.Mutex
	addrs   []string
	changed chan struct{}
}

func known(addrs ...string) *servers { return &servers{addrs: addrs, changed: make(chan struct{})} }

func (s *servers) Servers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs
}

func (s *servers) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *servers) become(addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = addrs
	close(s.changed)
	s.changed = make(chan struct{})
}

func (n *network) client(t *testing.T, s Servers) *Client {
	c := NewClient(ClientOptions{Servers: s, Dialer: Dialer{Dial: n.dial}})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// list asks for all rows of a board.
type list struct{ Name string }

func (list) QueryType() string                      { return "test.list" }
func (list) Needs() []api.Permission                { return nil }
func (list) NewValue() any                          { return new(api.KVPair) }
func (list) Read(tx *state.Tx) ([]*verb.Row, error) { return nil, errors.New("not here") }
func (l list) Validate() error {
	if l.Name == "bad" {
		return api.Errorf(400, "bad name")
	}
	return nil
}

// put changes a board.
type put struct{}

func (put) CommandType() string              { return "test.put" }
func (put) Validate() error                  { return nil }
func (put) Needs(*state.Tx) []api.Permission { return nil }
func (put) Apply(tx *state.Tx) (any, error)  { return nil, nil }
func keys(a verb.Answer) (out []string)      { return rowKeys(a.Rows) }
func rowKeys(rows []*verb.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r.Key)
	}
	slices.Sort(out)
	return out
}
