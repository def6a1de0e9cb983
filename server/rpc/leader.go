package rpc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// LeaderOptions is what a Leader is made of.
type LeaderOptions struct {
	// Addr is where the leader is; empty while none is known.
	Addr   func() string
	Dialer Dialer
	Logger *slog.Logger
}

// Leader hands requests to the server that leads. It repeats nothing: whether somebody else leads meanwhile is known to
// who asks. All here who follow the same query share one stream, which ends with its leader.
type Leader struct {
	opts   LeaderOptions
	log    *slog.Logger
	pool   *pool
	shared *shared

	mu   sync.Mutex // guards what follows
	last string     // the leader that was last handed something
}

var _ verb.Handler = (*Leader)(nil)

// NewLeader returns a Leader, which is to be closed.
func NewLeader(o LeaderOptions) *Leader {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Leader{opts: o, log: o.Logger.With("component", "rpc"), pool: newPool(o.Dialer), shared: newShared()}
}

// Close ends everything that is under way, and waits for the streams.
func (l *Leader) Close() error {
	l.shared.close()
	l.pool.close()
	return nil
}

// link returns the connection to the leader, and gives up those to leaders before it.
func (l *Leader) link() (*link, error) {
	addr := l.opts.Addr()
	if addr == "" {
		return nil, verb.ErrNoLeader
	}
	l.mu.Lock()
	another := addr != l.last
	l.last = addr
	l.mu.Unlock()
	if another {
		l.pool.keep([]string{addr})
	}
	to, err := l.pool.link(addr)
	if err != nil {
		return nil, unanswered(&transportError{err: err}, false)
	}
	return to, nil
}

// ApplyEnvelope implements verb.Handler.
func (l *Leader) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	to, err := l.link()
	if err != nil {
		return verb.Result{}, err
	}
	e.Forwarded = true
	r, err := to.apply(ctx, e)
	return r, unanswered(err, true)
}

// QueryEnvelope implements verb.Handler.
func (l *Leader) QueryEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	to, err := l.link()
	if err != nil {
		return verb.Answer{}, err
	}
	e.Forwarded = true
	if o.MinIndex > 0 && o.Mode == verb.Default {
		return l.block(ctx, to, e, o)
	}
	a, err := to.query(ctx, e, o)
	return a, unanswered(err, false)
}

// block waits in the stream of all who follow the query. What that says is as new as what the leader would answer only if
// it was said after the question came.
func (l *Leader) block(ctx context.Context, to *link, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	minIndex := o.MinIndex
	o.MinIndex = 0
	r := l.open(e, o.Mode)
	defer r.Close()
	if a, ok := r.known(); !ok || a.Index <= minIndex {
		waiting, cancel := context.WithTimeout(ctx, max(o.Wait, time.Millisecond))
		a, err := r.wait(waiting, minIndex)
		over := waiting.Err() != nil
		cancel()
		if err == nil || ctx.Err() != nil || !over {
			return a, err
		}
	}
	a, err := to.query(ctx, e, o)
	return a, unanswered(err, false)
}

// WatchEnvelope implements verb.Handler.
func (l *Leader) WatchEnvelope(_ context.Context, e verb.Envelope, o verb.Options) (verb.Reader, error) {
	if _, err := l.link(); err != nil {
		return nil, err
	}
	e.Forwarded = true
	return l.open(e, o.Mode), nil
}

func (l *Leader) open(e verb.Envelope, mode verb.Mode) *sharedReader {
	return l.shared.open(keyOf(e, mode), func(ctx context.Context, f *feed) {
		to, err := l.link()
		if err == nil {
			_, err = to.follow(ctx, e, mode, f, true)
		}
		if ctx.Err() == nil {
			f.lose(err)
			f.view.Fail(unanswered(err, false))
		}
	})
}
