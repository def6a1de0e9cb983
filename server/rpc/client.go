package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// ClientOptions is what a Client is made of.
type ClientOptions struct {
	Servers Servers
	Dialer  Dialer
	// Hold is how long a request is repeated while no server answers it; 0 means 7 s, which covers an election.
	Hold time.Duration
	// DefaultWait and MaxWait bound blocking queries; 0 means 5 and 10 minutes.
	DefaultWait, MaxWait time.Duration
	Logger               *slog.Logger
}

// Client carries commands and queries to a server on behalf of an agent that has none of its own.
type Client struct {
	opts   ClientOptions
	log    *slog.Logger
	pool   *pool
	choose chooser
	seen   seen
	shared *shared
	addrs  atomic.Pointer[[]string]  // the last servers known; empty before the first
	quiet  atomic.Pointer[time.Time] // since when no server answers; nil: one does
	down   atomic.Bool               // that has been said

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

var _ verb.Client = (*Client)(nil)

// NewClient returns a client, which is to be closed.
func NewClient(o ClientOptions) *Client {
	if o.Hold <= 0 {
		o.Hold = verbHold
	}
	if o.DefaultWait <= 0 {
		o.DefaultWait = 5 * time.Minute
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 10 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{opts: o, log: o.Logger.With("component", "rpc"), pool: newPool(o.Dialer), shared: newShared()}
	c.addrs.Store(&[]string{})
	c.ctx, c.cancel = context.WithCancel(context.Background())
	changed := c.learn()
	c.done.Go(func() { c.keepUp(changed) })
	return c
}

// learn takes over which servers there are. When gossip knows of none, those that were there are still asked: it may be
// gossip alone that is cut off.
func (c *Client) learn() (changed <-chan struct{}) {
	changed = c.opts.Servers.Changed()
	if addrs := c.opts.Servers.Servers(); len(addrs) > 0 {
		c.addrs.Store(&addrs)
		c.pool.keep(addrs)
	}
	return changed
}

func (c *Client) keepUp(changed <-chan struct{}) {
	for {
		select {
		case <-changed:
			changed = c.learn()
		case <-c.ctx.Done():
			return
		}
	}
}

// Close ends everything that is under way, and waits for the streams.
func (c *Client) Close() error {
	c.cancel()
	c.shared.close()
	c.pool.close()
	c.done.Wait()
	return nil
}

// Apply implements verb.Client.
func (c *Client) Apply(ctx context.Context, o verb.Options, cmd verb.Command) (verb.Result, error) {
	if err := cmd.Validate(); err != nil {
		return verb.Result{}, err
	}
	e, err := verb.Wrap(o, cmd.CommandType(), cmd)
	if err != nil {
		return verb.Result{}, err
	}
	return c.ApplyEnvelope(ctx, e)
}

// Query implements verb.Client.
func (c *Client) Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error) {
	e, err := wrap(o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	if _, aboutServers := q.(verb.AboutServers); aboutServers {
		o.MinIndex = 0
	}
	a, err := c.QueryEnvelope(ctx, e, o)
	if err != nil {
		return verb.Answer{}, err
	}
	return a, a.Decode(q.NewValue)
}

func wrap(o verb.Options, q verb.Query) (verb.Envelope, error) {
	if err := q.Validate(); err != nil {
		return verb.Envelope{}, err
	}
	return verb.Wrap(o, q.QueryType(), q)
}

// Watch implements verb.Client. While no server answers, its reader keeps waiting: what was last known stays known.
func (c *Client) Watch(_ context.Context, o verb.Options, q verb.Query) (verb.Reader, error) {
	e, err := wrap(o, q)
	if err != nil {
		return nil, err
	}
	return verb.DecodeReader(c.open(e, o.Mode), q.NewValue), nil
}

// open returns a place in the one stream that follows the query.
func (c *Client) open(e verb.Envelope, mode verb.Mode) *sharedReader {
	return c.shared.open(keyOf(e, mode), func(ctx context.Context, f *feed) { c.follow(ctx, e, mode, f) })
}

// query asks a server, also when it is to wait. A stale query that nobody answers is answered by what this agent was last told.
func (c *Client) query(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	until := time.Now().Add(c.wait(o))
	if o.Mode == verb.Stale && o.MinIndex == 0 {
		return c.queryStale(ctx, e, o)
	}
	lastKnown := func() (verb.Answer, bool) { return verb.Answer{}, false }
	return ask(ctx, c, false, lastKnown, func(ctx context.Context, l *link) (verb.Answer, error) {
		if o.MinIndex > 0 {
			o.Wait = max(time.Until(until), time.Millisecond)
		}
		return l.query(ctx, e, o)
	})
}

// queryStale asks a server, and another when the first does not know yet what was answered here before. When no server answers, or
// none that is reached knows more, what there is must do.
func (c *Client) queryStale(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	key := keyOf(e, o.Mode)
	before := c.seen.index(key)
	var late *verb.Answer // the best of those that go back
	instead := func() (verb.Answer, bool) {
		if late != nil {
			return *late, true
		}
		return c.lastKnown(e, o.MaxStale)
	}
	a, err := ask(ctx, c, false, instead, func(ctx context.Context, l *link) (verb.Answer, error) {
		a, err := l.query(ctx, e, o)
		if err == nil && a.Index < before {
			if late == nil || late.Index < a.Index {
				late = &a
			}
			return a, &transportError{&behindError{l.addr, a.Index, before}, true}
		}
		return a, err
	})
	if err == nil {
		c.seen.answered(key, a.Index)
	}
	return a, err
}

// lastKnown returns the rows of whoever follows the query here, in whichever mode.
func (c *Client) lastKnown(e verb.Envelope, maxStale time.Duration) (verb.Answer, bool) {
	for _, mode := range []verb.Mode{verb.Default, verb.Stale, verb.Consistent} {
		f := c.shared.feed(keyOf(e, mode))
		if f == nil {
			continue
		}
		s, ok := f.view.State()
		if !ok || s.Err != nil {
			continue
		}
		if a := f.answer(s); maxStale == 0 || a.LastContact <= maxStale {
			a.KnownLeader = false
			return a, true
		}
	}
	return verb.Answer{}, false
}

// wait is how long a blocking query may take: what it asks for within bounds, plus a little chance, so that many who came
// together do not all return at once.
func (c *Client) wait(o verb.Options) time.Duration {
	d := o.Wait
	if d <= 0 {
		d = c.opts.DefaultWait
	}
	d = min(d, c.opts.MaxWait)
	return d + rand.N(d/16+1)
}

// block waits for an index above MinIndex in the stream that all who follow the query share.
func (c *Client) block(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	until := time.Now().Add(c.wait(o))
	minIndex := o.MinIndex
	o.MinIndex = 0
	r := c.open(e, o.Mode)
	defer r.Close()
	if a, ok := r.known(); ok && a.Index > minIndex {
		if o.Mode == verb.Stale && (o.MaxStale == 0 || a.LastContact <= o.MaxStale) {
			return a, nil
		}
		// It was told before the question was asked: not good enough for who wants the leader's word.
		return c.query(ctx, e, o)
	}
	for {
		end := time.Now().Add(c.opts.Hold)
		if until.Before(end) {
			end = until
		}
		waiting, cancel := context.WithDeadline(ctx, end)
		a, err := r.wait(waiting, minIndex)
		cancel()
		switch {
		case err == nil || !errors.Is(err, context.DeadlineExceeded):
			return a, err
		case ctx.Err() != nil:
			return verb.Answer{}, ctx.Err()
		}
		var silent time.Duration
		if f := c.shared.feed(r.key); f != nil {
			silent, err = f.silence()
		}
		a, known := r.known()
		over := !time.Now().Before(until)
		switch {
		case silent >= c.opts.Hold && !(known && o.Mode == verb.Stale):
			return verb.Answer{}, c.silent(err)
		case over && known && (silent == 0 || o.Mode == verb.Stale):
			return a, nil
		case over:
			return c.query(ctx, e, o)
		}
	}
}

// silent is what who waits is told when no server has answered for too long.
func (c *Client) silent(why error) error {
	if why == nil {
		why = c.nobody()
	}
	return unanswered(why, false)
}

// nobody is why a request was not even sent.
func (c *Client) nobody() error {
	return &transportError{err: errors.New("none is known: this agent has met none in its pool yet; join one that has servers")}
}

// Pauses between two rounds over all servers.
const (
	minPause = 25 * time.Millisecond
	maxPause = time.Second
)

// ask tries a request at one server after the other until one answers, or the time is over. Whatever may be repeated is
// repeated under the same id. When no server answers at the first round, instead may have an answer.
func ask[T any](ctx context.Context, c *Client, command bool, instead func() (T, bool), try func(context.Context, *link) (T, error)) (T, error) {
	var none T
	began := time.Now()
	var reason error // of the last failure
	sent := false    // a command, once: who has not heard whether it was carried out is not told that it was not
	for pause := minPause; ; {
		addr, fresh := c.choose.choose(*c.addrs.Load())
		if addr == "" && reason == nil {
			reason = c.nobody()
		}
		if reason != nil && !fresh {
			c.says(reason)
			if v, ok := instead(); ok {
				return v, nil
			}
			if time.Since(began)+pause > c.opts.Hold {
				return none, unanswered(reason, command)
			}
			if err := c.pause(ctx, pause); err != nil {
				return none, fmt.Errorf("%w while no server answered: %w", err, reason)
			}
			pause = min(2*pause, maxPause)
		}
		if addr == "" {
			continue
		}
		v, err := one(ctx, c, addr, try)
		if sent {
			err = verb.Unsure(err)
		}
		err, sent = remember(err, sent)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return none, fmt.Errorf("%w: %w", ctx.Err(), err)
		case c.ctx.Err() != nil:
			return none, net.ErrClosed
		case !again(err) || time.Since(began) > c.opts.Hold:
			return none, unanswered(err, command)
		}
		reason = err
	}
}

// remember marks the failure of an attempt as that of one that was sent, if an earlier one was.
func remember(err error, sent bool) (error, bool) {
	var broken *transportError
	if !errors.As(err, &broken) {
		return err, sent || errors.Is(err, errGaveUp) || errors.Is(err, verb.ErrUnknownOutcome)
	}
	if sent && !broken.sent {
		return &transportError{broken.err, true}, true
	}
	return err, broken.sent
}

// one tries a request at one server.
func one[T any](ctx context.Context, c *Client, addr string, try func(context.Context, *link) (T, error)) (T, error) {
	l, err := c.pool.link(addr)
	if err != nil {
		var none T
		return none, &transportError{err: err}
	}
	v, err := try(ctx, l)
	switch {
	case err == nil || !again(err):
		c.answers(addr)
	case ctx.Err() == nil:
		c.choose.fail(addr)
	}
	return v, err
}

// pause waits, but not longer than who asks does.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return net.ErrClosed
	}
}

// sayAfter is how long nobody must have answered before that is worth a line: an election is over sooner, and so is an
// agent's start.
const sayAfter = 3 * time.Second

// says logs that no server answers, once.
func (c *Client) says(why error) {
	now := time.Now()
	c.quiet.CompareAndSwap(nil, &now)
	if since := c.quiet.Load(); since == nil || now.Sub(*since) < sayAfter || !c.down.CompareAndSwap(false, true) {
		return
	}
	if errors.Is(why, verb.ErrNoLeader) || errors.Is(why, verb.ErrNotLeader) {
		c.log.Warn("the servers have no leader: what is followed goes on being served, and they are asked again and again", "err", why)
		return
	}
	c.log.Warn("no server answers: what is followed goes on being served, and they are asked again and again", "err", why)
}

// answers notes that a server has answered.
func (c *Client) answers(addr string) {
	c.choose.succeed(addr)
	c.quiet.Store(nil)
	if c.down.CompareAndSwap(true, false) {
		c.log.Info("a server answers again", "server", addr)
	}
}

// catchUp is how long a server that is behind what has been seen is avoided.
const catchUp = 3 * time.Second

// follow keeps a feed's view like a server's answer, going from server to server, until ctx ends or the query is refused.
func (c *Client) follow(ctx context.Context, e verb.Envelope, mode verb.Mode, f *feed) {
	var behind *behindError
	var behindSince time.Time
	for pause := minPause; ctx.Err() == nil; {
		addr, fresh := c.choose.choose(*c.addrs.Load())
		began, err := false, c.nobody()
		if addr != "" {
			began, err = c.followAt(ctx, addr, e, mode, f, mode == verb.Stale && !behindSince.IsZero() && time.Since(behindSince) > catchUp)
		}
		if ctx.Err() != nil {
			return
		}
		f.lose(err)
		switch {
		case errors.As(err, &behind):
			if behindSince.IsZero() {
				behindSince = time.Now()
			}
			if mode != verb.Stale && time.Since(behindSince) > catchUp {
				// What was followed is not what is there now: who follows must begin anew.
				f.view.Fail(fmt.Errorf("the servers' state has been put back: %w", err))
				return
			}
		case !again(err):
			f.view.Fail(err)
			return
		}
		if began {
			pause, behindSince = minPause, time.Time{}
		} else if !fresh {
			c.says(err)
		}
		c.log.Debug("a watch was lost and is begun again", "query", e.Type, "err", err)
		if c.pause(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// followAt follows a query at one server.
func (c *Client) followAt(ctx context.Context, addr string, e verb.Envelope, mode verb.Mode, f *feed, behindIsFine bool) (began bool, err error) {
	l, err := c.pool.link(addr)
	if err != nil {
		return false, &transportError{err: err}
	}
	began, err = l.follow(ctx, e, mode, f, behindIsFine)
	var broken *transportError
	switch {
	case ctx.Err() != nil:
	case began && !errors.As(err, &broken) && !errors.Is(err, errGaveUp) || !again(err) && !isBehind(err):
		c.answers(addr) // it is there, and only its leader has gone
	default:
		c.choose.fail(addr)
	}
	return began, err
}

func isBehind(err error) bool {
	var behind *behindError
	return errors.As(err, &behind)
}
