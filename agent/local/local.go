// Package local keeps what is registered on this host: services with their checks and sidecars, checks of the node,
// and maintenance. It runs the checks, keeps everything across restarts, and makes the catalog say the same, for the
// node's part of the catalog belongs to the node's agent (anti-entropy).
//
// How a check is run is left to agent/check, how a file is written to agent/datadir, who may register to agent/http.
package local

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/agent/datadir"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// Options are what a host's services and checks take from outside.
type Options struct {
	// Node is this host as the catalog is to know it.
	Node       api.Node
	Datacenter string
	// Client leads to the servers.
	Client verb.Client
	// Dir keeps what is registered across restarts; nil: nothing is kept.
	Dir *datadir.Dir
	// SidecarMinPort and SidecarMaxPort bound the ports that sidecars are given that ask for none; 0: none is given.
	SidecarMinPort, SidecarMaxPort int
	Scripts                        check.ScriptPolicy
	CheckOutputMaxSize             int // bytes; 0: the check package's limit
	// CheckUpdateInterval is about how long a change of a check's output waits when its status is the same; 0: it does not.
	CheckUpdateInterval time.Duration
	// DiscardCheckOutput keeps nothing of what checks say.
	DiscardCheckOutput bool
	// Token returns the agent's own token, for what was registered with none; nil: it has none.
	Token func() string
	// Server tells that a server runs here, whose own service and checks in the catalog are the leader's.
	Server bool
	// Members counts the members of the pool: in a large one the catalog is compared less often. nil: few.
	Members func() int
	Logger  *slog.Logger // nil: none
	// Dial opens the connections of checks; nil: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is what checks over TLS start from; nil: Go's default.
	TLS *tls.Config
}

// State is what is registered on this host.
type State struct {
	o   Options
	log *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// changing is held during a registration or deregistration as a whole, disk work included. It guards which
	// services and checks there are, together with mu: who holds either may look, who changes holds both.
	changing sync.Mutex
	closed   bool                  // guarded by changing
	journal  *datadir.Journal      // guarded by changing: what is registered, on disk; nil: nothing is kept
	stray    map[string]*loneCheck // guarded by changing: checks of services that are not there yet, by id

	queue queue // of changes

	// mu is held for work in memory only, and guards what is below. No check is closed, and no probe waited for, with mu
	// held: a check may be waiting for it to tell its result.
	mu        sync.Mutex
	services  map[string]*service
	checks    map[string]*healthCheck
	byService map[string]map[string]*healthCheck // "" are the node's own
	ports     map[int]int                        // how many services have a port
	added     chan struct{}                      // closed when a service is added; nil: nobody waits
	aliased   map[string]chan struct{}           // by service: closed when its checks change; only those that are waited for
	anyCheck  chan struct{}                      // closed when any check changes; nil: nobody waits
	remotes   map[remoteKey]*remote
	dirty     dirty
	last      map[string]savedStatus // of checks before the restart that have not come back yet

	wake    chan struct{} // has an element when something is dirty
	changed chan struct{} // has an element when a status has changed and is to be kept
	sync    syncLog
}

// New reads what was registered before the restart and starts its checks. The caller calls LoadDefinitions, then Run, and
// Close in the end.
func New(o Options) (*State, error) {
	s := empty(o, cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("component", "local"))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.restore(); err != nil {
		s.cancel()
		if s.journal != nil {
			err = errors.Join(err, s.journal.Close())
		}
		return nil, err
	}
	if o.Dir != nil {
		s.wg.Go(s.keepStatuses)
	}
	return s, nil
}

// empty has nothing registered, and nothing runs for it.
func empty(o Options, log *slog.Logger) *State {
	return &State{
		o:         o,
		log:       log,
		stray:     map[string]*loneCheck{},
		services:  map[string]*service{},
		checks:    map[string]*healthCheck{},
		byService: map[string]map[string]*healthCheck{},
		ports:     map[int]int{},
		aliased:   map[string]chan struct{}{},
		remotes:   map[remoteKey]*remote{},
		dirty:     newDirty(),
		wake:      make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		sync:      syncLog{refused: map[string]refused{}},
	}
}

// Close stops all checks. Nothing can be registered any more; what is registered can still be looked at.
func (s *State) Close() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.cancel()
	s.mu.Lock()
	var running []runner
	for _, c := range s.checks {
		running = append(running, c.stop()...)
	}
	s.mu.Unlock()
	closeAll(running)
	s.wg.Wait()
	err := s.writeStatuses()
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	return err
}

// errClosed is what a registration with an agent that stops is answered.
var errClosed = &api.Error{Status: http.StatusServiceUnavailable, Message: "this agent is stopping"}

// Service returns a service, or nil, and a channel that is closed when that may have changed.
func (s *State) Service(id string) (*api.Service, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv := s.services[id]; sv != nil {
		if sv.changed == nil {
			sv.changed = make(chan struct{})
		}
		return sv.value, sv.changed
	}
	// One channel for all names that are not there: who asks for names at random leaves nothing behind.
	if s.added == nil {
		s.added = make(chan struct{})
	}
	return nil, s.added
}

// Hurry runs the checks of a service that do not pass again soon: what they look at is about to come up.
func (s *State) Hurry(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byService[id] {
		if r, ok := c.run.(interface{ Hurry() }); ok {
			r.Hurry()
		}
	}
}

// Services returns all services.
func (s *State) Services() []*api.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*api.Service, 0, len(s.services))
	for _, sv := range s.services {
		out = append(out, sv.value)
	}
	return out
}

// Check returns a check with its last result, or nil.
func (s *State) Check(id string) *api.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.checks[id]; c != nil {
		return c.value
	}
	return nil
}

// Checks returns all checks with their last results.
func (s *State) Checks() []*api.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*api.Check, 0, len(s.checks))
	for _, c := range s.checks {
		out = append(out, c.value)
	}
	return out
}

// Scripts counts the checks that run a program.
func (s *State) Scripts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.checks {
		if check.KindOf(&c.def) == check.KindScript {
			n++
		}
	}
	return n
}

// token is the one with which something is written to the catalog that was registered with the given one.
func (s *State) token(own string) string {
	if own == "" && s.o.Token != nil {
		return s.o.Token()
	}
	return own
}
