package watch

import (
	"context"
	"sync"
	"time"
)

// linger is how long a view without readers is kept: the next round of a polling client, which comes within
// milliseconds, then finds its rows encoded.
const linger = 5 * time.Second

// maxIdle bounds the views kept without readers.
const maxIdle = 1024

// Feed keeps a view up to date until ctx ends. It runs in a goroutine of its own, one for each view. When it returns earlier,
// its readers keep what they have, and who opens the view after them has a new one.
type Feed[R Row] func(ctx context.Context, view *View[R])

// Views shares one view among all readers of the same key.
type Views[K comparable, R Row] struct {
	mu     sync.Mutex
	views  map[K]*shared[K, R]
	idle   int
	closed bool
	wg     sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

// shared is a view in use. Its fields are guarded by Views.mu.
type shared[K comparable, R Row] struct {
	key     K
	view    *View[R]
	readers int
	stop    context.CancelFunc
	timer   *time.Timer // set while there are no readers
}

// NewViews returns an empty set of views.
func NewViews[K comparable, R Row]() *Views[K, R] {
	ctx, cancel := context.WithCancel(context.Background())
	return &Views[K, R]{views: map[K]*shared[K, R]{}, ctx: ctx, cancel: cancel}
}

// Open returns a reader of the view called key, which feed keeps up to date if nobody reads it yet. After Close the
// reader's first wait fails.
func (vs *Views[K, R]) Open(key K, feed Feed[R]) *Reader[R] {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	s := vs.views[key]
	if s == nil {
		s = vs.start(key, feed)
	}
	s.readers++
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
		vs.idle--
	}
	return &Reader[R]{view: s.view, release: func() { vs.release(s) }}
}

// State returns the newest state of the view called key, if somebody reads it or has until a moment ago.
func (vs *Views[K, R]) State(key K) (State[R], bool) {
	vs.mu.Lock()
	s := vs.views[key]
	vs.mu.Unlock()
	if s == nil {
		return State[R]{}, false
	}
	return s.view.State()
}

// Len returns how many views there are, with and without readers.
func (vs *Views[K, R]) Len() int {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return len(vs.views)
}

// start is called with mu held.
func (vs *Views[K, R]) start(key K, feed Feed[R]) *shared[K, R] {
	ctx, cancel := context.WithCancel(vs.ctx)
	s := &shared[K, R]{key: key, view: NewView[R](), stop: cancel}
	s.view.closed = vs.ctx.Done()
	if vs.closed {
		return s
	}
	vs.views[key] = s
	vs.wg.Go(func() {
		feed(ctx, s.view)
		vs.forget(s)
	})
	return s
}

// forget has the next reader start a new view: nobody keeps this one up to date any more.
func (vs *Views[K, R]) forget(s *shared[K, R]) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.views[s.key] == s {
		delete(vs.views, s.key)
	}
}

func (vs *Views[K, R]) release(s *shared[K, R]) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	s.readers--
	if s.readers > 0 || vs.closed {
		return
	}
	if vs.idle >= maxIdle {
		vs.end(s)
		return
	}
	vs.idle++
	var timer *time.Timer
	timer = time.AfterFunc(linger, func() {
		vs.mu.Lock()
		defer vs.mu.Unlock()
		// A reader that came meanwhile has taken the timer away.
		if s.timer == timer && s.timer != nil {
			vs.idle--
			vs.end(s)
		}
	})
	s.timer = timer
}

// end is called with mu held.
func (vs *Views[K, R]) end(s *shared[K, R]) {
	s.stop()
	s.timer = nil
	if vs.views[s.key] == s {
		delete(vs.views, s.key)
	}
}

// Close stops all views and waits for their feeds. Readers that wait are told that the context has ended.
func (vs *Views[K, R]) Close() {
	vs.mu.Lock()
	vs.closed = true
	vs.cancel()
	for _, s := range vs.views {
		if s.timer != nil {
			s.timer.Stop()
		}
		s.stop()
	}
	vs.mu.Unlock()
	vs.wg.Wait()
}

// Reader is one reader's place in a shared view. It is not safe for concurrent use, but for Close.
type Reader[R Row] struct {
	view    *View[R]
	seen    uint64
	once    sync.Once
	release func()
}

// Next returns the first state, then each time the newest one after a change. States that came and went in between
// are skipped.
func (r *Reader[R]) Next(ctx context.Context, b Bounds) (State[R], error) {
	var seq uint64
	s, err := r.view.wait(ctx, b, func() bool { seq = r.view.seq; return seq != r.seen })
	if err == nil {
		r.seen = seq
	}
	return s, err
}

// Wait is View.Wait.
func (r *Reader[R]) Wait(ctx context.Context, min uint64, b Bounds) (State[R], error) {
	return r.view.Wait(ctx, min, b)
}

// State is View.State.
func (r *Reader[R]) State() (State[R], bool) { return r.view.State() }

// Close gives the place up. It may be called more than once.
func (r *Reader[R]) Close() { r.once.Do(r.release) }
