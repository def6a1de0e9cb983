package core

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// viewKey is what makes two queries the same: one view serves both.
type viewKey struct {
	tenant  api.Tenant
	kind    string
	payload string
}

// Query carries out a query from this process.
func (c *Core) Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error) {
	e, err := c.wrap(o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	a, err := c.query(ctx, e, o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	return a, a.Decode(q.NewValue)
}

// QueryEnvelope carries out a query that has come from elsewhere.
func (c *Core) QueryEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	q, err := c.unwrap(e)
	if err != nil {
		return verb.Answer{}, err
	}
	return c.query(ctx, e, o, q)
}

// Watch follows a query from this process.
func (c *Core) Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error) {
	e, err := c.wrap(o, q)
	if err != nil {
		return nil, err
	}
	r, err := c.watch(ctx, e, o, q)
	if err != nil {
		return nil, err
	}
	return verb.DecodeReader(r, q.NewValue), nil
}

// WatchEnvelope follows a query that has come from elsewhere.
func (c *Core) WatchEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Reader, error) {
	q, err := c.unwrap(e)
	if err != nil {
		return nil, err
	}
	return c.watch(ctx, e, o, q)
}

func (c *Core) wrap(o verb.Options, q verb.Query) (verb.Envelope, error) {
	if err := q.Validate(); err != nil {
		return verb.Envelope{}, err
	}
	return verb.Wrap(o, q.QueryType(), q)
}

func (c *Core) unwrap(e verb.Envelope) (verb.Query, error) {
	q, err := c.opts.Types.query(e)
	if err != nil {
		return nil, err
	}
	return q, q.Validate()
}

func (c *Core) query(ctx context.Context, e verb.Envelope, o verb.Options, q verb.Query) (verb.Answer, error) {
	if _, about := q.(verb.AboutServers); about {
		o.MinIndex = 0 // there is nothing to wait for
	}
	if there, err := c.route(e.Datacenter); err != nil {
		return verb.Answer{}, err
	} else if there != nil {
		return there.QueryEnvelope(ctx, e, o)
	}
	until := time.Now().Add(c.wait(o))
	return hold(ctx, c, e.Forwarded, o.MinIndex > 0, func(ctx context.Context) (verb.Answer, error) {
		term, here, err := c.place(ctx, o)
		if err != nil {
			return verb.Answer{}, err
		}
		if here {
			return c.queryHere(ctx, term, until, e, o, q)
		}
		leader, err := c.elsewhere(e.Forwarded)
		if err != nil {
			return verb.Answer{}, err
		}
		if o.MinIndex > 0 {
			o.Wait = max(time.Until(until), time.Millisecond)
		}
		a, err := leader.QueryEnvelope(ctx, e, o)
		if o.Mode == verb.Stale && err == nil {
			c.current.told(a.Index)
		}
		return a, err
	})
}

// wait is how long a blocking query may take: what it asks for within bounds, plus a little chance, so that many who came
// together do not all return at once.
func (c *Core) wait(o verb.Options) time.Duration {
	d := o.Wait
	if d <= 0 {
		d = c.opts.DefaultWait
	}
	d = min(d, c.opts.MaxWait)
	return d + rand.N(d/16+1)
}

// place decides whether a query is answered here. The context, when there is one, ends with the right to do so.
func (c *Core) place(ctx context.Context, o verb.Options) (term context.Context, here bool, err error) {
	if o.Mode == verb.Stale && (o.MaxStale == 0 || c.lastContact() <= o.MaxStale) && c.current.reached(c.fsm) {
		return nil, true, nil
	}
	term, number := c.reigning()
	if term == nil {
		return nil, false, nil
	}
	if o.Mode != verb.Consistent && c.witness.promised(time.Now(), number, c.opts.Raft.LocalID, c.configuration) {
		return term, true, nil
	}
	if err := c.proved(ctx); err != nil {
		return nil, false, err
	}
	if term.Err() != nil {
		return nil, false, verb.ErrNotLeader // it leads again, in another term
	}
	return term, true, nil
}

// proved waits for the proof that this server has led since the call.
func (c *Core) proved(ctx context.Context) error {
	err := c.verify.wait(ctx)
	if err != nil && ctx.Err() == nil {
		return appendError(err)
	}
	return err
}

// lastContact is how old this server's state may be.
func (c *Core) lastContact() time.Duration {
	if c.Ready() {
		return 0
	}
	last := c.raft.LastContact()
	if last.IsZero() {
		return 1<<63 - 1
	}
	return time.Since(last)
}

// queryHere answers from this server's state.
func (c *Core) queryHere(ctx, term context.Context, until time.Time, e verb.Envelope, o verb.Options, q verb.Query) (verb.Answer, error) {
	judge, err := c.judge(e, q)
	if err != nil {
		return verb.Answer{}, err
	}
	if about, ok := q.(verb.AboutServers); ok {
		rows, err := about.ReadServers(c.opts.Servers)
		return c.answer(judge, watch.State[*verb.Row]{Index: 1, Rows: rows}), err
	}
	last := c.Store().Last()
	s, err := c.state(ctx, term, until, e, o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	a := c.answer(judge, s)
	if a.Index == 0 {
		// Nothing of what was read has ever changed. The client is told an index from which it can wait all the same: had
		// anything changed up to it, that would have been read.
		a.Index = max(last, 1)
	}
	return a, nil
}

func (c *Core) judge(e verb.Envelope, q verb.Query) (Judge, error) {
	tx := c.Store().Read()
	tx.At(e.Tenant, 0)
	judge, err := c.opts.Authorizer.Judge(tx, e.Token)
	if err != nil {
		return nil, err
	}
	return judge, allow(judge, q.Needs())
}

// read reads the rows as they stand now.
func (c *Core) read(e verb.Envelope, q verb.Query) (watch.State[*verb.Row], error) {
	store := c.Store()
	tx, _ := store.Watch()
	tx.At(e.Tenant, 0)
	key := keyOf(e)
	before, current := c.recent.find(key, store, tx)
	if current {
		return before.state, nil
	}
	rows, err := q.Read(tx)
	if err != nil {
		return watch.State[*verb.Row]{}, err
	}
	setApart(tx, rows)
	_, index := tx.Seen()
	slices.SortStableFunc(rows, func(a, b *verb.Row) int { return cmp.Compare(a.Key, b.Key) })
	if before != nil && before.store == store {
		watch.Reuse(before.state.Rows, rows)
	}
	s := watch.State[*verb.Row]{Index: index, Rows: rows}
	if reading, ok := tx.Reading(); ok {
		c.recent.keep(key, &recentList{store: store, reading: reading, state: s})
	}
	return s, nil
}

func keyOf(e verb.Envelope) viewKey { return viewKey{e.Tenant, e.Type, string(e.Payload)} }

// state returns the rows as they stand now or, for a query that waits, when their index is above MinIndex or the time has run out.
func (c *Core) state(ctx, term context.Context, until time.Time, e verb.Envelope, o verb.Options, q verb.Query) (watch.State[*verb.Row], error) {
	if o.MinIndex == 0 {
		return c.read(e, q)
	}
	key := keyOf(e)
	// A view that is there and has nothing new says that there was nothing new a moment ago, and will say what is. Any other answer
	// is of now: what the client has just written is in it.
	if known, ok := c.views.State(key); !ok || known.Err != nil || known.Index > o.MinIndex {
		if s, err := c.read(e, q); err != nil || s.Index > o.MinIndex {
			return s, err
		}
	}
	r := c.views.Open(key, c.feed(e.Tenant, q))
	defer r.Close()
	s, err := r.Wait(ctx, o.MinIndex, watch.Bounds{Until: until, Ended: ended(term)})
	switch {
	case err == nil:
		return s, s.Err
	case errors.Is(err, watch.ErrEnded):
		return s, verb.ErrNotLeader
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return c.read(e, q)
	}
	return s, err
}

// ended is closed when a term ends, if there is one.
func ended(term context.Context) <-chan struct{} {
	if term == nil {
		return nil
	}
	return term.Done()
}

// within ends ctx when the term does, for the reason that this server does not lead any more.
func within(ctx, term context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if term == nil {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(term, func() { cancel(verb.ErrNotLeader) })
	return ctx, func() { stop(); cancel(nil) }
}

// setApart tells the rows of a state that was restored from those that were there before: two of the same version, as of two clusters,
// have nothing in common.
func setApart(tx *state.Tx, rows []*verb.Row) {
	if apart := tx.Floor(); apart > 0 {
		for _, r := range rows {
			r.Version ^= apart * 0x9e3779b97f4a7c15 // spreads it over all bits
		}
	}
}

// feed keeps a view current.
func (c *Core) feed(tenant api.Tenant, q verb.Query) watch.Feed[*verb.Row] {
	return func(ctx context.Context, view *watch.View[*verb.Row]) {
		c.follow(ctx, func(tx *state.Tx) {
			tx.At(tenant, 0)
			rows, err := q.Read(tx)
			if err != nil {
				view.Fail(err)
				return
			}
			setApart(tx, rows)
			_, index := tx.Seen()
			view.Set(index, rows)
		})
	}
}

// follow reads, subscribes to what was read, and reads again each time that it is woken, until ctx ends.
func (c *Core) follow(ctx context.Context, read func(tx *state.Tx)) {
	sub := c.topics.Subscribe()
	defer sub.Close()
	for {
		store := c.Store()
		tx, commits := store.Watch()
		read(tx)
		topics, _ := tx.Seen()
		// What was committed between the read and the subscription woke nobody.
		if sub.Watch(topics) && (store.Commits() != commits || c.Store() != store) {
			continue
		}
		select {
		case <-sub.C:
		case <-ctx.Done():
			return
		}
	}
}

// answer leaves out the rows that the token may not see.
func (c *Core) answer(judge Judge, s watch.State[*verb.Row]) verb.Answer {
	leader, _ := c.raft.LeaderWithID()
	a := verb.Answer{Index: s.Index, Rows: s.Rows, KnownLeader: leader != "", LastContact: c.lastContact()}
	if judge.Unlimited() {
		return a
	}
	a.Rows = make([]*verb.Row, 0, len(s.Rows))
	for _, r := range s.Rows {
		if allow(judge, r.Needs) == nil {
			a.Rows = append(a.Rows, r)
		}
	}
	a.Filtered = len(a.Rows) < len(s.Rows)
	return a
}

// watch follows a query here or, when the mode asks for the leader and that is another, there.
func (c *Core) watch(ctx context.Context, e verb.Envelope, o verb.Options, q verb.Query) (verb.Reader, error) {
	if there, err := c.route(e.Datacenter); err != nil {
		return nil, err
	} else if there != nil {
		return there.WatchEnvelope(ctx, e, o)
	}
	return hold(ctx, c, e.Forwarded, false, func(ctx context.Context) (verb.Reader, error) {
		term, here, err := c.place(ctx, o)
		if err != nil {
			return nil, err
		}
		if !here {
			leader, err := c.elsewhere(e.Forwarded)
			if err != nil {
				return nil, err
			}
			return leader.WatchEnvelope(ctx, e, o)
		}
		if _, err := c.judge(e, q); err != nil {
			return nil, err
		}
		return &reader{core: c, e: e, q: q, term: term, in: c.views.Open(keyOf(e), c.feed(e.Tenant, q))}, nil
	})
}

// reader is a watch of this server's state.
type reader struct {
	core  *Core
	e     verb.Envelope
	q     verb.Query
	judge Judge           // set for a watch in the server's own name; otherwise the token is judged, anew each time
	term  context.Context // nil for a watch that needs no leader
	in    *watch.Reader[*verb.Row]
}

// Next implements verb.Reader.
func (r *reader) Next(ctx context.Context) (verb.Answer, error) {
	s, err := r.in.Next(ctx, watch.Bounds{Ended: ended(r.term)})
	if err == nil {
		err = s.Err
	} else if errors.Is(err, watch.ErrEnded) {
		err = verb.ErrNotLeader
	}
	if err != nil {
		return verb.Answer{}, err
	}
	judge := r.judge
	if judge == nil {
		if judge, err = r.core.judge(r.e, r.q); err != nil {
			return verb.Answer{}, err
		}
	}
	return r.core.answer(judge, s), nil
}

// Contact says how old what the reader shows may be.
func (r *reader) Contact() (knownLeader bool, last time.Duration) {
	leader, _ := r.core.raft.LeaderWithID()
	return leader != "", r.core.lastContact()
}

// Close implements verb.Reader.
func (r *reader) Close() { r.in.Close() }
