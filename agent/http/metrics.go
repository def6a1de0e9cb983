package http

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

// agentMetrics shows what the agent counts: as JSON, or for Prometheus.
func agentMetrics(r *request) (any, error) {
	if err := r.need("agent", r.s.opts.Node, api.Read); err != nil {
		return nil, err
	}
	m := r.s.opts.Metrics
	if r.param("format") != "prometheus" {
		return orError(m.DisplayMetrics(r.w, r.Request))
	}
	if r.s.opts.Prometheus == nil {
		r.w.Header().Set("X-Consul-Reason", "Prometheus is not enabled since its retention time is not positive")
		return nil, nil
	}
	r.w.Header().Del("Content-Type")
	r.s.opts.Prometheus.ServeHTTP(r.w, r.Request)
	return answered, nil
}

// Metrics is the in-memory sink of go-metrics.
type Metrics interface {
	DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error)
}
