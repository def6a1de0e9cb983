package agent

import (
	"context"
	"net/http"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// The in-memory sink keeps so much, in so fine steps, as the public API's clients expect.
const (
	metricsInterval = 10 * time.Second
	metricsRetain   = time.Minute
)

// metrics is what the agent counts. The libraries for raft and gossip count there, too.
type metrics struct{ sink *gometrics.InmemSink }

// startMetrics makes the process's metrics the agent's: there is one set for each process.
func (a *Agent) startMetrics() error {
	t := a.cfg.Telemetry
	sink := gometrics.NewInmemSink(metricsInterval, metricsRetain)
	cfg := gometrics.DefaultConfig(t.MetricsPrefix)
	cfg.EnableHostname = !t.DisableHostname
	cfg.FilterDefault = t.FilterDefault
	cfg.EnableRuntimeMetrics = false // they are read when somebody asks, not twice a minute by a goroutine that never ends
	m, err := gometrics.NewGlobal(cfg, sink)
	if err != nil {
		return err
	}
	a.metrics = &metrics{sink}
	a.undo.push("metrics", func(context.Context) error { m.Shutdown(); return nil })
	return nil
}

// DisplayMetrics implements agenthttp.Metrics.
func (m *metrics) DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error) {
	return m.sink.DisplayMetrics(w, r)
}
