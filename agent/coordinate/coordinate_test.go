package coordinate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// servers remember what they were told.
type servers struct {
	mu   sync.Mutex
	told []api.CoordinateEntry
	err  error
}

func (s *servers) Apply(_ context.Context, o verb.Options, c verb.Command) (verb.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, c.(coordinate.Update).Entries...)
	if o.Token != "secret" {
		return verb.Result{}, errors.New("no token")
	}
	return verb.Result{}, s.err
}

func (s *servers) all() []api.CoordinateEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

func (s *servers) count() int { return len(s.all()) }

func (s *servers) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func at(x float64) *api.Coordinate {
	return &api.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Error: 0.5, Height: 1e-5}
}

// run runs the teller of an agent in a pool of so many, in simulated time.
func run(t *testing.T, members int, test func(t *testing.T, s *servers, where func(*api.Coordinate))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &servers{}
		var mu sync.Mutex
		var now *api.Coordinate
		var done sync.WaitGroup
		done.Go(func() {
			Run(ctx, Options{
				Node: "n", Members: func() int { return members }, Client: s, Token: func() string { return "secret" },
				Where: func() *api.Coordinate {
					mu.Lock()
					defer mu.Unlock()
					return now
				},
				Logger: slog.New(slog.DiscardHandler),
			})
		})
		test(t, s, func(c *api.Coordinate) {
			mu.Lock()
			defer mu.Unlock()
			now = c
		})
		cancel()
		done.Wait()
	})
}

func TestTellsWhenItMoves(t *testing.T) {
	run(t, 3, func(t *testing.T, s *servers, where func(*api.Coordinate)) {
		time.Sleep(time.Minute)
		if s.count() != 0 {
			t.Fatal("it told without knowing")
		}
		where(at(1))
		time.Sleep(20 * time.Second)
		if told := s.all(); len(told) != 1 || told[0].Node != "n" || told[0].Coord.Vec[0] != 1 {
			t.Fatalf("told %+v", told)
		}
		where(at(1.00001)) // ten microseconds
		time.Sleep(2 * time.Minute)
		if s.count() != 1 {
			t.Errorf("told %d times while it stayed where it was", s.count())
		}
		where(at(1.1))
		time.Sleep(20 * time.Second)
		if told := s.all(); len(told) != 2 || told[1].Coord.Vec[0] != 1.1 {
			t.Errorf("told %+v", told)
		}
		// The servers may have lost it, with the node.
		time.Sleep(10 * time.Minute)
		if n := s.count(); n < 3 || n > 4 {
			t.Errorf("told %d times in ten more minutes", n)
		}
	})
}

func TestTellsAgainWhatWasRefused(t *testing.T) {
	run(t, 3, func(t *testing.T, s *servers, where func(*api.Coordinate)) {
		s.refuse(errors.New("no leader"))
		where(at(1))
		time.Sleep(time.Minute)
		if s.count() < 3 {
			t.Errorf("tried %d times", s.count())
		}
	})
}

// A large pool tells as much in a second as a small one.
func TestRateIsLimited(t *testing.T) {
	const members = 6400
	run(t, members, func(t *testing.T, s *servers, where func(*api.Coordinate)) {
		for i := range 100 {
			where(at(float64(i)))
			time.Sleep(10 * time.Second)
		}
		// 1000 seconds, one in 100.
		if n := s.count(); n < 8 || n > 13 {
			t.Errorf("told %d times", n)
		}
	})
}
