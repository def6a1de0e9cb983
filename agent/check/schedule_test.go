package check_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// target is a TCP target that is up or down as the test wants, and remembers when it was asked.
type target struct {
	mu   sync.Mutex
	down bool
	runs []time.Time
	hang bool
}

func (g *target) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	g.mu.Lock()
	g.runs = append(g.runs, time.Now())
	down, hang := g.down, g.hang
	g.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if down {
		return nil, errors.New("down")
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func (g *target) set(down bool) { g.mu.Lock(); g.down = down; g.mu.Unlock() }

func (g *target) times() []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.runs)
}

// journal keeps what checks report.
type journal struct {
	mu      sync.Mutex
	results []result
	at      []time.Time
}

func (j *journal) update(_, status, output string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.results = append(j.results, result{status, output})
	j.at = append(j.at, time.Now())
}

func (j *journal) statuses() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, r := range j.results {
		out = append(out, r.status)
	}
	return out
}

func (j *journal) last() result {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.results) == 0 {
		return result{}
	}
	return j.results[len(j.results)-1]
}

// first is when the first result came.
func (j *journal) first() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at[0]
}

func TestFirstRunIsAtOnceAndLaterOnesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Second
		start := time.Now()
		var targets []*target
		for range 50 {
			g, j := &target{}, &journal{}
			targets = append(targets, g)
			r := check.NewRunner("c", api.Critical, &api.CheckDefinition{TCP: "x:1", Interval: api.Duration(interval)}, check.Options{Update: j.update, Dial: g.dial})
			defer r.Close()
		}
		time.Sleep(5 * interval)
		synctest.Wait()
		var phases []time.Duration
		for _, g := range targets {
			runs := g.times()
			if !runs[0].Equal(start) {
				t.Errorf("the first run is %s after the start", runs[0].Sub(start))
			}
			phases = append(phases, runs[1].Sub(start))
			for i := 2; i < len(runs); i++ {
				if gap := runs[i].Sub(runs[i-1]); gap != interval {
					t.Errorf("run %d comes %s after the one before", i, gap)
				}
			}
		}
		if slices.Max(phases)-slices.Min(phases) < interval/2 || slices.Max(phases) > interval {
			t.Errorf("second runs lie between %s and %s", slices.Min(phases), slices.Max(phases))
		}
	})
}

func TestThresholds(t *testing.T) {
	for _, tc := range []struct {
		name    string
		def     api.CheckDefinition
		status  string
		results string // of the target: + up, - down
		want    string // first letters of the statuses
	}{
		{"none", api.CheckDefinition{}, api.Critical, "+-+-", "pcpc"},
		{"passing needs three", api.CheckDefinition{SuccessBeforePassing: 3}, api.Critical, "++-++++", "ccccc" + "pp"},
		{"critical needs three", api.CheckDefinition{FailuresBeforeCritical: 3}, api.Passing, "--+---", "ppp" + "ppc"},
		{"warning first", api.CheckDefinition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 3}, api.Passing, "---+", "wwcp"},
		{"a failure never improves", api.CheckDefinition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 3}, api.Critical, "----", "cccc"},
		{"a warning stays until enough pass", api.CheckDefinition{FailuresBeforeWarning: 1, FailuresBeforeCritical: 9, SuccessBeforePassing: 2}, api.Passing, "-+-++", "wwwwp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, j := &target{}, &journal{}
				g.set(tc.results[0] == '-')
				tc.def.TCP, tc.def.Interval = "x:1", api.Duration(time.Second)
				r := check.NewRunner("c", tc.status, &tc.def, check.Options{Update: j.update, Dial: g.dial})
				defer r.Close()
				for i := range tc.results {
					g.set(tc.results[i] == '-')
					for len(j.statuses()) == i {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
				}
				got := ""
				for _, s := range j.statuses() {
					got += s[:1]
				}
				if got != tc.want {
					t.Fatalf("results %s give %s, want %s", tc.results, got, tc.want)
				}
			})
		})
	}
}

func TestTimeoutAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, j := &target{hang: true}, &journal{}
		start := time.Now()
		r := check.NewRunner("c", api.Passing, &api.CheckDefinition{TCP: "x:1", Interval: api.Duration(time.Minute), Timeout: api.Duration(3 * time.Second)},
			check.Options{Update: j.update, Dial: g.dial})
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if took := j.first().Sub(start); j.last().status != api.Critical || took != 3*time.Second {
			t.Fatalf("got %v after %s", j.last(), took)
		}
		// A run that is cut off by Close says nothing of its target.
		time.Sleep(time.Minute)
		before := len(j.statuses())
		for len(g.times()) == before {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		r.Close()
		if got := len(j.statuses()); got != before {
			t.Fatalf("closing reported %v", j.last())
		}
	})
}

func TestIntervalHasAFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, j := &target{}, &journal{}
		r := check.NewRunner("c", api.Critical, &api.CheckDefinition{TCP: "x:1", Interval: 1}, check.Options{Update: j.update, Dial: g.dial})
		time.Sleep(time.Second)
		r.Close()
		if n := len(j.statuses()); n < 5 || n > 12 {
			t.Fatalf("%d runs in a second", n)
		}
	})
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		c := check.NewTTL("c", "", &api.CheckDefinition{TTL: api.Duration(10 * time.Second)}, check.Options{Update: j.update})
		time.Sleep(9 * time.Second)
		c.Set(api.Passing, "")
		time.Sleep(9 * time.Second)
		c.Set(api.Warning, "slow")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if got := j.last(); got != (result{api.Warning, "slow"}) {
			t.Fatalf("within its time: %v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := j.last(); got != (result{api.Critical, "TTL expired; last output: slow"}) {
			t.Fatalf("after its time: %v", got)
		}
		c.Set(api.Passing, "back")
		if got := j.last(); got != (result{api.Passing, "back"}) {
			t.Fatalf("told again: %v", got)
		}
		c.Close()
		c.Set(api.Warning, "closed")
		time.Sleep(time.Minute)
		if got := j.last(); got != (result{api.Passing, "back"}) {
			t.Fatalf("after Close: %v", got)
		}
	})
}

func TestTTLExpiresWithoutEverBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		c := check.NewTTL("c", "", &api.CheckDefinition{TTL: api.Duration(time.Second)}, check.Options{Update: j.update})
		defer c.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := j.last(); got != (result{api.Critical, "TTL expired"}) {
			t.Fatalf("got %v", got)
		}
	})
}

// others is the health of others, announced or not.
type others struct {
	mu      sync.Mutex
	checks  []api.Check
	err     error
	changed chan struct{}
	silent  bool
}

func (o *others) Checks(context.Context, string, string) ([]api.Check, <-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return o.checks, nil, o.err
	}
	return o.checks, o.changed, o.err
}

func (o *others) set(err error, checks ...api.Check) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checks, o.err = checks, err
	close(o.changed)
	o.changed = make(chan struct{})
}

func TestAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &others{changed: make(chan struct{})}
		j := &journal{}
		a := check.NewAlias("self", &api.CheckDefinition{AliasService: "target"}, check.Options{Update: j.update, Aliased: o})
		defer a.Close()
		expect := func(status, output string) {
			t.Helper()
			synctest.Wait()
			if got := j.last(); got != (result{status, output}) {
				t.Fatalf("got %v, want %s %q", got, status, output)
			}
		}
		expect(api.Passing, "No checks found.")
		o.set(nil, api.Check{Name: "a", Status: api.Passing}, api.Check{Name: "b", Status: api.Passing})
		expect(api.Passing, "All checks passing.")
		o.set(nil, api.Check{Name: "a", Status: api.Passing}, api.Check{Name: "b", Status: api.Warning, Output: "slow"})
		expect(api.Warning, `Aliased check "b" failing: slow`)
		o.set(nil, api.Check{Name: "a", Status: api.Warning}, api.Check{Name: "b", Status: api.Critical, Output: "down"}, api.Check{Name: "c", Status: api.Critical})
		expect(api.Critical, `Aliased check "b" failing: down`)
		o.set(nil, api.Check{CheckID: "self", Name: "me", Status: api.Critical}, api.Check{Name: "a", Status: api.Passing})
		expect(api.Passing, "All checks passing.")
		o.set(errors.New(`service "target" is not registered`))
		expect(api.Critical, `Cannot tell the health of what is aliased: service "target" is not registered`)
		// Where changes are not announced, the check asks again after a while.
		o.silent = true
		o.set(nil, api.Check{Name: "a", Status: api.Passing})
		expect(api.Passing, "All checks passing.")
		o.mu.Lock()
		o.checks = []api.Check{{Name: "a", Status: api.Critical}}
		o.mu.Unlock()
		time.Sleep(11 * time.Second)
		expect(api.Critical, `Aliased check "a" failing: `)
	})
}

func TestHurryFindsATargetThatComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, j := &target{down: true}, &journal{}
		def := &api.CheckDefinition{TCP: "10.0.0.1:80", Interval: api.Duration(time.Minute)}
		r := check.NewRunner("c", api.Critical, def, check.Options{Update: j.update, Dial: g.dial})
		defer r.Close()
		synctest.Wait()
		began := time.Now()
		r.Hurry()
		time.Sleep(time.Second)
		g.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if j.last().status != api.Passing {
			t.Errorf("still %s 2 s after it was hurried, and 1 s after its target came up", j.last().status)
		}
		runs := len(g.times())
		r.Hurry() // one that passes is in no hurry
		time.Sleep(5 * time.Second)
		if again := len(g.times()); again > runs+1 { // its own interval may have come
			t.Errorf("%d runs of a check that passes", again-runs)
		}
		if runs > 8 {
			t.Errorf("%d runs in %v", runs, time.Since(began))
		}
	})
}
