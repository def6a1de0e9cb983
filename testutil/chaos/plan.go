package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is a fault of a plan.
type step struct {
	fault       fault
	from, until time.Duration
	seed        uint64 // of what the fault itself leaves to chance
	what        string // whom it has hit, once it has begun
}

// plan is the faults of a run, by the time at which they begin.
type plan []*step

// newPlan throws faults for so long: mostly one at a time, now and then two.
func newPlan(r *rand.Rand, length time.Duration) plan {
	var bag []fault
	for _, f := range faults {
		for range f.weight {
			bag = append(bag, f)
		}
	}
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	var p plan
	at := 300*time.Millisecond + upTo(500*time.Millisecond)
	for at < length {
		first := &step{fault: bag[r.IntN(len(bag))], from: at, until: at + 300*time.Millisecond + upTo(2500*time.Millisecond), seed: r.Uint64()}
		p = append(p, first)
		at = first.until
		if r.IntN(3) == 0 {
			from := first.from + upTo(first.until-first.from)
			second := &step{fault: bag[r.IntN(len(bag))], from: from, until: from + 300*time.Millisecond + upTo(1500*time.Millisecond), seed: r.Uint64()}
			p = append(p, second)
			at = max(at, second.until)
		}
		at += 200*time.Millisecond + upTo(1300*time.Millisecond)
	}
	slices.SortStableFunc(p, func(a, b *step) int { return int(a.from - b.from) })
	return p
}

// String tells the plan to people.
func (p plan) String() string {
	var b strings.Builder
	for _, s := range p {
		fmt.Fprintf(&b, "%8v to %8v  %s: %s\n", s.from.Round(time.Millisecond), s.until.Round(time.Millisecond), s.fault.name, s.what)
	}
	return b.String()
}

// run has the faults begin and end, each at its time; one that takes its time delays the others.
func (p plan) run(w *world, began time.Time) {
	type event struct {
		at time.Duration
		do func()
	}
	var events []event
	for _, s := range p {
		var end func()
		events = append(events,
			event{s.from, func() { s.what, end = s.fault.begin(w, rand.New(rand.NewPCG(s.seed, s.seed))) }},
			event{s.until, func() { end() }})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	for _, e := range events {
		time.Sleep(time.Until(began.Add(e.at)))
		e.do()
	}
}
