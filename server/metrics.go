package server

import (
	"strings"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/state"
)

// measured are the names by which the public metrics know the nouns' commands: a command's type, or what stands before its dot.
var measured = map[string][]string{
	"catalog.register":   {"catalog", "register"},
	"catalog.deregister": {"catalog", "deregister"},
	"kv":                 {"kvs", "apply"},
	"txn":                {"txn", "apply"},
	"session":            {"session", "apply"},
	"query":              {"prepared-query", "apply"},
	"intention":          {"intention", "apply"},
	"configentry":        {"config_entry", "apply"},
}

// measure counts a command that this server, leading, has carried out.
func measure(commandType string, began time.Time) {
	name, ok := measured[commandType]
	if !ok {
		noun, _, _ := strings.Cut(commandType, ".")
		if name, ok = measured[noun]; !ok {
			return
		}
	}
	gometrics.MeasureSince(name, began)
}

// Usage counts what the state of this server holds. It reads all of it, some milliseconds for ten thousand instances.
func (s *Server) Usage() state.Usage { return state.Count(s.Store().Read()) }

// Figures are what this server tells of itself, by the public metrics' names.
func (s *Server) Figures() map[string]float64 {
	leads := 0.0
	if s.Raft().State() == raft.Leader {
		leads = 1
	}
	return map[string]float64{
		"server.isLeader":    leads,
		"raft.applied_index": float64(s.Raft().AppliedIndex()),
		"raft.last_index":    float64(s.Raft().LastIndex()),
	}
}
