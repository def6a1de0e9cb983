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
	now := at(time.Unix(1000, 0))
	for range 20 {
		var timer Timer
		var values []float64
		for range 1 + random.IntN(2000) {
			took := time.Duration(math.Exp(random.Float64()*14)) * time.Microsecond
			timer.observe(now, took)
			values = append(values, float64(took.Microseconds())/1e3)
		}
		slices.Sort(values)
		for q, got := range sampleOf(now, []*Timer{&timer}).Quantiles {
			want := values[int(math.Ceil(q*float64(len(values))))-1]
			if math.Abs(got-want) > want/7+0.001 {
				t.Errorf("quantile %v of %d values is %v, want about %v", q, len(values), got, want)
			}
		}
	}
}

func TestTimerForgetsWhatIsLongAgo(t *testing.T) {
	var timer Timer
	now := at(time.Unix(1000, 0))
	if s := sampleOf(now, []*Timer{&timer}); s.Count != 0 {
		t.Errorf("a new timer says %+v", s)
	}
	timer.observe(now, time.Second)
	if s := sampleOf(now, []*Timer{&timer}); s.Count != 1 || s.Recent.Count != 0 || s.Quantiles[0.5] == 0 || math.IsNaN(s.Quantiles[0.5]) {
		t.Errorf("at once: %+v", s)
	}
	if s := sampleOf(now+Moment(interval), []*Timer{&timer}); s.Recent.Count != 1 || s.Recent.Sum != 1000 || s.Recent.Min != 1000 || s.Recent.Max != 1000 {
		t.Errorf("an interval later: %+v", s)
	}
	if s := sampleOf(now+Moment(2*interval), []*Timer{&timer}); s.Count != 1 || s.Sum != 1000 || s.Recent.Count != 0 || !math.IsNaN(s.Quantiles[0.99]) {
		t.Errorf("two intervals later: %+v", s)
	}
}

func TestTimerCountsFromManyGoroutines(t *testing.T) {
	var timer Timer
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				timer.ObserveSince(Now() - Moment(time.Millisecond))
				timer.Sample()
			}
		})
	}
	wg.Wait()
	if s := timer.Sample(); s.Count != 8000 || math.Abs(s.Sum-8000) > 800 {
		t.Errorf("counted %d, %v ms", s.Count, s.Sum)
	}
}

// TestTimersOfSeveral wants several timers to be as one that has counted everything.
func TestTimersOfSeveral(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := at(time.Unix(1005, 0))
	var all Timer
	var each [3]Timer
	for range 1000 {
		when, took := now-Moment(random.Int64N(int64(interval))), time.Duration(random.Int64N(int64(time.Second)))
		all.observe(when, took)
		each[random.IntN(2)].observe(when, took) // one counts nothing
	}
	one, several := sampleOf(now, []*Timer{&all}), sampleOf(now, []*Timer{&each[0], &each[1], &each[2]})
	if one.Count != several.Count || one.Recent.Count != several.Recent.Count || one.Recent.Min != several.Recent.Min || one.Recent.Max != several.Recent.Max ||
		math.Abs(one.Sum-several.Sum) > 1e-3 || math.Abs(one.Recent.Sum-several.Recent.Sum) > 1e-3 || one.Quantiles[0.9] != several.Quantiles[0.9] {
		t.Errorf("one says %+v\nseveral say %+v", one, several)
	}
}

func BenchmarkTimer(b *testing.B) {
	var timer Timer
	for b.Loop() {
		timer.ObserveSince(Now())
	}
}
