// Package http is the HTTP API of an agent: it decodes a request into a Command or Query, or a call to the part of the agent that
// it concerns, and encodes the answer. There is one file for each noun.
//
// What all endpoints share is done once, around them: finding the endpoint, methods, query options, blocking, headers,
// encoding, errors, limits. Decisions are left to others: commands and queries carry their own validation and
// permissions, and servers carry them out.
package http

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/quietlog"
	"github.com/parleymesh/parley/server/verb"
)

// Client carries out commands and queries: the local server, or the RPC client of an agent without one.
type Client interface {
	Apply(ctx context.Context, o verb.Options, c verb.Command) (verb.Result, error)
	Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error)
	Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error)
}

// Authorizer judges what concerns this agent alone. Commands and queries are judged where they are carried out.
type Authorizer interface {
	// Decide tells whether the bearer of the token has the permission. The error, for a token that is none, has a status.
	Decide(ctx context.Context, token string, p api.Permission) (api.Decision, error)
}

// Options is what a Server is made of. All parts but those that say so are needed.
type Options struct {
	Node       string // the name of this agent's node
	Datacenter string

	Client     Client
	Authorizer Authorizer
	Members    Members
	Keyring    Keyring
	Local      Local
	Leaves     Leaves
	Proxies    Proxies
	Events     Events
	Snapshots  Snapshots // nil: there are none

	// Self is the agent's account of itself.
	Self func(ctx context.Context) (api.Self, error)
	// Version is what the agent was built from.
	Version Version
	// Leave makes the agent leave the pool and, once this request is answered, stop.
	Leave func(ctx context.Context) error
	// Reload makes the agent read its configuration again.
	Reload func(ctx context.Context) error
	// Metrics is what the agent counts.
	Metrics Metrics
	// Prometheus shows the same to Prometheus. Nil: it is not switched on.
	Prometheus http.Handler
	// Monitor follows the agent's log. Nil: it is not served.
	Monitor Monitor

	// UI serves all beneath /ui/. It may be nil.
	UI http.Handler

	// DefaultACLPolicy, "allow" or "deny", is told in a header.
	DefaultACLPolicy string
	// Headers are added to every answer.
	Headers map[string]string
	// AllowWriteFrom lists where requests that change something may come from. Empty: anywhere.
	AllowWriteFrom []netip.Prefix
	// BlockEndpoints lists prefixes of paths that are refused.
	BlockEndpoints []string
	// Debug opens the profiles under /debug/pprof/.
	Debug bool

	// MaxBody bounds a request's body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// MaxValue bounds a key's value in bytes; 0 means DefaultMaxValue.
	MaxValue int64
	// MaxTxn bounds a transaction's body in bytes; 0 means DefaultMaxValue. It is never less than MaxValue.
	MaxTxn int64
	// MinSessionTTL is the shortest time to live that a session can have; 0 means DefaultMinSessionTTL.
	MinSessionTTL time.Duration
	// MaxHeader bounds a request's line and headers in bytes; 0 means the standard library's default, 1 MiB.
	MaxHeader int
	// DefaultWait is how long a request that waits for something of this agent does so if it does not say, MaxWait the
	// longest; 0 means 5 and 10 minutes. Queries are bounded by the servers.
	DefaultWait, MaxWait time.Duration
	// MaxBlocking bounds the blocking queries that wait at a time; 0 means DefaultMaxBlocking.
	MaxBlocking int64
	// MaxBlockingPerClient bounds those of one address; 0 means a quarter of all, so that no client takes every place.
	MaxBlockingPerClient int64
	// MaxConnsPerClient bounds the connections of one address; 0 means no bound.
	MaxConnsPerClient int
	// DiscoveryMaxStale, when set, lets reads of catalog and health that name no mode be answered by any server whose state is no older.
	DiscoveryMaxStale time.Duration

	// DataDir is where the agent keeps what it knows; empty when it keeps nothing.
	DataDir string
	// TranslateWANAddrs shows what is in other datacenters by its addresses that are tagged "wan".
	TranslateWANAddrs bool

	Logger *slog.Logger
}

// Bounds that hold unless Options say otherwise.
const (
	DefaultMaxBody     = 4 << 20 // far above any registration, far below what an entry of the log may be
	DefaultMaxValue    = 512 << 10
	DefaultMaxBlocking = 32 << 10 // some 30 KiB each

	DefaultMinSessionTTL = 10 * time.Second
)

// Bounds on slow clients. A blocking query's wait is bounded by the servers.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Server serves the HTTP API.
type Server struct {
	opts    Options
	log     *slog.Logger
	routes  map[string]*route
	http    *http.Server
	conns   connections
	waiting waiters
	refused *quietlog.Log // what limits refuse, by client
	cache   *cache

	// closing ends when Close begins: blocking queries then end at once.
	closing context.Context
	close   context.CancelFunc
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxValue == 0 {
		o.MaxValue = DefaultMaxValue
	}
	o.MaxTxn = max(cmp.Or(o.MaxTxn, DefaultMaxValue), o.MaxValue)
	o.MinSessionTTL = cmp.Or(o.MinSessionTTL, DefaultMinSessionTTL)
	o.DefaultWait = cmp.Or(o.DefaultWait, 5*time.Minute)
	o.MaxWait = cmp.Or(o.MaxWait, 10*time.Minute)
	o.MaxHeader = cmp.Or(o.MaxHeader, http.DefaultMaxHeaderBytes)
	o.MaxBlocking = cmp.Or(o.MaxBlocking, DefaultMaxBlocking)
	o.MaxBlockingPerClient = cmp.Or(o.MaxBlockingPerClient, max(o.MaxBlocking/4, 1))
	s := &Server{opts: o, log: o.Logger.With("component", "http"), routes: table(), cache: newCache(o.Client)}
	s.refused = quietlog.New(s.log)
	s.closing, s.close = context.WithCancel(context.Background())
	s.conns.max = o.MaxConnsPerClient
	s.waiting.max, s.waiting.maxPerClient = o.MaxBlocking, o.MaxBlockingPerClient
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    o.MaxHeader + headerSlack,
		ConnContext:       s.conns.opened,
		ConnState:         s.conns.changed,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Handler returns the API as a handler for somebody else's server.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Serve answers what comes in at the listener, which it closes in the end. It returns nil after Close and may be called
// for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops listening, ends blocking queries, and waits for the other requests until ctx ends; then it cuts them off.
func (s *Server) Close(ctx context.Context) error {
	s.close()
	s.cache.close()
	s.waiting.close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// connections counts the open ones by address.
type connections struct {
	mu   sync.Mutex
	max  int
	open map[netip.Addr]int // counted without a bound, too: one may be set later
}

// SetMaxConnsPerClient changes the bound of the connections of one address; those that are open stay.
func (s *Server) SetMaxConnsPerClient(n int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	s.conns.max = n
}

func (c *connections) bound() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.max
}

type connKey struct{}

// opened implements http.Server.ConnContext. A connection beyond the bound is let in only to be told so.
func (c *connections) opened(ctx context.Context, conn net.Conn) context.Context {
	addr, ok := addrOf(conn.RemoteAddr().String())
	if !ok {
		return ctx
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[netip.Addr]int{}
	}
	c.open[addr]++
	if c.max <= 0 || c.open[addr] <= c.max {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, true)
}

// changed implements http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	addr, ok := addrOf(conn.RemoteAddr().String())
	if state != http.StateClosed && state != http.StateHijacked || !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[addr]--; c.open[addr] <= 0 {
		delete(c.open, addr)
	}
}

// tooMany tells whether the request came over a connection beyond the bound.
func tooMany(ctx context.Context) bool { return ctx.Value(connKey{}) != nil }

// addrOf reads a remote address; a Unix socket has none.
func addrOf(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	return ap.Addr().Unmap(), err == nil
}
