package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	gometrics "github.com/hashicorp/go-metrics"
	sinkprometheus "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// openPrometheus returns the sink of what is counted for Prometheus, and what shows it together with the sources, Go's own
// figures (go_...) and the process's (process_...).
func openPrometheus(m *Metrics, o Options) (gometrics.MetricSink, http.Handler, error) {
	registry := prometheus.NewRegistry()
	counters, samples := declared(m.names)
	sink, err := sinkprometheus.NewPrometheusSinkFrom(sinkprometheus.PrometheusOpts{
		Expiration: o.Retention, Registerer: registry, CounterDefinitions: counters, SummaryDefinitions: samples,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("start the metrics for Prometheus: %w", err)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{m},
	} {
		if err := registry.Register(c); err != nil {
			return nil, nil, fmt.Errorf("start the metrics for Prometheus: %w", err)
		}
	}
	return sink, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// One figure that cannot be shown does not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(o.Logger.With("component", "telemetry").Handler(), slog.LevelWarn),
	}), nil
}

// collector shows the sources to Prometheus.
type collector struct{ m *Metrics }

// Describe implements prometheus.Collector. Nothing is said before it is read.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range c.m.read() {
		name := flat(f.name)
		labels := prometheus.Labels{}
		for _, l := range f.labels {
			labels[l.Name] = l.Value
		}
		desc := prometheus.NewDesc(name, name, nil, labels)
		metric, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, f.value)
		if s := f.sample; f.counter {
			metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, float64(s.Count))
		} else if s != nil {
			metric, err = prometheus.NewConstSummary(desc, s.Count, s.Sum, s.Quantiles)
		}
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		out <- metric
	}
}

// flat is a name as Prometheus allows it: with an underscore for whatever it does not.
func flat(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, name)
}

// declared are the counters and samples that are there from the start, at nothing, so that an alert on one is no gap until it
// first happens. Gauges that nobody has set are nowhere: nothing would be a lie.
func declared(n names) (counters []sinkprometheus.CounterDefinition, samples []sinkprometheus.SummaryDefinition) {
	for name, help := range declaredCounters {
		if n.shows(n.prefix + name) {
			counters = append(counters, sinkprometheus.CounterDefinition{Name: []string{n.prefix + name}, Help: help})
		}
	}
	for name, help := range declaredSamples {
		if n.shows(n.prefix + name) {
			samples = append(samples, sinkprometheus.SummaryDefinition{Name: []string{n.prefix + name}, Help: help})
		}
	}
	return counters, samples
}

var declaredCounters = map[string]string{
	"raft.apply":             "changes handed to Raft",
	"raft.state.leader":      "times that this server became the leader",
	"raft.state.candidate":   "times that this server began an election",
	"raft.state.follower":    "times that this server became a follower",
	"serf.member.join":       "members that joined, as this agent saw it",
	"serf.member.left":       "members that left, as this agent saw it",
	"serf.member.failed":     "members that failed, as this agent saw it",
	"serf.member.flap":       "members that failed and came back within a minute",
	"memberlist.msg.suspect": "members that this agent was told to suspect",
}

var declaredSamples = map[string]string{
	"raft.commitTime":         "milliseconds from handing a change to Raft until it was committed",
	"raft.leader.lastContact": "milliseconds since the leader last reached its followers",
	"raft.leader.dispatchLog": "milliseconds that the leader took to write log entries to disk",
	"memberlist.gossip":       "milliseconds that a round of gossip took",
}
