package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// Datacenters is what is known of the servers of all datacenters, from gossip.
type Datacenters interface {
	// Datacenters lists their names.
	Datacenters() []string
	// ServersOf lists the addresses (host:port) of a datacenter's servers, those that are alive and those that have failed.
	ServersOf(datacenter string) (alive, failed []string)
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// ElsewhereOptions is what an Elsewhere is made of.
type ElsewhereOptions struct {
	Datacenter  string // ours
	Datacenters Datacenters
	// Dialer makes connections to the servers of a datacenter.
	Dialer func(datacenter string) Dialer
	// Hold, DefaultWait and MaxWait are as in ClientOptions.
	Hold, DefaultWait, MaxWait time.Duration
	Logger                     *slog.Logger
}

// Elsewhere carries requests to the servers of other datacenters. Each has a Client of its own: whoever asks from another
// datacenter is treated like an agent there that has no server of its own.
type Elsewhere struct {
	opts ElsewhereOptions

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex // guards what follows
	ways map[string]*way
}

// NewElsewhere returns an Elsewhere, which is to be closed.
func NewElsewhere(o ElsewhereOptions) *Elsewhere {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Elsewhere{opts: o, ways: map[string]*way{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	changed := e.learn()
	e.done.Go(func() {
		for {
			select {
			case <-changed:
				changed = e.learn()
			case <-e.ctx.Done():
				return
			}
		}
	})
	return e
}

// Close ends everything that is under way, and waits for it.
func (e *Elsewhere) Close() error {
	e.cancel()
	e.done.Wait()
	e.mu.Lock()
	ways := e.ways
	e.ways = nil
	e.mu.Unlock()
	for _, w := range ways {
		w.close()
	}
	return nil
}

// learn takes over which datacenters there are, and how their servers are.
func (e *Elsewhere) learn() (changed <-chan struct{}) {
	changed = e.opts.Datacenters.Changed()
	known := e.opts.Datacenters.Datacenters()
	e.mu.Lock()
	var gone []*way
	for dc, w := range e.ways {
		if !slices.Contains(known, dc) {
			gone = append(gone, w)
			delete(e.ways, dc)
		}
	}
	for _, dc := range known {
		if dc != e.opts.Datacenter && e.ways[dc] == nil {
			e.ways[dc] = e.open(dc)
		}
	}
	for dc, w := range e.ways {
		alive, _ := e.opts.Datacenters.ServersOf(dc)
		w.vigil.gossip(len(alive) == 0)
	}
	e.mu.Unlock()
	for _, w := range gone {
		w.close()
	}
	return changed
}

// open makes the way to a datacenter.
func (e *Elsewhere) open(dc string) *way {
	log := e.opts.Logger.With("datacenter", dc)
	servers := serversOf{e.opts.Datacenters, dc}
	w := &way{client: NewClient(ClientOptions{
		Servers: servers, Dialer: e.opts.Dialer(dc), Hold: e.opts.Hold, DefaultWait: e.opts.DefaultWait, MaxWait: e.opts.MaxWait, Logger: log,
	})}
	w.vigil = newVigil(dc, w.client.log, w.anybody)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.done.Go(func() { w.vigil.keep(ctx) })
	return w
}

// Datacenter returns the way to another datacenter.
func (e *Elsewhere) Datacenter(name string) (verb.Handler, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.ways[name]; w != nil {
		return w, nil
	}
	known := slices.Sorted(maps.Keys(e.ways))
	if len(known) == 0 {
		return nil, fmt.Errorf("%w: %q is not known here; this is %q, which knows no other", verb.ErrNoPath, name, e.opts.Datacenter)
	}
	return nil, fmt.Errorf("%w: %q is not known here; this is %q, which knows %s", verb.ErrNoPath, name, e.opts.Datacenter, strings.Join(known, ", "))
}

// serversOf is the servers of one datacenter.
type serversOf struct {
	Datacenters
	datacenter string
}

// Servers implements Servers.
func (s serversOf) Servers() []string {
	alive, failed := s.ServersOf(s.datacenter)
	if len(alive) == 0 {
		return failed
	}
	return alive
}

// way is the way to one datacenter.
type way struct {
	client *Client
	vigil  *vigil
	cancel context.CancelFunc
	done   sync.WaitGroup
}

var (
	_ verb.Handler         = (*way)(nil)
	_ verb.SnapshotHandler = (*way)(nil)
)

func (w *way) close() {
	w.cancel()
	w.done.Wait()
	_ = w.client.Close()
}

// maxAsked bounds how many servers are asked whether they are there.
const maxAsked = 7

// anybody asks all servers whether they are there, and returns as soon as one answers.
func (w *way) anybody(ctx context.Context) error {
	addrs := slices.Clone(*w.client.addrs.Load())
	if len(addrs) == 0 {
		return errors.New("none of its servers is known")
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	addrs = addrs[:min(len(addrs), maxAsked)]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		go func() {
			l, err := w.client.pool.link(addr)
			if err == nil {
				err = l.ping(ctx)
			}
			answers <- err
		}()
	}
	var why error
	for range addrs {
		err := <-answers
		if err == nil {
			cancel()
			return nil
		}
		why = err
	}
	if errors.Is(why, context.DeadlineExceeded) {
		why = fmt.Errorf("its servers do not answer (%s)", strings.Join(addrs, ", "))
	}
	return why
}

// guarded carries a request out under the vigil.
func guarded[T any](ctx context.Context, w *way, command bool, patience time.Duration, do func(context.Context) (T, error)) (T, error) {
	waiting, done, err := w.vigil.wait(ctx, patience)
	if err != nil {
		var none T
		return none, err
	}
	defer done()
	v, err := do(waiting)
	var lost *unreachable
	if err == nil || ctx.Err() != nil || !errors.As(context.Cause(waiting), &lost) {
		return v, err
	}
	out := *lost
	out.uncertain = command && errors.Is(unanswered(firstBroken(err), true), verb.ErrUnknownOutcome)
	return v, &out
}

// firstBroken is the failure of a transport within an error, or the error.
func firstBroken(err error) error {
	var broken *transportError
	if errors.As(err, &broken) {
		return broken
	}
	return err
}

// ApplyEnvelope implements verb.Handler.
func (w *way) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	return guarded(ctx, w, true, doubtAfter, func(ctx context.Context) (verb.Result, error) { return w.client.ApplyEnvelope(ctx, e) })
}

// QueryEnvelope implements verb.Handler. A stale query that nobody answers is answered by what was last told here.
func (w *way) QueryEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	a, err := guarded(ctx, w, false, doubtAfter, func(ctx context.Context) (verb.Answer, error) { return w.client.QueryEnvelope(ctx, e, o) })
	if errors.Is(err, verb.ErrUnreachable) && o.Mode == verb.Stale && o.MinIndex == 0 {
		if known, ok := w.client.lastKnown(e, o.MaxStale); ok {
			return known, nil
		}
	}
	return a, err
}

// WatchEnvelope implements verb.Handler.
func (w *way) WatchEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Reader, error) {
	in, err := w.client.WatchEnvelope(ctx, e, o)
	if err != nil {
		return nil, err
	}
	return &wayReader{Reader: in, way: w}, nil
}

// SaveEnvelope implements verb.SnapshotHandler.
func (w *way) SaveEnvelope(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	_, err := guarded(ctx, w, false, doubtAfter, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.client.SaveEnvelope(ctx, e, o, begin)
	})
	return err
}

// RestoreEnvelope implements verb.SnapshotHandler.
func (w *way) RestoreEnvelope(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	_, err := guarded(ctx, w, true, doubtAfter, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.client.RestoreEnvelope(ctx, e, open)
	})
	return err
}

// wayReader ends when nobody of the datacenter answers: whoever follows it then knows, and begins anew.
type wayReader struct {
	verb.Reader
	way   *way
	began bool
}

// Next implements verb.Reader.
func (r *wayReader) Next(ctx context.Context) (verb.Answer, error) {
	patience := askAgain
	if !r.began {
		patience = doubtAfter
	}
	a, err := guarded(ctx, r.way, false, patience, r.Reader.Next)
	r.began = r.began || err == nil
	return a, err
}

// Contact says how old what the reader shows may be.
func (r *wayReader) Contact() (knownLeader bool, last time.Duration) {
	if c, ok := r.Reader.(contact); ok {
		return c.Contact()
	}
	return true, 0
}
