package agent

import (
	"context"

	"github.com/parleymesh/parley/agent/telemetry"
)

// startMetrics makes the process's metrics the agent's: there is one set for each process. What the parts tell is added once
// they are there: see sources.
func (a *Agent) startMetrics() (err error) {
	t := a.cfg.Telemetry
	a.metrics, err = telemetry.Open(telemetry.Options{
		Prefix: t.MetricsPrefix, Hostname: !t.DisableHostname, Hidden: !t.FilterDefault, Filter: t.PrefixFilter,
		Retention: t.PrometheusRetentionTime, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.undo.push("metrics", func(context.Context) error { a.metrics.Close(); return nil })
	return nil
}
