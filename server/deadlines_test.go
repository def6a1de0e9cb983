package server

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestDeadlines compares with a map that is searched each time.
func TestDeadlines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d deadlines[int]
	naive, taken := map[int]time.Time{}, map[int]bool{}
	now := time.Unix(1000, 0)
	for step := range 20000 {
		key := r.IntN(200)
		switch r.IntN(6) {
		case 0, 1, 2: // later than it was, as a renewal is
			if !taken[key] {
				until := now.Add(time.Duration(1+r.IntN(100)) * time.Second)
				if until.Before(naive[key]) {
					continue
				}
				d.set(key, until)
				naive[key] = until
			}
		case 3:
			now = now.Add(time.Duration(r.IntN(20)) * time.Second)
			got := d.take(now, 1000)
			var want []int
			for k, until := range naive {
				if !until.After(now) {
					want = append(want, k)
					delete(naive, k)
					taken[k] = true
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: got %v, want %v", step, got, want)
			}
			if len(got) > 0 && r.IntN(2) == 0 {
				d.again(got, now.Add(time.Second))
				for _, k := range got {
					naive[k] = now.Add(time.Second)
					delete(taken, k)
				}
			} else {
				d.forget(got)
				for _, k := range got {
					delete(taken, k)
				}
			}
		case 4:
			if first, ok := d.next(); ok {
				for k, until := range naive {
					if until.Before(first) {
						t.Fatalf("step %d: %d is over before it is looked at", step, k)
					}
				}
			} else if len(naive) > 0 {
				t.Fatalf("step %d: nothing to wait for, but there is %v", step, naive)
			}
		case 5:
			if d.known(key) != (taken[key] || !naive[key].IsZero()) {
				t.Fatalf("step %d: %d is known: %v", step, key, d.known(key))
			}
		}
	}
}

// TestDeadlinesAreSwept keeps what has ended early from filling the memory.
func TestDeadlinesAreSwept(t *testing.T) {
	var d deadlines[int]
	for i := range 100000 {
		d.set(i, time.Unix(1000+int64(i), 0))
		d.sweep(func(k int) bool { return k > i-10 })
		if len(d.queue) > 2*minSweep || len(d.until) != len(d.queue) {
			t.Fatalf("%d in the queue, %d in the map", len(d.queue), len(d.until))
		}
	}
	if over := d.take(time.Unix(1<<40, 0), 5); len(over) != 5 {
		t.Errorf("%d at a time", len(over))
	}
}
