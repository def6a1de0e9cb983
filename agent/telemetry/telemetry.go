// Package telemetry is what an agent counts, shown as JSON and to Prometheus. The libraries for Raft and gossip count into the
// process's go-metrics, of which there is one; what costs something to count all the time is a Source, which is asked only when
// somebody reads, and hot paths count in a Timer, which is a few atomics.
//
// What the figures mean is on the page website/docs/metrics.md. The package knows none of the parts that it shows.
package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// The in-memory sink keeps so much, in so fine steps, as the public API's clients expect.
const (
	interval = 10 * time.Second
	retained = time.Minute
)

// Options is how figures are called and which are shown.
type Options struct {
	// Prefix begins every name.
	Prefix string
	// Hostname puts the host's name into the names of gauges, after the prefix.
	Hostname bool
	// Hidden hides what no rule of Filter speaks of.
	Hidden bool
	// Filter holds rules, of which the one with the longest prefix of a name decides: "+prefix" shows, "-prefix" hides.
	Filter []string
	// Retention is how long Prometheus is shown a figure that is not counted any more; 0: it is shown nothing at all.
	Retention time.Duration
	// Push lists where figures are sent to.
	Push []Destination

	Logger *slog.Logger
}

// Metrics is all that an agent counts.
type Metrics struct {
	names  names
	inmem  *gometrics.InmemSink
	global *gometrics.Metrics
	prom   http.Handler // nil: not switched on
	push   []*pusher
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	sources []Source
}

// Open makes what the process counts this agent's: there is one set for each process.
func Open(o Options) (*Metrics, error) {
	host, err := os.Hostname()
	if err != nil && o.Hostname {
		return nil, fmt.Errorf("the host's name, for the names of gauges: %w; set telemetry.disable_hostname to do without it", err)
	}
	cfg := gometrics.DefaultConfig(o.Prefix)
	cfg.HostName, cfg.EnableHostname = host, o.Hostname
	cfg.FilterDefault = !o.Hidden
	cfg.AllowedPrefixes, cfg.BlockedPrefixes = rules(o.Filter)
	cfg.EnableRuntimeMetrics = false // a Source reads them; the library's goroutine would never end

	m := &Metrics{names: newNames(cfg), inmem: gometrics.NewInmemSink(interval, retained)}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	sink := gometrics.FanoutSink{m.inmem}
	if o.Retention > 0 {
		prom, handler, err := openPrometheus(m, o)
		if err != nil {
			return nil, err
		}
		sink, m.prom = append(sink, prom), handler
	}
	for _, to := range o.Push {
		p := newPusher(to, o.Logger.With("component", "telemetry"))
		sink, m.push = append(sink, p), append(m.push, p)
	}
	if m.global, err = gometrics.NewGlobal(cfg, sink); err != nil {
		m.closePush()
		return nil, fmt.Errorf("start the metrics: %w", err)
	}
	m.Add(readRuntime)
	if len(m.push) > 0 {
		m.done.Go(func() { m.tell(ctx) })
	}
	return m, nil
}

// tell sends what the sources say, once each interval.
func (m *Metrics) tell(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		figures := m.read()
		for _, p := range m.push {
			p.tell(figures)
		}
	}
}

// closePush sends what waits to be sent, and nothing afterwards.
func (m *Metrics) closePush() {
	m.cancel()
	m.done.Wait()
	for _, p := range m.push {
		p.close()
	}
}

// Close stops counting, unless another agent of this process counts already.
func (m *Metrics) Close() {
	if gometrics.Default() == m.global {
		gometrics.Shutdown()
	}
	m.closePush()
}

// Add has the source asked whenever somebody reads.
func (m *Metrics) Add(s Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources = append(m.sources, s)
}

// Prometheus shows everything in Prometheus's text form. Nil: it is not switched on.
func (m *Metrics) Prometheus() http.Handler { return m.prom }

// DisplayMetrics returns the last finished interval of ten seconds, and what the sources say now, to be shown as JSON.
func (m *Metrics) DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error) {
	v, err := m.inmem.DisplayMetrics(w, r)
	if err != nil {
		return nil, err
	}
	s, ok := v.(gometrics.MetricsSummary)
	if !ok {
		return v, nil
	}
	for _, f := range m.read() {
		labels := map[string]string{}
		for _, l := range f.labels {
			labels[l.Name] = l.Value
		}
		if f.sample == nil {
			s.Gauges = append(s.Gauges, gometrics.GaugeValue{Name: f.name, Value: float32(f.value), DisplayLabels: labels})
			continue
		}
		recent := f.sample.Recent
		if recent.Count == 0 {
			continue
		}
		to := &s.Samples
		if f.counter {
			n := float64(recent.Count)
			recent = gometrics.AggregateSample{Count: recent.Count, Sum: n, SumSq: n, Min: 1, Max: 1}
			to = &s.Counters
		}
		recent.Rate = recent.Sum / interval.Seconds()
		*to = append(*to, gometrics.SampledValue{
			Name: f.name, AggregateSample: &recent, Mean: recent.Mean(), Stddev: recent.Stddev(), DisplayLabels: labels,
		})
	}
	slices.SortStableFunc(s.Gauges, func(a, b gometrics.GaugeValue) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Counters, func(a, b gometrics.SampledValue) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Samples, func(a, b gometrics.SampledValue) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

// names makes whole names, as go-metrics does for what is counted there.
type names struct {
	prefix, gauge string // with the dot that follows
	rules         map[string]bool
	shown         bool // what no rule speaks of
}

func newNames(cfg *gometrics.Config) names {
	n := names{shown: cfg.FilterDefault, rules: map[string]bool{}}
	if cfg.ServiceName != "" {
		n.prefix = cfg.ServiceName + "."
	}
	n.gauge = n.prefix
	if cfg.EnableHostname && cfg.HostName != "" {
		n.gauge += cfg.HostName + "."
	}
	for _, p := range cfg.AllowedPrefixes {
		n.rules[p] = true
	}
	for _, p := range cfg.BlockedPrefixes {
		n.rules[p] = false
	}
	return n
}

// shows tells whether a figure with that whole name is shown: the longest rule decides.
func (n names) shows(name string) bool {
	longest, shown := -1, n.shown
	for prefix, show := range n.rules {
		if len(prefix) > longest && strings.HasPrefix(name, prefix) {
			longest, shown = len(prefix), show
		}
	}
	return shown
}

// rules splits a filter's rules into what is shown and what is hidden.
func rules(filter []string) (show, hide []string) {
	for _, rule := range filter {
		switch prefix := rule[min(1, len(rule)):]; {
		case strings.HasPrefix(rule, "+"):
			show = append(show, prefix)
		case strings.HasPrefix(rule, "-"):
			hide = append(hide, prefix)
		}
	}
	return show, hide
}
