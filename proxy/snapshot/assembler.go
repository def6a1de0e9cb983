package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// Watcher is what the assembler needs of a verb.Client.
type Watcher interface {
	Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error)
}

// Local is what is registered on this host.
type Local interface {
	// Service returns the service of an id, or nil, and a channel that is closed when that may have changed.
	Service(id string) (s *api.Service, changed <-chan struct{})
}

// Leaves hands out certificates.
type Leaves interface {
	// Leaf returns the service's current certificate, and a channel that is closed when another has taken its place.
	Leaf(ctx context.Context, service, token string) (leaf api.Leaf, changed <-chan struct{}, err error)
}

// Authorizer tells what a token may do.
type Authorizer interface {
	Decide(ctx context.Context, token string, p api.Permission) (api.Decision, error)
}

// AssemblerOptions say what snapshots are made of.
type AssemblerOptions struct {
	Local      Local
	Leaves     Leaves
	Client     Watcher
	Authorizer Authorizer // nil: whoever is given a certificate for the service may have the rest
	Datacenter string
	Logger     *slog.Logger // nil: none
}

const (
	// holdOff gathers what changes together: a service that is deployed, or a leader that is followed by another, changes many
	// things within moments.
	holdOff = 5 * time.Millisecond
	// linger is how long a proxy's snapshot is kept current after its last subscriber has gone: an Envoy that reconnects, or
	// an embedded proxy that polls, finds it complete.
	linger = 30 * time.Second
	// judgeWait bounds how long a subscriber waits to be refused at once. If nobody answers by then, it is refused later.
	judgeWait = 500 * time.Millisecond
	// maxLingering bounds how many are. Those above it are dropped at once.
	maxLingering = 256
)

// Assembler is the Source of this host's proxies: it puts their snapshots together from watches. All subscribers of a proxy
// share one set of watches, and all proxies share those that are the same, above all the endpoints of what they call.
type Assembler struct {
	o      AssemblerOptions
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // guards what follows, and the fields of assemblies and feeds that say so
	closed    bool
	proxies   map[subject]*assembly
	lingering int
	feeds     map[feeder]*feed
}

// subject is whose snapshot for whom. Rows are shown by token, so two tokens may see two snapshots.
type subject struct{ proxyID, token string }

// NewAssembler returns an assembler. It is to be closed.
func NewAssembler(o AssemblerOptions) *Assembler {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Assembler{
		o: o, log: log.With("component", "snapshot"), ctx: ctx, cancel: cancel,
		proxies: map[subject]*assembly{}, feeds: map[feeder]*feed{},
	}
}

// Close ends all streams and watches, and returns when they have ended.
func (a *Assembler) Close() {
	a.mu.Lock()
	a.closed = true
	for _, p := range a.proxies {
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	a.mu.Unlock()
	a.cancel()
	a.wg.Wait()
}

// Subscribe implements Source.
func (a *Assembler) Subscribe(ctx context.Context, proxyID, token string) (Stream, error) {
	if a.o.Authorizer != nil {
		if err := a.mayRun(ctx, proxyID, token); errors.Is(err, ErrDenied) {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	key := subject{proxyID, token}
	p := a.proxies[key]
	if p == nil {
		p = newAssembly(a, key)
		a.proxies[key] = p
		a.wg.Go(p.run)
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
		a.lingering--
	}
	p.readers++
	s := &assemblyStream{assembly: p}
	s.done, s.close = context.WithCancel(a.ctx)
	context.AfterFunc(s.done, func() { a.release(p) })
	return s, nil
}

// mayRun judges the token by the registration as it stands. A proxy that is not registered yet is judged when it is.
func (a *Assembler) mayRun(ctx context.Context, proxyID, token string) error {
	service, _ := a.o.Local.Service(proxyID)
	if service == nil || service.Proxy == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, judgeWait)
	defer cancel()
	_, err := a.judge(ctx, service.Proxy.DestinationServiceName, token)
	return err
}

// release gives a subscriber's place up.
func (a *Assembler) release(p *assembly) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.readers--; p.readers > 0 || a.closed {
		return
	}
	if p.snapshot == nil || p.err != nil || a.lingering >= maxLingering {
		a.end(p)
		return
	}
	a.lingering++
	var timer *time.Timer
	timer = time.AfterFunc(linger, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if p.timer == timer { // otherwise a subscriber that came meanwhile has taken it away
			a.lingering--
			a.end(p)
		}
	})
	p.timer = timer
}

// end is called with mu held.
func (a *Assembler) end(p *assembly) {
	p.timer = nil
	p.cancel()
	if a.proxies[p.key] == p {
		delete(a.proxies, p.key)
	}
}

// assemblyStream is one subscriber's place.
type assemblyStream struct {
	assembly *assembly
	seen     uint64
	done     context.Context
	close    context.CancelFunc
}

// Next implements Stream.
func (s *assemblyStream) Next(ctx context.Context) (*Snapshot, error) {
	p := s.assembly
	for {
		p.a.mu.Lock()
		snapshot, err, seq, changed := p.snapshot, p.err, p.seq, p.changed
		p.a.mu.Unlock()
		switch {
		case s.done.Err() != nil:
			return nil, ErrClosed
		case err != nil:
			return nil, err
		case snapshot != nil && seq != s.seen:
			s.seen = seq
			return snapshot, nil
		}
		select {
		case <-changed:
		case <-s.done.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements Stream.
func (s *assemblyStream) Close() { s.close() }
