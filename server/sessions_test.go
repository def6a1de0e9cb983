package server

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// applier is a server, or a client agent.
type applier interface {
	Apply(ctx context.Context, o verb.Options, c verb.Command) (verb.Result, error)
}

// do carries out a command that must succeed.
func do[T any](t *testing.T, a applier, c verb.Command) (v T) {
	t.Helper()
	r, err := a.Apply(t.Context(), verb.Options{}, c)
	if err != nil {
		t.Fatalf("%s: %v", c.CommandType(), err)
	}
	if err := r.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// session makes one on the node n1, without checks.
func session(t *testing.T, a applier, ttl string, delay time.Duration) string {
	t.Helper()
	do[bool](t, a, register("n1", "web"))
	return do[string](t, a, kv.CreateSession{Session: api.Session{
		Node: "n1", Behavior: api.SessionRelease, NodeChecks: []string{}, TTL: ttl, LockDelay: delay,
	}})
}

func acquire(t *testing.T, a applier, key, session string) bool {
	t.Helper()
	return do[bool](t, a, kv.Put{Key: key, Acquire: &session})
}

// lives tells whether a server has a session.
func lives(h *host, id string) bool { return state.SessionExists(h.Store().Read(), id) }

// until waits until something holds and returns how long it took.
func (l *lab) until(what string, holds func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	l.eventually(what, holds)
	return time.Since(began)
}

// near checks a time to within what a commit takes, and a follower's hearing of it.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+time.Second {
		t.Errorf("%s took %s, want %s", what, got, want)
	}
}

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		l.leads()
		short, long, endless := session(t, h, "10s", 0), session(t, h, "50s", 0), session(t, h, "", 0)
		acquire(t, h, "k", short)
		near(t, "the end of what is not renewed", l.until("short ends", func() bool { return !lives(h, short) }), 20*time.Second)
		if p := state.Key(h.Store().Read(), "k"); p.Session != "" {
			t.Errorf("the key is still locked: %+v", p)
		}
		if _, err := h.Apply(t.Context(), verb.Options{}, kv.RenewSession{ID: short}); api.StatusOf(err) != 404 {
			t.Errorf("a session that has ended was renewed: %v", err)
		}
		// Renewed at 80 seconds, it lives for 100 more.
		time.Sleep(time.Minute)
		if got := do[*api.Session](t, h, kv.RenewSession{ID: long}); got.ID != long || got.TTL != "50s" || got.NodeChecks == nil {
			t.Errorf("%+v", got)
		}
		near(t, "the end of what was renewed", l.until("long ends", func() bool { return !lives(h, long) }), 100*time.Second)
		if time.Sleep(time.Hour); !lives(h, endless) {
			t.Error("a session without a time to live has ended")
		}
		do[*api.Session](t, h, kv.RenewSession{ID: endless}) // is no error
	})
}

// TestSessionsOutliveALeader counts from the moment at which another one leads, never from before.
func TestSessionsOutliveALeader(t *testing.T) {
	for name, end := range map[string]func(*host){"killed": (*host).kill, "stopped": (*host).stop} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.three()
				agent := l.agent("10.0.0.100:1")
				left, renewed := session(t, agent, "10s", 0), session(t, l.follower(), "10s", 0)
				time.Sleep(19 * time.Second)
				if !lives(l.leads(), left) {
					t.Fatal("it ended too soon")
				}
				do[*api.Session](t, agent, kv.RenewSession{ID: renewed})
				end(l.leads())
				next := l.leads()
				led := time.Now().Add(-50 * time.Millisecond) // it is noticed a little late
				time.Sleep(10 * time.Second)
				do[*api.Session](t, l.follower(), kv.RenewSession{ID: renewed})
				l.eventually("the one that is not renewed ends", func() bool { return !lives(next, left) })
				near(t, "its end", time.Since(led), 20*time.Second)
				l.eventually("the other ends", func() bool { return !lives(next, renewed) })
				near(t, "its end", time.Since(led), 30*time.Second)
				for _, h := range l.up {
					l.eventually("all servers agree", func() bool { return !lives(h, left) && !lives(h, renewed) })
				}
			})
		})
	}
}

// TestNoRenewalWithoutLeading cuts the leader off: it must not say that a session is renewed which the others end.
func TestNoRenewalWithoutLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		old := l.leads()
		id := session(t, old, "10s", 0)
		for name := range l.up {
			if name != old.name {
				l.net.Cut(old.name, name)
			}
		}
		// It is asked at once, while it still takes itself for the leader.
		began := time.Now()
		if _, err := old.Apply(t.Context(), verb.Options{}, kv.RenewSession{ID: id}); err == nil || api.StatusOf(err) == 404 {
			t.Errorf("a leader that is cut off has answered %v after %s", err, time.Since(began))
		}
		var next *host
		l.eventually("another leads", func() bool {
			for _, h := range l.up {
				if h != old && h.Ready() {
					next = h
				}
			}
			return next != nil
		})
		l.eventually("the session ends", func() bool { return !lives(next, id) })
		l.net.Heal()
		l.eventually("for all", func() bool { return !lives(old, id) })
	})
}

// TestLockDelay keeps a key from being locked after its holder went, across a change of leader.
func TestLockDelay(t *testing.T) {
	for name, end := range map[string]func(*host){"nobody goes": func(*host) {}, "killed": (*host).kill} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.three()
				agent := l.agent("10.0.0.100:1")
				holder, next := session(t, agent, "", 10*time.Second), session(t, agent, "", 0)
				acquire(t, agent, "k", holder)
				if acquire(t, agent, "k", next) {
					t.Fatal("two hold the lock")
				}
				do[bool](t, agent, kv.DestroySession{ID: holder})
				began := time.Now()
				time.Sleep(6 * time.Second)
				if end(l.leads()); name == "killed" {
					l.leads()
					began = time.Now() // the new leader waits the whole time
				}
				l.eventually("the lock can be had", func() bool { return acquire(t, agent, "k", next) })
				near(t, "the delay", time.Since(began), 10*time.Second)
			})
		})
	}
}

// TestManySessions makes ten thousand and lets half of them go.
func TestManySessions(t *testing.T) {
	const many = 10000
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		l.leads()
		session(t, h, "", 0)
		before := runtime.NumGoroutine()
		ids := make([]string, many)
		all := func(each func(i int)) {
			var w sync.WaitGroup
			for part := range 50 {
				w.Go(func() {
					for i := part; i < many; i += 50 {
						each(i)
					}
				})
			}
			w.Wait()
		}
		all(func(i int) {
			ids[i] = do[string](t, h, kv.CreateSession{Session: api.Session{
				Node: "n1", Name: fmt.Sprint(i), Behavior: api.SessionRelease, NodeChecks: []string{}, TTL: "10s",
			}})
		})
		if after := runtime.NumGoroutine(); after > before+10 {
			t.Errorf("%d goroutines have become %d", before, after)
		}
		index := h.Store().Last()
		for range 3 {
			time.Sleep(10 * time.Second)
			all(func(i int) {
				if i%2 == 0 {
					do[*api.Session](t, h, kv.RenewSession{ID: ids[i]})
				}
			})
		}
		if entries := h.Raft().LastIndex() - index; entries > 1000 {
			t.Errorf("%d entries of the log", entries)
		}
		for i, id := range ids {
			if lives(h, id) != (i%2 == 0) {
				t.Fatalf("session %d lives: %v", i, lives(h, id))
			}
		}
		time.Sleep(21 * time.Second)
		for i, id := range ids {
			if lives(h, id) {
				t.Fatalf("session %d lives", i)
			}
		}
	})
}
