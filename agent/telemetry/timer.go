package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// A Timer counts how often something happened and how long it took, for hot paths: it takes no lock and, after its first
// use, no memory. The zero Timer is ready.
type Timer struct {
	count, nanos atomic.Uint64
	recent       atomic.Pointer[[2]window] // one is filled while the other one is read
}

// The buckets are a quarter of a power of two wide, and the last one begins at 18 hours.
const (
	perOctave = 4
	nBuckets  = 36 * perOctave
)

// window counts one interval. At its turn a few observations may be lost, or counted with the interval before: the whole
// counts, which are Timer's, have them.
type window struct {
	number  atomic.Int64 // of the interval, since 1970
	buckets [nBuckets]atomic.Uint32
	micros  atomic.Uint64
	squares atomic.Uint64 // of microseconds
	least   atomic.Uint64 // in microseconds, plus one; 0 for none
	most    atomic.Uint64
}

// Moment is when something began. It costs half of what a time.Time does.
type Moment int64

// started gives every Moment its place.
var (
	started   = time.Now()
	startedAt = at(started)
)

// Now is this moment.
func Now() Moment { return startedAt + Moment(time.Since(started)) }

// at is a time's moment.
func at(t time.Time) Moment { return Moment(t.UnixNano()) }

// ObserveSince counts what began then and has just ended.
func (t *Timer) ObserveSince(began Moment) {
	now := Now()
	t.observe(now, time.Duration(now-began))
}

func (t *Timer) observe(now Moment, took time.Duration) {
	took = max(took, 0)
	t.count.Add(1)
	t.nanos.Add(uint64(took))
	t.window(now).observe(uint64(took.Microseconds()))
}

// window returns the one that is filled at the moment.
func (t *Timer) window(now Moment) *window {
	both := t.recent.Load()
	if both == nil {
		t.recent.CompareAndSwap(nil, new([2]window))
		both = t.recent.Load()
	}
	n := int64(now) / int64(interval)
	w := &both[n%2]
	if before := w.number.Load(); before != n && w.number.CompareAndSwap(before, n) {
		w.reset()
	}
	return w
}

func (w *window) reset() {
	for i := range w.buckets {
		w.buckets[i].Store(0)
	}
	w.micros.Store(0)
	w.squares.Store(0)
	w.least.Store(0)
	w.most.Store(0)
}

func (w *window) observe(micros uint64) {
	w.buckets[bucket(micros)].Add(1)
	w.micros.Add(micros)
	w.squares.Add(micros * micros)
	for least := w.least.Load(); (least == 0 || micros+1 < least) && !w.least.CompareAndSwap(least, micros+1); {
		least = w.least.Load()
	}
	for most := w.most.Load(); micros > most && !w.most.CompareAndSwap(most, micros); {
		most = w.most.Load()
	}
}

// bucket is where a duration is counted: by its power of two, and by the two bits after the first.
func bucket(micros uint64) int {
	if micros < perOctave {
		return int(micros)
	}
	octave := bits.Len64(micros) - 1
	return min((octave-1)*perOctave+int(micros>>(octave-2)&3), nBuckets-1)
}

// middle is a duration that stands for a bucket's, in microseconds.
func middle(bucket int) float64 {
	if bucket < perOctave {
		return float64(bucket)
	}
	octave := bucket/perOctave + 1
	low := float64(perOctave+bucket%perOctave) * math.Exp2(float64(octave-2))
	return low + math.Exp2(float64(octave-2))/2
}

// Sample tells what was counted, in milliseconds.
func (t *Timer) Sample() Sample { return SampleOf(t) }

// SampleOf tells what several timers have counted, for paths so hot that each goroutine has its own.
func SampleOf(timers ...*Timer) Sample { return sampleOf(Now(), timers) }

func sampleOf(now Moment, timers []*Timer) Sample {
	var s Sample
	var counts [nBuckets]uint64
	n := int64(now) / int64(interval)
	counted := false
	for _, t := range timers {
		s.Count += t.count.Load()
		s.Sum += float64(t.nanos.Load()) / 1e6
		both := t.recent.Load()
		if both == nil {
			continue
		}
		counted = true
		for i := range both {
			both[i].add(n, &s.Recent, &counts)
		}
	}
	if counted {
		s.Quantiles = bucketQuantiles(counts[:])
	}
	return s
}

// add adds the window's buckets if it is of interval n or the one before, and all of it if it is the one before.
func (w *window) add(n int64, recent *gometrics.AggregateSample, counts *[nBuckets]uint64) {
	number := w.number.Load()
	if number != n && number != n-1 {
		return
	}
	total := 0
	for b := range w.buckets {
		c := w.buckets[b].Load()
		counts[b] += uint64(c)
		total += int(c)
	}
	if number != n-1 || total == 0 {
		return
	}
	least, most := float64(max(w.least.Load(), 1)-1)/1e3, float64(w.most.Load())/1e3
	if recent.Count > 0 {
		least, most = min(least, recent.Min), max(most, recent.Max)
	}
	recent.Count, recent.Min, recent.Max = recent.Count+total, least, most
	recent.Sum += float64(w.micros.Load()) / 1e3
	recent.SumSq += float64(w.squares.Load()) / 1e6
}

// shown are the quantiles that the public metrics have.
var shown = []float64{0.5, 0.9, 0.99}

// bucketQuantiles returns quantiles of what was counted, in milliseconds.
func bucketQuantiles(counts []uint64) map[float64]float64 {
	total := uint64(0)
	for _, c := range counts {
		total += c
	}
	out := map[float64]float64{}
	for _, q := range shown {
		out[q] = math.NaN()
		rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
		for b, c := range counts {
			if seen += c; c > 0 && seen >= rank {
				out[q] = middle(b) / 1e3
				break
			}
		}
	}
	return out
}

// quantiles returns those of the values.
func quantiles(values []uint64) map[float64]float64 {
	sorted := slices.Sorted(slices.Values(values))
	out := map[float64]float64{}
	for _, q := range shown {
		out[q] = math.NaN()
		if len(sorted) > 0 {
			out[q] = float64(sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1])
		}
	}
	return out
}
