package http

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// A read with ?cached may be answered from a live view: the first one asks the servers and has the query followed, and those that
// come after it are answered from what the watch has told. That is a HIT, and its Age is for how long nothing was heard of the
// servers: 0 while the watch stands.

const (
	// maxFollowed bounds the queries that are followed; reads beyond it ask the servers.
	maxFollowed = 1024
	// followTime is how long a query is followed that nobody asks any more, or up to twice that.
	followTime = 10 * time.Minute
	// Pauses before a watch that has failed is begun again.
	minFollowPause, maxFollowPause = 100 * time.Millisecond, 30 * time.Second
)

// cache holds the queries that are followed.
type cache struct {
	client Client
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup // grows with mu held and not closed

	mu      sync.Mutex // guards what follows
	closed  bool
	entries map[cacheKey]*cached
	sweep   *time.Timer // nil while nothing is followed
}

// cacheKey is what makes two reads the same. The token is in it, since rows are shown by token.
type cacheKey struct {
	datacenter, token, kind, payload string
	mode                             verb.Mode
}

// cached is a query that is followed.
type cached struct {
	stop context.CancelFunc
	used bool // since the last sweep; guarded by cache.mu

	mu      sync.Mutex // guards what follows
	ready   bool
	answer  verb.Answer
	changed chan struct{} // closed and replaced with each answer
	contact func() (knownLeader bool, last time.Duration)
	lost    time.Time // when the watch was lost; zero while it stands
}

func newCache(c Client) *cache {
	out := &cache{client: c, entries: map[cacheKey]*cached{}}
	out.ctx, out.cancel = context.WithCancel(context.Background())
	return out
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	if c.sweep != nil {
		c.sweep.Stop()
	}
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
}

// find returns the query's entry, and begins to follow it. Nil: there are too many.
func (c *cache) find(o verb.Options, q verb.Query) (*cached, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	e, err := verb.Wrap(o, q.QueryType(), q)
	if err != nil {
		return nil, err
	}
	key := cacheKey{o.Datacenter, o.Token, q.QueryType(), string(e.Payload), o.Mode}
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry := c.entries[key]; entry != nil {
		entry.used = true
		return entry, nil
	}
	if c.closed || len(c.entries) >= maxFollowed {
		return nil, nil
	}
	ctx, stop := context.WithCancel(c.ctx)
	entry := &cached{stop: stop, used: true, changed: make(chan struct{})}
	c.entries[key] = entry
	o.MinIndex, o.Wait, o.MaxStale = 0, 0, 0
	c.work.Go(func() { entry.follow(ctx, c.client, o, q) })
	if c.sweep == nil {
		c.sweep = time.AfterFunc(followTime, c.forget)
	}
	return entry, nil
}

// forget stops following what nobody asked for since the last time.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for key, entry := range c.entries {
		if !entry.used {
			entry.stop()
			delete(c.entries, key)
		}
		entry.used = false
	}
	if len(c.entries) == 0 {
		c.sweep = nil
		return
	}
	c.sweep.Reset(followTime)
}

// follow keeps the entry up to date until ctx ends.
func (e *cached) follow(ctx context.Context, client Client, o verb.Options, q verb.Query) {
	for pause := minFollowPause; ; pause = min(2*pause, maxFollowPause) {
		if r, err := client.Watch(ctx, o, q); err == nil {
			if e.read(ctx, r) {
				pause = minFollowPause
			}
			r.Close()
		}
		e.lose()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// read takes over what a watch tells until it fails, and reports whether it told anything.
func (e *cached) read(ctx context.Context, r verb.Reader) (told bool) {
	contact, _ := r.(interface{ Contact() (bool, time.Duration) })
	for {
		a, err := r.Next(ctx)
		if err != nil {
			return told
		}
		told = true
		e.mu.Lock()
		e.ready, e.answer, e.lost = true, a, time.Time{}
		if contact != nil {
			e.contact = contact.Contact
		}
		close(e.changed)
		e.changed = make(chan struct{})
		e.mu.Unlock()
	}
}

func (e *cached) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost.IsZero() {
		e.lost = time.Now()
	}
	e.contact = nil
}

// state returns what is known, and for how long nothing was heard of the servers. The channel is closed when something else is known.
func (e *cached) state() (a verb.Answer, age time.Duration, ready bool, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a = e.answer
	if e.contact != nil {
		a.KnownLeader, a.LastContact = e.contact()
	}
	if !e.lost.IsZero() {
		a.KnownLeader, a.LastContact = false, time.Since(e.lost)
	}
	return a, a.LastContact, e.ready, e.changed
}

// cacheControl is what the request's header of that name demands. Its zero value takes whatever is known.
type cacheControl struct {
	revalidate           bool
	maxAge, staleIfError *time.Duration
}

// cacheControl reads the header. Directives that it does not know are not for this cache.
func (r *request) cacheControl() (c cacheControl, err error) {
	for directive := range strings.SplitSeq(strings.Join(r.Header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "must-revalidate":
			c.revalidate = true
		case "max-age", "stale-if-error":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return c, api.Errorf(http.StatusBadRequest, "Invalid Cache-Control header: %s wants a number of seconds, not %q", name, value)
			}
			d := time.Duration(n) * time.Second
			if name == "max-age" {
				c.maxAge = &d
			} else {
				c.staleIfError = &d
			}
		}
	}
	return c, nil
}

// fresh tells whether what is so old will do.
func (c cacheControl) fresh(age time.Duration) bool {
	return !c.revalidate && (c.maxAge == nil || age <= *c.maxAge)
}

// askCached carries out a query from a live view where there is one and the client will have it, and tells in headers how old the
// answer is.
func (r *request) askCached(o verb.Options, q verb.Query) (verb.Answer, error) {
	control, err := r.cacheControl()
	if err != nil {
		return verb.Answer{}, err
	}
	entry, err := r.s.cache.find(o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	if entry != nil {
		if _, age, ready, _ := entry.state(); ready && control.fresh(age) {
			return r.shownHit(o, entry)
		}
	}
	a, err := r.askAs(o, q)
	if err == nil {
		r.w.Header().Set("X-Cache", "MISS")
		return a, nil
	}
	if entry != nil && control.staleIfError != nil && api.StatusOf(err) >= http.StatusInternalServerError {
		if _, age, ready, _ := entry.state(); ready && age <= *control.staleIfError {
			return r.shownHit(o, entry)
		}
	}
	return verb.Answer{}, err
}

// safeWait is how long the servers may take over a question that can be answered without them.
const safeWait = 2 * time.Second

// peekSafely is peek for what decides over connections: the servers' word counts as long as they answer, so that a revocation holds
// from the moment it is acknowledged. While they do not, what was last known does.
func (r *request) peekSafely(q verb.Query) (verb.Answer, error) {
	o, err := r.reading()
	if err != nil {
		return verb.Answer{}, err
	}
	o.MinIndex = 0
	entry, err := r.s.cache.find(o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	ctx, known := r.Context(), false
	if entry != nil {
		if _, _, known, _ = entry.state(); known {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, safeWait)
			defer cancel()
		}
	}
	a, err := r.s.opts.Client.Query(ctx, o, q)
	switch {
	case err == nil:
		r.w.Header().Set("X-Cache", "MISS")
		r.w.Header().Del("Age")
		return a, nil
	case known && (ctx.Err() != nil || api.StatusOf(err) >= http.StatusInternalServerError):
		return r.hit(o, entry)
	}
	return verb.Answer{}, err
}

// shownHit is hit for an answer that tells of which moment it is.
func (r *request) shownHit(o verb.Options, e *cached) (verb.Answer, error) {
	a, err := r.hit(o, e)
	if err == nil {
		r.showMeta(a)
	}
	return a, err
}

// hit answers from a live view, and waits there if that is what the client wants.
func (r *request) hit(o verb.Options, e *cached) (verb.Answer, error) {
	a, age, _, changed := e.state()
	if o.MinIndex > 0 && a.Index <= o.MinIndex {
		ctx, stop, err := r.patience(true)
		if err != nil {
			return verb.Answer{}, err
		}
		defer stop()
		for again := true; again && a.Index <= o.MinIndex; a, age, _, changed = e.state() {
			if again, err = r.s.until(ctx, changed); err != nil {
				return verb.Answer{}, err
			}
		}
	}
	h := r.w.Header()
	h.Set("X-Cache", "HIT")
	h.Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	return a, nil
}
