package telemetry

import (
	"runtime"

	gometrics "github.com/hashicorp/go-metrics"
)

// A Source tells figures as they stand when somebody reads. It may be asked from several goroutines at once.
type Source func(r *Reading)

// Label tells apart figures of the same name.
type Label = gometrics.Label

// Sample is how often something happened and how much it came to.
type Sample struct {
	Count uint64 // since the start
	Sum   float64
	// Recent is the last finished interval of ten seconds.
	Recent gometrics.AggregateSample
	// Quantiles are of late: of ten to twenty seconds.
	Quantiles map[float64]float64
}

// Reading is what the sources say at one moment.
type Reading struct {
	names   *names
	figures []figure
}

// figure is a gauge or, when it has a sample, that or a counter.
type figure struct {
	name   string // whole, with dots
	labels []Label
	value  float64
	sample *Sample
	// counter: only how often it was counts.
	counter bool
}

// Gauge tells a figure that goes up and down. The name has dots and no prefix.
func (r *Reading) Gauge(name string, value float64, labels ...Label) {
	if name = r.names.gauge + name; r.names.shows(name) {
		r.figures = append(r.figures, figure{name: name, labels: labels, value: value})
	}
}

// Sample tells how often something happened and how much it came to. The name has dots and no prefix.
func (r *Reading) Sample(name string, s Sample, labels ...Label) {
	if name = r.names.prefix + name; r.names.shows(name) {
		r.figures = append(r.figures, figure{name: name, labels: labels, sample: &s})
	}
}

// Counter tells how often something happened. The name has dots and no prefix.
func (r *Reading) Counter(name string, s Sample, labels ...Label) {
	if name = r.names.prefix + name; r.names.shows(name) {
		r.figures = append(r.figures, figure{name: name, labels: labels, sample: &s, counter: true})
	}
}

// read asks all sources.
func (m *Metrics) read() []figure {
	m.mu.Lock()
	sources := m.sources[:len(m.sources):len(m.sources)]
	m.mu.Unlock()
	r := &Reading{names: &m.names}
	for _, s := range sources {
		s(r)
	}
	return r.figures
}

// readRuntime is the Source of what Go's runtime tells of itself.
func readRuntime(r *Reading) {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	r.Gauge("runtime.num_goroutines", float64(runtime.NumGoroutine()))
	r.Gauge("runtime.alloc_bytes", float64(s.Alloc))
	r.Gauge("runtime.sys_bytes", float64(s.Sys))
	r.Gauge("runtime.malloc_count", float64(s.Mallocs))
	r.Gauge("runtime.free_count", float64(s.Frees))
	r.Gauge("runtime.heap_objects", float64(s.HeapObjects))
	r.Gauge("runtime.total_gc_pause_ns", float64(s.PauseTotalNs))
	r.Gauge("runtime.total_gc_runs", float64(s.NumGC))
	r.Sample("runtime.gc_pause_ns", Sample{
		Count: uint64(s.NumGC), Sum: float64(s.PauseTotalNs), Quantiles: quantiles(s.PauseNs[:min(int(s.NumGC), len(s.PauseNs))]),
	})
}
