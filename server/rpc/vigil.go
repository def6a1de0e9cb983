package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// How a vigil is kept. A request that is not answered within doubtAfter makes it ask whether anybody is there at all, which may
// take askFor; both together are below the three seconds within which whoever asks is to know.
const (
	doubtAfter = time.Second
	askFor     = 1500 * time.Millisecond
	// askAgain is how often it asks while requests wait that may wait for long.
	askAgain = 5 * time.Second
	// While nobody answers it asks with these pauses, also when nobody waits: what comes back is found.
	minReturn = time.Second
	maxReturn = 10 * time.Second
)

// vigil watches whether anybody of a datacenter answers. Requests that wait ask nothing themselves: there is one vigil for all of
// them, which ends them all when nobody does. Those that come while nobody does are refused at once, so that nothing piles up.
type vigil struct {
	datacenter string
	// ask returns nil when somebody answers.
	ask func(ctx context.Context) error
	log *slog.Logger

	mu      sync.Mutex // guards what follows
	waiting map[*waiter]struct{}
	heard   time.Time     // when somebody last answered the vigil
	failed  time.Time     // since when gossip says that all have failed; zero: it does not
	lost    time.Time     // since when nobody answers; zero: somebody does, as far as is known
	why     error         // they do not
	next    time.Time     // when it asks; zero: not before it is woken
	poke    chan struct{} // wakes the one who keeps it
}

// waiter is a request that waits for an answer.
type waiter struct {
	began    time.Time
	patience time.Duration
	end      context.CancelCauseFunc
}

func newVigil(datacenter string, log *slog.Logger, ask func(context.Context) error) *vigil {
	return &vigil{datacenter: datacenter, ask: ask, log: log, waiting: map[*waiter]struct{}{}, poke: make(chan struct{}, 1)}
}

// unreachable is that nobody of a datacenter answers.
type unreachable struct {
	datacenter string
	since      time.Time
	why        error
	uncertain  bool // whether a command that was sent was carried out
}

// Error implements error.
func (e *unreachable) Error() string {
	text := fmt.Sprintf("datacenter %q has been unreachable since %s (%s): %v",
		e.datacenter, e.since.UTC().Format(time.RFC3339), time.Since(e.since).Round(time.Second), e.why)
	if e.uncertain {
		return "it is not known whether the write was carried out: " + text
	}
	return text
}

// Unwrap implements errors.Is.
func (e *unreachable) Unwrap() error { return verb.ErrUnreachable }

// wait counts a request among those that wait, until done is called. Its context ends when the vigil finds that nobody answers. The
// error is that nobody does.
func (v *vigil) wait(ctx context.Context, patience time.Duration) (waiting context.Context, done func(), err error) {
	waiting, end := context.WithCancelCause(ctx)
	w := &waiter{began: time.Now(), patience: patience, end: end}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lost.IsZero() {
		end(nil)
		v.wake() // it may be back
		return nil, nil, v.error()
	}
	if v.next.IsZero() || w.began.Add(patience).Before(v.next) {
		v.wake()
	}
	v.waiting[w] = struct{}{}
	return waiting, func() {
		end(nil)
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.waiting, w)
	}, nil
}

// error is called with mu held.
func (v *vigil) error() error {
	return &unreachable{datacenter: v.datacenter, since: v.lost, why: v.why}
}

func (v *vigil) wake() {
	select {
	case v.poke <- struct{}{}:
	default:
	}
}

// gossip takes over what gossip says: whether all servers have failed.
func (v *vigil) gossip(allFailed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !allFailed:
		v.failed = time.Time{}
	case v.failed.IsZero():
		v.failed = time.Now()
	}
	v.wake()
}

// keep keeps the vigil until ctx ends.
func (v *vigil) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause, asked := minReturn, time.Time{}
	for {
		select {
		case <-timer.C:
		case <-v.poke:
			pause = minReturn
		case <-ctx.Done():
			return
		}
		due, lost := v.due(asked.Add(pause))
		if due.IsZero() {
			continue
		}
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			continue
		}
		asked = time.Now()
		asking, cancel := context.WithTimeout(ctx, askFor)
		err := v.ask(asking)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if v.conclude(asked, err); err == nil {
			pause = minReturn
		} else if lost {
			pause = min(2*pause, maxReturn)
		}
		timer.Reset(0)
	}
}

// due is when to ask: while nobody answers, when it is said to be. Zero: not before something happens.
func (v *vigil) due(whileLost time.Time) (due time.Time, lost bool) {
	v.mu.Lock()
	defer func() { v.next = due; v.mu.Unlock() }()
	if !v.lost.IsZero() {
		return whileLost, true
	}
	for w := range v.waiting {
		at := w.began.Add(w.patience)
		if v.heard.After(w.began) {
			at = v.heard.Add(askAgain)
		}
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due, false
}

// conclude takes over what came of asking.
func (v *vigil) conclude(asked time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		v.heard = time.Now()
		if !v.lost.IsZero() {
			v.log.Info("datacenter is reachable again", "after", time.Since(v.lost).Round(time.Millisecond))
		}
		v.lost, v.why = time.Time{}, nil
		return
	}
	v.why = err
	if v.lost.IsZero() {
		v.lost = v.since(asked)
		v.log.Warn("datacenter is unreachable, what is asked of it fails until one of its servers answers", "err", err)
	}
	for w := range v.waiting {
		w.end(v.error())
	}
	clear(v.waiting)
}

// since is from when on nobody answered: when gossip found all to have failed or the first who waits began to, but not before the
// last answer. It is called with mu held.
func (v *vigil) since(asked time.Time) time.Time {
	since := asked
	for w := range v.waiting {
		if w.began.Before(since) && !v.heard.After(w.began) {
			since = w.began
		}
	}
	if !v.failed.IsZero() && v.failed.Before(since) && v.failed.After(v.heard) {
		since = v.failed
	}
	return since
}
