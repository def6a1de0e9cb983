package snapshot

import (
	"context"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// A watch that fails is begun again after these times.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// feeder says what is followed and how. It is comparable: equal ones are followed once. String says what, without the token.
type feeder interface {
	String() string
	// follow calls set with each new value, until that fails or ctx ends.
	follow(ctx context.Context, a *Assembler, set func(any)) error
}

// feed keeps one feeder's newest value. Its fields are guarded by Assembler.mu.
type feed struct {
	value   any   // nil: not known yet; it outlives failures
	refused error // the last failure, if it was an answer: the same question will be answered the same way
	users   map[*assembly]struct{}
	cancel  context.CancelFunc
}

// acquire returns the feed of a key on behalf of an assembly, which is woken when the feed changes. It is called with mu held.
func (a *Assembler) acquire(key feeder, p *assembly) *feed {
	f := a.feeds[key]
	if f == nil {
		ctx, cancel := context.WithCancel(a.ctx)
		f = &feed{users: map[*assembly]struct{}{}, cancel: cancel}
		a.feeds[key] = f
		if !a.closed {
			a.wg.Go(func() { a.keep(ctx, key, f) })
		}
	}
	f.users[p] = struct{}{}
	return f
}

// drop gives a feed up on behalf of an assembly. It is called with mu held.
func (a *Assembler) drop(key feeder, p *assembly) {
	f := a.feeds[key]
	if f == nil {
		return
	}
	delete(f.users, p)
	if len(f.users) == 0 {
		f.cancel()
		delete(a.feeds, key)
	}
}

// keep follows until ctx ends, whatever fails.
func (a *Assembler) keep(ctx context.Context, key feeder, f *feed) {
	wait := minRetry
	for {
		err := key.follow(ctx, a, func(value any) {
			wait = minRetry
			a.set(f, value)
		})
		if ctx.Err() != nil {
			return
		}
		if status := api.StatusOf(err); status >= 400 && status < 500 && status != http.StatusTooManyRequests {
			a.refuse(f, err)
		}
		a.log.Debug("a watch failed and is begun again", "what", key.String(), "err", err, "after", wait)
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, maxRetry)
	}
}

// set gives a feed a value and wakes those who use it. One that says nothing new is let go, so that what was built from the
// one before it stays shared.
func (a *Assembler) set(f *feed, value any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.refused == nil && same(f.value, value) {
		return
	}
	if !same(f.value, value) {
		f.value = value
	}
	f.refused = nil
	f.wake()
}

func (a *Assembler) refuse(f *feed, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.refused = err
	f.wake()
}

func (f *feed) wake() {
	for p := range f.users {
		p.wake()
	}
}

func same(a, b any) bool {
	if a, ok := a.(*Endpoints); ok {
		b, ok := b.(*Endpoints)
		return ok && slices.Equal(a.Instances, b.Instances) // the rest is the feeder's
	}
	return reflect.DeepEqual(a, b)
}

// watch follows a query. Read turns an answer into a value; one that says nothing yet is passed over, since the next comes by
// itself.
func watch(ctx context.Context, a *Assembler, o verb.Options, q verb.Query, set func(any), read func(verb.Answer) (any, error)) error {
	r, err := a.o.Client.Watch(ctx, o, q)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		answer, err := r.Next(ctx)
		if err != nil {
			return err
		}
		value, err := read(answer)
		if err != nil {
			a.log.Warn("what a proxy needs is not there yet", "err", err)
			continue
		}
		set(value)
	}
}
