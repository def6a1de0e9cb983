package rpc

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

func (n *network) leader(t *testing.T, addr string) (*Leader, *atomic.Value) {
	var at atomic.Value
	at.Store(addr)
	l := NewLeader(LeaderOptions{Addr: func() string { return at.Load().(string) }, Dialer: Dialer{Dial: n.dial}})
	t.Cleanup(func() { _ = l.Close() })
	return l, &at
}

func envelope(t *testing.T) verb.Envelope {
	t.Helper()
	e, err := verb.Wrap(verb.Options{Token: "secret"}, "test.list", list{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestLeaderIsHandedRequestsAsForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		l, _ := n.leader(t, "s1")
		if _, err := l.ApplyEnvelope(t.Context(), envelope(t)); err != nil {
			t.Fatal(err)
		}
		a, err := l.QueryEnvelope(t.Context(), envelope(t), verb.Options{})
		if err != nil || len(a.Rows) != 2 {
			t.Fatal(a, err)
		}
		r, err := l.WatchEnvelope(t.Context(), envelope(t), verb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mustNext(t, r)
		if s.forwarded.Load() != 3 || s.unforwards.Load() != 0 {
			t.Errorf("%d forwarded, %d not", s.forwarded.Load(), s.unforwards.Load())
		}
		// Blocked readers share the watchers' stream.
		time.AfterFunc(time.Minute, func() { b.set("new") })
		next, err := l.QueryEnvelope(t.Context(), envelope(t), verb.Options{MinIndex: a.Index, Wait: time.Hour})
		if err != nil || !slices.Contains(keys(next), "new") || s.forwarded.Load() != 3 {
			t.Errorf("%v, %v, %d requests", keys(next), err, s.forwarded.Load())
		}
		// One that is not woken is answered when its time is over.
		began := time.Now()
		next, err = l.QueryEnvelope(t.Context(), envelope(t), verb.Options{MinIndex: next.Index, Wait: time.Minute})
		if err != nil || time.Since(began) != time.Minute || len(next.Rows) != 3 {
			t.Errorf("%v, %v after %s", keys(next), err, time.Since(began))
		}
	})
}

// What is under way at a leader that goes may be asked again: whoever holds the request does so.
func TestLeaderThatGoesIsRetriable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		n.serve(t, "s2", b)
		l, at := n.leader(t, "s1")
		r, err := l.WatchEnvelope(t.Context(), envelope(t), verb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mustNext(t, r)
		errs := make(chan error, 2)
		go func() {
			_, err := l.QueryEnvelope(t.Context(), envelope(t), verb.Options{MinIndex: 99, Wait: time.Hour})
			errs <- err
		}()
		synctest.Wait()
		s.hang.Store(true)
		go func() { _, err := l.ApplyEnvelope(t.Context(), envelope(t)); errs <- err }()
		synctest.Wait()
		s.kill()
		if _, err := r.Next(t.Context()); !errors.Is(err, verb.ErrNoLeader) {
			t.Error(err)
		}
		for range 2 {
			if err := <-errs; !verb.Retriable(err) {
				t.Error(err)
			}
		}
		if _, err := l.ApplyEnvelope(t.Context(), envelope(t)); !verb.Retriable(err) {
			t.Error(err)
		}
		at.Store("")
		if _, err := l.QueryEnvelope(t.Context(), envelope(t), verb.Options{}); !errors.Is(err, verb.ErrNoLeader) {
			t.Error(err)
		}
		at.Store("s2")
		if _, err := l.ApplyEnvelope(t.Context(), envelope(t)); err != nil {
			t.Error(err)
		}
		if r, err := l.WatchEnvelope(t.Context(), envelope(t), verb.Options{}); err != nil {
			t.Error(err)
		} else {
			mustNext(t, r)
			r.Close()
		}
		if got := len(l.pool.links); got != 1 {
			t.Errorf("%d connections, those to leaders before are not needed", got)
		}
	})
}

func TestLeaderHearsWhyBeforeItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		s := n.serve(t, "s1", newBoard(t))
		s.hang.Store(true)
		l, _ := n.leader(t, "s1")
		began := time.Now()
		_, err := l.ApplyEnvelope(t.Context(), envelope(t))
		if !errors.Is(err, verb.ErrUnknownOutcome) || time.Since(began) >= attempt {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.QueryEnvelope(ctx, envelope(t), verb.Options{}); !verb.Retriable(err) {
			t.Error(err)
		}
	})
}
