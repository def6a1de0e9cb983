package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// mustNext returns the reader's next answer, which comes within a simulated minute.
func mustNext(t *testing.T, r verb.Reader) verb.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustWatch(t *testing.T, c *Client, o verb.Options) verb.Reader {
	t.Helper()
	r, err := c.Watch(t.Context(), o, list{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestWatchersAndBlockedReadersShareOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		c := n.client(t, known("s1"))
		first := mustNext(t, mustWatch(t, c, verb.Options{}))
		var all sync.WaitGroup
		for range 50 {
			r := mustWatch(t, c, verb.Options{})
			all.Go(func() {
				mustNext(t, r)
				if a := mustNext(t, r); !slices.Contains(keys(a), "second") || a.Index <= first.Index {
					t.Errorf("a watcher got %v", keys(a))
				}
			})
			all.Go(func() {
				a, err := c.Query(t.Context(), verb.Options{MinIndex: first.Index}, list{})
				if err != nil || !slices.Contains(keys(a), "second") || a.Rows[0].Value.(*api.KVPair).Key == "" {
					t.Errorf("a blocked reader got %v, %v", keys(a), err)
				}
			})
		}
		synctest.Wait()
		b.set("second")
		all.Wait()
		if w, q := s.watches.Load(), s.queries.Load(); w != 1 || q != 0 {
			t.Errorf("%d streams and %d queries in place of one stream", w, q)
		}
		// Rows are shown by token, and freshness depends on the mode.
		mustNext(t, mustWatch(t, c, verb.Options{Token: "other"}))
		mustNext(t, mustWatch(t, c, verb.Options{Mode: verb.Stale}))
		if w := s.watches.Load(); w != 3 {
			t.Errorf("%d streams for three kinds of reader", w)
		}
	})
}

func TestWatchMovesToAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s1, s2 := n.serve(t, "s1", b), n.serve(t, "s2", b)
		c := n.client(t, known("s1", "s2"))
		r := mustWatch(t, c, verb.Options{})
		a := mustNext(t, r)
		for i := range 20 {
			current := following(s1, s2)
			current.kill()
			want := fmt.Sprint("change ", i)
			b.set(want) // while no stream stands
			next := mustNext(t, r)
			if !slices.Contains(keys(next), want) || next.Index <= a.Index || !next.KnownLeader {
				t.Fatalf("after %s was killed: %v at %d, before %d", current.addr, keys(next), next.Index, a.Index)
			}
			a = next
			current.start()
		}
	})
}

func TestBlockingQuerySurvivesItsServer(t *testing.T) {
	for _, mode := range []verb.Mode{verb.Default, verb.Stale} {
		synctest.Test(t, func(t *testing.T) {
			n, b := newNetwork(), newBoard(t)
			s1, s2 := n.serve(t, "s1", b), n.serve(t, "s2", b)
			c := n.client(t, known("s1", "s2"))
			a, err := c.Query(t.Context(), verb.Options{Mode: mode}, list{})
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Minute, func() {
				following(s1, s2).kill()
				b.set("later")
			})
			next, err := c.Query(t.Context(), verb.Options{Mode: mode, MinIndex: a.Index}, list{})
			if err != nil || next.Index <= a.Index || !slices.Contains(keys(next), "later") {
				t.Errorf("%v, %v", keys(next), err)
			}
		})
	}
}

func TestBlockingQueryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		c := n.client(t, known("s1"))
		began := time.Now()
		a, err := c.Query(t.Context(), verb.Options{MinIndex: 1000, Wait: 30 * time.Second}, list{})
		if took := time.Since(began); err != nil || a.Index != b.index || took < 30*time.Second || took > 32*time.Second {
			t.Errorf("%+v, %v after %s", a, err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Query(ctx, verb.Options{MinIndex: 1000}, list{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its caller's time is over: %v", err)
		}
		// No server, and none comes: who waits for the leader's word is told so.
		time.AfterFunc(30*time.Second, s.kill)
		began = time.Now()
		_, err = c.Query(t.Context(), verb.Options{MinIndex: 1000}, list{})
		if took := time.Since(began); !errors.Is(err, verb.ErrNoLeader) || took < 35*time.Second || took > 50*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// What a stream was told before the question does not do for who wants the leader's word.
func TestBlockingQueryReadsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		c := n.client(t, known("s1"))
		mustNext(t, mustWatch(t, c, verb.Options{}))
		if _, err := c.Query(t.Context(), verb.Options{MinIndex: 1}, list{}); err != nil || s.queries.Load() != 1 {
			t.Errorf("%d queries, %v: the server was to be asked", s.queries.Load(), err)
		}
	})
}

func TestLaggingServerIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ahead, behind := newNetwork(), newBoard(t), newBoard(t)
		for range 5 {
			ahead.set("x")
		}
		s1 := n.serve(t, "s1", ahead)
		s := known("s1")
		c := n.client(t, s)
		r := mustWatch(t, c, verb.Options{Mode: verb.Stale})
		a := mustNext(t, r)
		n.serve(t, "s2", behind)
		s.become("s1", "s2")
		s1.kill()
		time.Sleep(time.Second)
		for range 5 {
			behind.set("x") // it catches up
		}
		time.Sleep(2 * time.Second)
		behind.set("new")
		next := mustNext(t, r)
		if !slices.Contains(keys(next), "new") || next.Index != a.Index+1 {
			t.Errorf("%v at %d after %d", keys(next), next.Index, a.Index)
		}
	})
}

func TestStateThatWasPutBackEndsWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, old := newNetwork(), newBoard(t)
		old.set("x")
		s1 := n.serve(t, "s1", old)
		c := n.client(t, known("s1", "s2"))
		r := mustWatch(t, c, verb.Options{})
		mustNext(t, r)
		n.serve(t, "s2", newBoard(t)) // a cluster made anew
		s1.kill()
		if a, err := r.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "put back") {
			t.Errorf("%v, %v", keys(a), err)
		}
		synctest.Wait() // until the failed watch, which all share, is over: who asks before is told what it was told
		if a := mustNext(t, mustWatch(t, c, verb.Options{})); a.Index != 2 {
			t.Errorf("a new watch begins at %d", a.Index)
		}
	})
}

func TestCommandIsRepeatedUnderItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s1, s2 := n.serve(t, "s1", b), n.serve(t, "s2", b)
		s := known("s1")
		c := n.client(t, s)
		s1.hang.Store(true)
		s.become("s1", "s2")
		c.choose.current, c.choose.until = "s1", time.Now().Add(time.Hour)
		r, err := c.Apply(t.Context(), verb.Options{Token: "secret"}, put{})
		if err != nil || r.Index == 0 {
			t.Fatal(r, err)
		}
		e1, e2 := <-s1.applied, <-s2.applied
		if e1.ID == "" || e1.ID != e2.ID || e2.Token != "secret" {
			t.Errorf("%+v, then %+v", e1, e2)
		}
		// The one that hung is asked last for a while.
		if _, err := c.Apply(t.Context(), verb.Options{}, put{}); err != nil || len(s1.applied) != 0 {
			t.Errorf("%v, and %d more at the server that hung", err, len(s1.applied))
		}
	})
}

func TestNoServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		s := known()
		c := n.client(t, s)
		began := time.Now()
		_, err := c.Apply(t.Context(), verb.Options{}, put{})
		if took := time.Since(began); !errors.Is(err, verb.ErrNoLeader) || !strings.Contains(err.Error(), "none is known") || took < 5*time.Second || took > 8*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		s.become("s1")
		time.AfterFunc(2*time.Second, func() { n.serve(t, "s1", newBoard(t)) })
		if _, err := c.Apply(t.Context(), verb.Options{}, put{}); err != nil {
			t.Errorf("a server that comes within the hold: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.become("s2")
		synctest.Wait()
		if _, err := c.Query(ctx, verb.Options{}, list{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("its caller's time is over: %v", err)
		}
	})
}

func TestRefusalIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s1, s2 := n.serve(t, "s1", b), n.serve(t, "s2", b)
		c := n.client(t, known("s1", "s2"))
		denied := api.Errorf(403, "Permission denied")
		s1.fails(denied)
		s2.fails(denied)
		if _, err := c.Apply(t.Context(), verb.Options{}, put{}); api.StatusOf(err) != 403 {
			t.Error(err)
		}
		if _, err := c.Query(t.Context(), verb.Options{}, list{}); api.StatusOf(err) != 403 {
			t.Error(err)
		}
		if _, err := mustWatch(t, c, verb.Options{}).Next(t.Context()); api.StatusOf(err) != 403 {
			t.Error(err)
		}
		if asked := s1.unforwards.Load() + s2.unforwards.Load(); asked != 3 {
			t.Errorf("%d requests for 3 refusals", asked)
		}
		// Who asks again afterwards is judged again.
		synctest.Wait() // until the refused watch, which all share, is over
		s1.fails(nil)
		s2.fails(nil)
		r := mustWatch(t, c, verb.Options{})
		mustNext(t, r)
		// A right that is taken away ends the watch with the next change.
		s1.fails(denied)
		s2.fails(denied)
		b.set("hidden")
		if _, err := r.Next(t.Context()); api.StatusOf(err) != 403 {
			t.Error(err)
		}
		if _, err := c.Query(t.Context(), verb.Options{}, list{Name: "bad"}); api.StatusOf(err) != 400 {
			t.Error(err)
		}
	})
}

func TestStaleQueryIsAnsweredByWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s := n.serve(t, "s1", b)
		c := n.client(t, known("s1"))
		r := mustWatch(t, c, verb.Options{})
		mustNext(t, r)
		s.kill()
		time.Sleep(time.Minute)
		began := time.Now()
		a, err := c.Query(t.Context(), verb.Options{Mode: verb.Stale}, list{})
		if err != nil || a.KnownLeader || a.LastContact < time.Minute || keys(a)[0] != "first" || time.Since(began) > time.Second {
			t.Errorf("%+v, %v after %s", a, err, time.Since(began))
		}
		if a.Rows[0].Value.(*api.KVPair).Key != "first" {
			t.Error("the rows have no values")
		}
		if _, err := c.Query(t.Context(), verb.Options{Mode: verb.Stale, MaxStale: time.Second}, list{}); !errors.Is(err, verb.ErrNoLeader) {
			t.Errorf("too old for who asked: %v", err)
		}
		if _, err := c.Query(t.Context(), verb.Options{}, list{}); !errors.Is(err, verb.ErrNoLeader) {
			t.Errorf("the leader's word: %v", err)
		}
		if _, err := c.Query(t.Context(), verb.Options{Mode: verb.Stale}, list{Name: "unknown"}); !errors.Is(err, verb.ErrNoLeader) {
			t.Errorf("nobody followed it: %v", err)
		}
		a, err = c.Query(t.Context(), verb.Options{Mode: verb.Stale, Token: "other"}, list{})
		if err == nil {
			t.Errorf("another token is shown %v", keys(a))
		}
		// The server comes back, and the watch goes on.
		s.start()
		b.set("second")
		if a := mustNext(t, r); len(keys(a)) != 2 || !a.KnownLeader || a.LastContact != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestLeaderlessServerIsLeftForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		s1, s2 := n.serve(t, "s1", b), n.serve(t, "s2", b)
		c := n.client(t, known("s1", "s2"))
		c.choose.current, c.choose.until = "s1", time.Now().Add(time.Hour)
		for _, err := range []error{verb.ErrNoLeader, verb.ErrNotLeader, verb.ErrUnknownOutcome, context.Canceled} {
			s1.fails(err)
			if _, err := c.Apply(t.Context(), verb.Options{}, put{}); err != nil {
				t.Error(err)
			}
			time.Sleep(avoidFor + time.Second)
			c.choose.current, c.choose.until = "s1", time.Now().Add(time.Hour)
		}
		s1.fails(verb.ErrNoLeader)
		s2.fails(verb.ErrNoLeader)
		if _, err := c.Apply(t.Context(), verb.Options{}, put{}); !errors.Is(err, verb.ErrNoLeader) || err.Error() != "No cluster leader" {
			t.Errorf("%v", err)
		}
	})
}

func TestServersThatGossipForgetsAreStillAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.serve(t, "s1", newBoard(t))
		s := known("s1")
		c := n.client(t, s)
		s.become()
		synctest.Wait()
		if _, err := c.Query(t.Context(), verb.Options{}, list{}); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		s := n.serve(t, "s1", newBoard(t))
		c := n.client(t, known("s1"))
		r := mustWatch(t, c, verb.Options{})
		mustNext(t, r)
		s.hang.Store(true)
		errs := make(chan error, 4)
		go func() { _, err := r.Next(t.Context()); errs <- err }()
		go func() { _, err := c.Query(t.Context(), verb.Options{MinIndex: 99}, list{}); errs <- err }()
		go func() { _, err := c.Query(t.Context(), verb.Options{}, list{}); errs <- err }()
		go func() { _, err := c.Apply(t.Context(), verb.Options{}, put{}); errs <- err }()
		synctest.Wait()
		began := time.Now()
		_ = c.Close()
		for range 4 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("it took %s", time.Since(began))
		}
		if _, err := c.Apply(t.Context(), verb.Options{}, put{}); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
