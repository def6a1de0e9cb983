package http

import (
	"strings"

	"github.com/parleymesh/parley/agent/telemetry"
)

// Timing tells how long an endpoint took with one method. Those that wait for a change count their wait.
type Timing struct {
	Path   string // with dots, and an underscore for what stands for a name: v1.kv._
	Method string
	telemetry.Sample
}

// Timings returns those of all endpoints that were ever asked.
func (s *Server) Timings() []Timing {
	var out []Timing
	for _, rt := range s.routes {
		for i := range rt.timers {
			if t := rt.timers[i].Sample(); t.Count > 0 {
				out = append(out, Timing{Path: dotted(rt.path), Method: rt.methods[i].name, Sample: t})
			}
		}
	}
	return out
}

// dotted is an endpoint's path as the public metrics name it.
func dotted(path string) string {
	name := strings.ReplaceAll(strings.Trim(path, "/"), "/", ".")
	if strings.HasSuffix(path, "/") {
		name += "._"
	}
	return name
}

// Blocking is how many requests wait for a change at the moment.
func (s *Server) Blocking() int64 { return s.waiting.count() }
