package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// atlas is what gossip knows of datacenters.
type atlas struct {
	mu      sync.Mutex
	servers map[string][]string // alive
	failed  map[string][]string
	changed chan struct{}
}

func (a *atlas) Datacenters() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for dc := range a.servers {
		out = append(out, dc)
	}
	slices.Sort(out)
	return out
}

func (a *atlas) ServersOf(dc string) (alive, failed []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.servers[dc], a.failed[dc]
}

func (a *atlas) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *atlas) change(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
	close(a.changed)
	a.changed = make(chan struct{})
}

// abroad is two servers of datacenter dc2, and the way to them.
type abroad struct {
	*Elsewhere
	atlas *atlas
	a, b  *server
	board *board
}

func goAbroad(t *testing.T, test func(t *testing.T, x *abroad)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		board := newBoard(t)
		x := &abroad{board: board, a: n.serve(t, "10.2.0.1:8300", board), b: n.serve(t, "10.2.0.2:8300", board)}
		x.atlas = &atlas{
			servers: map[string][]string{"dc1": {"10.1.0.1:8300"}, "dc2": {x.a.addr, x.b.addr}}, failed: map[string][]string{}, changed: make(chan struct{}),
		}
		x.Elsewhere = NewElsewhere(ElsewhereOptions{Datacenter: "dc1", Datacenters: x.atlas, Dialer: func(string) Dialer { return Dialer{Dial: n.dial} }})
		t.Cleanup(func() {
			x.a.hang.Store(false)
			x.b.hang.Store(false)
			_ = x.Close()
		})
		test(t, x)
	})
}

func (x *abroad) way(t *testing.T) verb.Handler {
	t.Helper()
	w, err := x.Datacenter("dc2")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (x *abroad) list(t *testing.T, o verb.Options) (verb.Answer, error) {
	t.Helper()
	e, err := wrap(verb.Options{Datacenter: "dc2", Token: "t"}, list{})
	if err != nil {
		t.Fatal(err)
	}
	return x.way(t).QueryEnvelope(t.Context(), e, o)
}

func (x *abroad) put(t *testing.T) error {
	t.Helper()
	e, err := verb.Wrap(verb.Options{Datacenter: "dc2"}, "test.put", put{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.way(t).ApplyEnvelope(t.Context(), e)
	return err
}

// lost checks that nobody answers, and who is told so when.
func (x *abroad) lost(t *testing.T, within time.Duration, do func() error) {
	t.Helper()
	began := time.Now()
	err := do()
	if took := time.Since(began); took > within {
		t.Errorf("told after %s", took)
	}
	if !errors.Is(err, verb.ErrUnreachable) || verb.Retriable(err) || !strings.Contains(err.Error(), `datacenter "dc2" has been unreachable since 2000-`) {
		t.Errorf("%v", err)
	}
}

func TestAnotherDatacenter(t *testing.T) {
	goAbroad(t, func(t *testing.T, x *abroad) {
		if a, err := x.list(t, verb.Options{}); err != nil || !slices.Equal(keys(a), []string{"first"}) || !a.KnownLeader {
			t.Errorf("%+v, %v", a, err)
		}
		if err := x.put(t); err != nil {
			t.Error(err)
		}
		if _, err := x.Datacenter("dc9"); !errors.Is(err, verb.ErrNoPath) || !strings.Contains(err.Error(), `"dc9" is not known here; this is "dc1", which knows dc2`) {
			t.Errorf("%v", err)
		}
		if _, err := x.Datacenter("dc1"); !errors.Is(err, verb.ErrNoPath) {
			t.Errorf("its own: %v", err)
		}
		// A write is repeated at another server, under its id.
		first := <-x.applied()
		x.a.fails(errGaveUp)
		x.b.fails(errGaveUp)
		go func() {
			time.Sleep(time.Second)
			x.a.fails(nil)
			x.b.fails(nil)
		}()
		if err := x.put(t); err != nil {
			t.Error(err)
		}
		ids := map[string]bool{}
		for len(x.a.applied)+len(x.b.applied) > 0 {
			ids[(<-x.applied()).ID] = true
		}
		if len(ids) != 1 || ids[first.ID] || first.Datacenter != "dc2" {
			t.Errorf("ids %v, first %+v", ids, first)
		}
	})
}

// applied is what one of the servers was told.
func (x *abroad) applied() chan verb.Envelope {
	if len(x.a.applied) > 0 {
		return x.a.applied
	}
	return x.b.applied
}

func TestDatacenterIsLostAndFound(t *testing.T) {
	for name, c := range map[string]struct{ away, back func(s *server) }{
		"killed":  {func(s *server) { s.kill() }, func(s *server) { s.start() }},
		"cut off": {func(s *server) { s.host.cut() }, func(s *server) { s.host.heal() }},
	} {
		t.Run(name, func(t *testing.T) {
			goAbroad(t, func(t *testing.T, x *abroad) {
				a, err := x.list(t, verb.Options{})
				if err != nil {
					t.Fatal(err)
				}
				waited := make(chan error, 100)
				for range cap(waited) {
					go func() {
						_, err := x.list(t, verb.Options{MinIndex: a.Index, Wait: 10 * time.Minute})
						waited <- err
					}()
				}
				time.Sleep(time.Minute)
				for _, s := range []*server{x.a, x.b} {
					c.away(s)
				}
				x.lost(t, 3*time.Second, func() error { _, err := x.list(t, verb.Options{}); return err })
				for range cap(waited) {
					x.lost(t, time.Second, func() error { return <-waited })
				}
				x.lost(t, 0, func() error { _, err := x.list(t, verb.Options{}); return err })
				x.lost(t, 0, func() error { return x.put(t) })

				time.Sleep(time.Hour)
				x.lost(t, 0, func() error { _, err := x.list(t, verb.Options{}); return err })
				for _, s := range []*server{x.a, x.b} {
					c.back(s)
				}
				time.Sleep(maxReturn + 5*time.Second)
				if _, err := x.list(t, verb.Options{}); err != nil {
					t.Errorf("after its return: %v", err)
				}
			})
		})
	}
}

// Who is slow is not lost.
func TestSlowDatacenter(t *testing.T) {
	goAbroad(t, func(t *testing.T, x *abroad) {
		a, err := x.list(t, verb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Minute)
			x.board.set("late")
		}()
		if b, err := x.list(t, verb.Options{MinIndex: a.Index, Wait: 10 * time.Minute}); err != nil || b.Index <= a.Index {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// A datacenter that gossip has forgotten is not known any more, and one that comes is.
func TestDatacentersComeAndGo(t *testing.T) {
	goAbroad(t, func(t *testing.T, x *abroad) {
		x.atlas.change(func() {
			x.atlas.servers["dc3"] = x.atlas.servers["dc2"]
			delete(x.atlas.servers, "dc2")
		})
		synctest.Wait()
		if _, err := x.Datacenter("dc2"); !errors.Is(err, verb.ErrNoPath) {
			t.Error(err)
		}
		if _, err := x.Datacenter("dc3"); err != nil {
			t.Error(err)
		}
	})
}

// When gossip has found out before whoever asks, it tells since when.
func TestGossipKnowsFirst(t *testing.T) {
	goAbroad(t, func(t *testing.T, x *abroad) {
		x.a.kill()
		x.b.kill()
		began := time.Now()
		x.atlas.change(func() {
			x.atlas.failed["dc2"], x.atlas.servers["dc2"] = x.atlas.servers["dc2"], nil
		})
		time.Sleep(time.Hour)
		_, err := x.list(t, verb.Options{})
		if want := fmt.Sprintf("since %s (1h0m1s)", began.UTC().Format(time.RFC3339)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	})
}

// What was followed is told by whom it was followed, while nobody answers, to whoever takes an old answer.
func TestStaleAnswersFromElsewhere(t *testing.T) {
	goAbroad(t, func(t *testing.T, x *abroad) {
		e, err := wrap(verb.Options{Datacenter: "dc2", Token: "t"}, list{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := x.way(t).WatchEnvelope(t.Context(), e, verb.Options{Mode: verb.Stale})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.a.kill()
		x.b.kill()
		x.lost(t, 10*time.Second, func() error { _, err := r.Next(t.Context()); return err })
		if a, err := x.list(t, verb.Options{Mode: verb.Stale}); err != nil || len(a.Rows) != 1 || a.KnownLeader || a.LastContact == 0 {
			t.Errorf("%+v, %v", a, err)
		}
		x.lost(t, 0, func() error { _, err := x.list(t, verb.Options{}); return err })
	})
}
