package dns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

const (
	// maxViews bounds the names that are followed. Each is a watch.
	maxViews = 4096
	// tick is how often what is not needed any more is looked for; idleTicks later a view that nobody asks is closed.
	tick      = 30 * time.Second
	idleTicks = 20
	// A name that does not exist is asked of the servers each time, so that it is found as soon as it is registered. One that
	// was in vain often within a tick is followed like those that exist, but only so many are; and so many are counted. So
	// names at random cost a query each, and nothing that stays.
	often          = 8
	maxAbsentViews = 256
	maxAbsent      = 4096
	// queryTimeout is how long the servers may take over a name that is new. A resolver gives up after five seconds.
	queryTimeout = 3 * time.Second
	// maxAsking bounds the queries for new names under way.
	maxAsking = 256
)

// views holds the rows that are known.
type views struct {
	client Client
	node   string          // ours
	ctx    context.Context // of the queries and watches; ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup
	ticks  atomic.Int64

	mu     sync.RWMutex // guards what follows
	closed bool
	terms  terms
	open   map[source]*view
	// absentViews counts the open views that found nothing when they were opened.
	absentViews int
	absent      map[source]int // how often the source was found empty in this tick
	asking      map[source]*asking

	strange atomic.Int64 // how many names were asked for in this tick that do not exist
	flooded bool         // there were too many of them in this tick or the last
}

// asking is a query under way, for all who wait for its rows.
type asking struct {
	done  chan struct{} // closed when what follows is set
	view  *view         // nil when there is nothing to follow
	facts *facts
	err   error
}

func newViews(c Client, node string, t terms) *views {
	vs := &views{
		client: c, node: node, terms: t,
		open: map[source]*view{}, absent: map[source]int{}, asking: map[source]*asking{},
	}
	vs.ctx, vs.cancel = context.WithCancel(context.Background())
	vs.work.Go(vs.tidy)
	return vs
}

// known returns what is known of a source without asking, nil when nothing is. The view is nil when none follows it.
func (vs *views) known(s source) (*view, *facts) {
	vs.mu.RLock()
	defer vs.mu.RUnlock()
	if v := vs.open[s]; v != nil {
		v.use(vs.ticks.Load())
		return v, v.at(vs.terms)
	}
	if vs.listed(s) {
		return nil, nil
	}
	return nil, nothingThere
}

func (v *view) use(tick int64) {
	if v.used.Load() != tick {
		v.used.Store(tick)
	}
}

// current tells whether facts are still what is known.
func (vs *views) current(v *view, f *facts, t terms) bool {
	if v.at(t) != f {
		return false
	}
	v.use(vs.ticks.Load())
	return true
}

// errBusy: so many new names are asked for that this one has to be asked again.
var errBusy = errors.New("too many names are being looked up")

// ask returns what is known of a source or, when that is nothing, what the servers say.
func (vs *views) ask(ctx context.Context, s source) (*view, *facts, error) {
	if v, f := vs.known(s); f != nil {
		return v, f, nil
	}
	a, err := vs.join(s)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-a.done:
		return a.view, a.facts, a.err
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("look up %q: %w", s.name, ctx.Err())
	}
}

// join returns the query for a source, which it starts when there is none.
func (vs *views) join(s source) (*asking, error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if a := vs.asking[s]; a != nil {
		return a, nil
	}
	if vs.closed || len(vs.asking) >= maxAsking {
		return nil, errBusy
	}
	a := &asking{done: make(chan struct{})}
	vs.asking[s] = a
	t := vs.terms
	vs.work.Go(func() { vs.find(s, a, t) })
	return a, nil
}

// find asks the servers, and follows what they know.
func (vs *views) find(s source, a *asking, t terms) {
	ctx, cancel := context.WithTimeout(vs.ctx, queryTimeout)
	defer cancel()
	got, err := vs.client.Query(ctx, t.options(s.dc), s.query(vs.node))
	denied := denies(err)
	if denied {
		got, err = verb.Answer{}, nil
	}

	vs.mu.Lock()
	defer vs.mu.Unlock()
	defer close(a.done)
	delete(vs.asking, s)
	if err != nil {
		a.err = fmt.Errorf("look up %q: %w", s.name, err)
		return
	}
	a.facts = newFacts(got.Rows)
	if s.vain(got.Rows) && vs.strange.Add(1) >= flood {
		vs.flooded = true
		vs.openDirectory(s)
	}
	switch {
	case vs.closed || vs.open[s] != nil || t != vs.terms:
		// What is followed already may be followed no further for now, but it is not followed twice.
	case denied || s.vain(got.Rows) && !vs.inVainOften(s):
		// There is nothing to follow.
	default:
		a.view = vs.follow(s, a.facts)
	}
}

// denies tells whether an error says that there is no such thing: no such datacenter, a
// name that nothing can have, or one that is not for us to know.
func denies(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == 400 || e.Status == 403 || e.Status == 404 || e.Message == verb.ErrNoPath.Message)
}

// follow opens a view. It is called with mu held.
func (vs *views) follow(s source, f *facts) *view {
	if len(vs.open) >= maxViews {
		vs.closeView(vs.oldest())
	}
	ctx, cancel := context.WithCancel(vs.ctx)
	v := &view{source: s, cancel: cancel, absent: s.vain(f.rows)}
	v.facts.Store(f)
	v.used.Store(vs.ticks.Load())
	vs.open[s] = v
	t := vs.terms
	vs.work.Go(func() { v.run(ctx, vs.client, vs.node, t) })
	return v
}

// oldest is the view that was not asked for longest.
func (vs *views) oldest() (old *view) {
	for _, v := range vs.open {
		if old == nil || v.used.Load() < old.used.Load() {
			old = v
		}
	}
	return old
}

func (vs *views) closeView(v *view) {
	delete(vs.open, v.source)
	if v.absent {
		vs.absentViews--
	}
	v.close()
}

// inVainOften counts that a source was found empty, and tells whether it may be followed all the same. It is called with
// mu held.
func (vs *views) inVainOften(s source) bool {
	if len(vs.absent) >= maxAbsent {
		clear(vs.absent) // somebody asks for names at random
	}
	vs.absent[s]++
	if vs.absent[s] < often || vs.absentViews >= maxAbsentViews {
		return false
	}
	vs.absentViews++
	return true
}

// tidy closes what nobody has asked for a while.
func (vs *views) tidy() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			vs.mu.Lock()
			limit := vs.ticks.Add(1) - idleTicks
			for _, v := range vs.open {
				if v.used.Load() < limit {
					vs.closeView(v)
				}
			}
			clear(vs.absent)
			vs.flooded = vs.strange.Swap(0) >= flood
			vs.mu.Unlock()
		case <-vs.ctx.Done():
			return
		}
	}
}

// configure changes how rows are read. What was read otherwise is read anew.
func (vs *views) configure(t terms) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.terms == t {
		return
	}
	vs.terms = t
	for _, v := range vs.open {
		vs.closeView(v)
	}
}

// close ends all queries and watches, and returns when they have ended.
func (vs *views) close() {
	vs.mu.Lock()
	vs.closed = true
	for _, v := range vs.open {
		vs.closeView(v)
	}
	vs.mu.Unlock()
	vs.cancel()
	vs.work.Wait()
}
