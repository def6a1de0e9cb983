package api_test

import (
	"math"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestDistance(t *testing.T) {
	at := func(x, height, adjustment float64) *api.Coordinate {
		return &api.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Height: height, Adjustment: adjustment}
	}
	for _, c := range []struct {
		a, b *api.Coordinate
		want time.Duration
		ok   bool
	}{
		{at(0.001, 0, 0), at(0.004, 0, 0), 3 * time.Millisecond, true},
		{at(0, 0.001, 0), at(0, 0.001, 0), 2 * time.Millisecond, true},
		{at(0.001, 0, 0.001), at(0.004, 0, -0.002), 2 * time.Millisecond, true},
		{at(0.001, 0, -1), at(0.004, 0, 0), 3 * time.Millisecond, true}, // an adjustment to less than nothing is none
		{nil, at(0, 0, 0), 0, false},
		{at(0, 0, 0), &api.Coordinate{Vec: []float64{1}}, 0, false},
		{at(1e300, 0, 0), at(0, 0, 0), 0, false},
		{at(math.NaN(), 0, 0), at(0, 0, 0), 0, false},
		{at(1e12, 0, 0), at(0, 0, 0), 0, false},
	} {
		got, ok := c.a.Distance(c.b)
		if ok != c.ok || (got-c.want).Abs() > time.Nanosecond {
			t.Errorf("from %+v to %+v: %v %v, want %v %v", c.a, c.b, got, ok, c.want, c.ok)
		}
		if back, _ := c.b.Distance(c.a); back != got {
			t.Errorf("and back it is %v instead of %v", back, got)
		}
	}
}
