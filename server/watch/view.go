package watch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Row is what a View keeps. Rows are immutable once they are in a State.
type Row interface {
	// RowKey identifies the row within its view and orders it.
	RowKey() string
	// RowVersion changes whenever the row's content does.
	RowVersion() uint64
}

// State is one moment of a view: the rows, sorted by key, and the index of the last change. It is shared; nobody
// changes Rows.
type State[R Row] struct {
	Index uint64
	Rows  []R
	// Err says why the rows cannot be had. A later State may have them.
	Err error
}

// Frame is the difference between two States, as it travels: all rows when Reset is set, otherwise those that are new
// or changed and the keys of those that went.
type Frame[R Row] struct {
	Index   uint64
	Reset   bool
	Upserts []R
	Deletes []string
}

// Diff returns the frame that leads from the rows of old to next. Both are sorted by key.
func Diff[R Row](old []R, next State[R]) Frame[R] {
	f := Frame[R]{Index: next.Index}
	i := 0
	for _, row := range next.Rows {
		key := row.RowKey()
		for i < len(old) && old[i].RowKey() < key {
			f.Deletes = append(f.Deletes, old[i].RowKey())
			i++
		}
		if i < len(old) && old[i].RowKey() == key {
			if old[i].RowVersion() != row.RowVersion() {
				f.Upserts = append(f.Upserts, row)
			}
			i++
			continue
		}
		f.Upserts = append(f.Upserts, row)
	}
	for ; i < len(old); i++ {
		f.Deletes = append(f.Deletes, old[i].RowKey())
	}
	return f
}

// View holds the newest State of one query and wakes those who wait for a newer one.
type View[R Row] struct {
	mu      sync.Mutex
	ready   bool
	state   State[R]
	seq     uint64        // counts the changes; a reader remembers the last it has seen
	changed chan struct{} // closed and replaced at each change

	closed <-chan struct{} // ends all waits; nil: nothing does
}

// NewView returns a view with no State yet.
func NewView[R Row]() *View[R] { return &View[R]{changed: make(chan struct{})} }

// Set makes rows the newest state as of index. The rows need not be sorted. Rows whose key and version are those of
// the last state are replaced by the row already held, so what was computed for it (its encoding) is kept. When no row
// differs, only the index moves, and nobody is woken.
func (v *View[R]) Set(index uint64, rows []R) {
	slices.SortStableFunc(rows, func(a, b R) int { return cmp.Compare(a.RowKey(), b.RowKey()) })
	v.mu.Lock()
	defer v.mu.Unlock()
	same := Reuse(v.state.Rows, rows) && v.ready && v.state.Err == nil
	if same {
		v.state.Index = max(index, v.state.Index)
		return
	}
	v.publish(State[R]{Index: max(index, v.state.Index), Rows: rows})
}

// Reuse replaces the rows whose key and version are those of a row of old by that one, so that what was computed for it
// is kept. It reports whether the rows are those of old, none more and none less. Both are sorted by key.
func Reuse[R Row](old, rows []R) (same bool) {
	same = len(old) == len(rows)
	i := 0
	for n, row := range rows {
		for i < len(old) && old[i].RowKey() < row.RowKey() {
			i++
		}
		if i < len(old) && old[i].RowKey() == row.RowKey() && old[i].RowVersion() == row.RowVersion() {
			rows[n] = old[i]
			continue
		}
		same = false
	}
	return same
}

// Apply brings the view forward by a frame. A frame whose index is behind, after a resynchronisation with a server
// that lags, does not move the index back.
func (v *View[R]) Apply(f Frame[R]) {
	if f.Reset {
		v.Set(f.Index, slices.Clone(f.Upserts))
		return
	}
	v.mu.Lock()
	old := v.state.Rows
	v.mu.Unlock()
	gone := make(map[string]struct{}, len(f.Deletes)+len(f.Upserts))
	for _, k := range f.Deletes {
		gone[k] = struct{}{}
	}
	for _, r := range f.Upserts {
		gone[r.RowKey()] = struct{}{}
	}
	rows := make([]R, 0, len(old)+len(f.Upserts))
	for _, r := range old {
		if _, ok := gone[r.RowKey()]; !ok {
			rows = append(rows, r)
		}
	}
	v.Set(f.Index, append(rows, f.Upserts...))
}

// Fail tells the readers that the rows cannot be had, and why.
func (v *View[R]) Fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.publish(State[R]{Index: v.state.Index, Err: err})
}

// publish is called with mu held.
func (v *View[R]) publish(s State[R]) {
	v.state, v.ready = s, true
	v.seq++
	close(v.changed)
	v.changed = make(chan struct{})
}

// State returns the newest state and whether there is one yet.
func (v *View[R]) State() (State[R], bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.ready
}

// Bounds end a wait beside its context. Thousands wait for the same at a time: a context derived for each would cost more than the
// rest of its wait.
type Bounds struct {
	Until time.Time       // zero: no end
	Ended <-chan struct{} // nil: none
}

// ErrEnded is the error of a wait that Bounds.Ended has ended.
var ErrEnded = errors.New("the wait was ended")

// Wait returns the first state whose index is above min, or which is an error. When ctx or a bound ends it first, it returns the
// newest state there is along with the context's error, context.DeadlineExceeded or ErrEnded.
func (v *View[R]) Wait(ctx context.Context, min uint64, b Bounds) (State[R], error) {
	return v.wait(ctx, b, func() bool { return v.state.Err != nil || v.state.Index > min })
}

// wait returns when there is a state for which done holds; done is called with mu held.
func (v *View[R]) wait(ctx context.Context, b Bounds, done func() bool) (State[R], error) {
	var late <-chan time.Time
	if !b.Until.IsZero() {
		t := time.NewTimer(time.Until(b.Until))
		defer t.Stop()
		late = t.C
	}
	for {
		v.mu.Lock()
		state, ready, changed := v.state, v.ready, v.changed
		ok := ready && done()
		v.mu.Unlock()
		if ok {
			return state, nil
		}
		var err error
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-late:
			err = context.DeadlineExceeded
		case <-b.Ended:
			err = ErrEnded
		case <-v.closed:
			err = context.Canceled
		}
		state, _ = v.State()
		return state, err
	}
}
