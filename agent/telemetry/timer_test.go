package telemetry

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestBucketsHoldWhatStandsForThem(t *testing.T) {
	for b := range nBuckets {
		if got := bucket(uint64(middle(b))); got != b {
			t.Errorf("the middle of bucket %d, %v, falls into bucket %d", b, middle(b), got)
		}
	}
	for _, micros := range []uint64{0, 1, 1 << 40, math.MaxUint64} {
		if b := bucket(micros); b < 0 || b >= nBuckets {
			t.Errorf("%d us falls into bucket %d", micros, b)
		}
	}
}

// TestQuantilesAreNearThoseOfTheValues compares with the plain way.
func TestQuantilesAreNearThoseOfTheValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1000, 0)
	for range 20 {
		var timer Timer
		var values []float64
		for range 1 + random.IntN(2000) {
			took := time.Duration(math.Exp(random.Float64()*14)) * time.Microsecond
			timer.observe(now, took)
			values = append(values, float64(took.Microseconds())/1e3)
		}
		slices.Sort(values)
		for q, got := range timer.sample(now).Quantiles {
			want := values[int(math.Ceil(q*float64(len(values))))-1]
			if math.Abs(got-want) > want/7+0.001 {
				t.Errorf("quantile %v of %d values is %v, want about %v", q, len(values), got, want)
			}
		}
	}
}

func TestTimerForgetsWhatIsLongAgo(t *testing.T) {
	var timer Timer
	now := time.Unix(1000, 0)
	if s := timer.sample(now); s.Count != 0 {
		t.Errorf("a new timer says %+v", s)
	}
	timer.observe(now, time.Second)
	if s := timer.sample(now); s.Count != 1 || s.Recent.Count != 0 || s.Quantiles[0.5] == 0 || math.IsNaN(s.Quantiles[0.5]) {
		t.Errorf("at once: %+v", s)
	}
	if s := timer.sample(now.Add(interval)); s.Recent.Count != 1 || s.Recent.Sum != 1000 || s.Recent.Min != 1000 || s.Recent.Max != 1000 {
		t.Errorf("an interval later: %+v", s)
	}
	if s := timer.sample(now.Add(2 * interval)); s.Count != 1 || s.Sum != 1000 || s.Recent.Count != 0 || !math.IsNaN(s.Quantiles[0.99]) {
		t.Errorf("two intervals later: %+v", s)
	}
}

func TestTimerCountsFromManyGoroutines(t *testing.T) {
	var timer Timer
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				timer.Observe(time.Millisecond)
				timer.Sample()
			}
		})
	}
	wg.Wait()
	if s := timer.Sample(); s.Count != 8000 || math.Abs(s.Sum-8000) > 1e-6 {
		t.Errorf("counted %d, %v ms", s.Count, s.Sum)
	}
}

func BenchmarkTimer(b *testing.B) {
	var timer Timer
	for b.Loop() {
		timer.Observe(time.Millisecond)
	}
}
