package agent

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"

	"github.com/parleymesh/parley/server/quietlog"
)

// raftLog is an hclog.Logger that writes to slog. What raft calls informative is of interest to those who debug it only, and so
// is what it warns of at every healthy start. What it says each time a server that is gone does not answer it says once a
// minute.
type raftLog struct {
	to   *slog.Logger
	name string
	args []any
	said *quietlog.Log
}

// subject is the peer that a message is about. Only peers are told apart, and there are few.
func subject(args []any) string {
	for i := 1; i < len(args); i += 2 {
		if args[i-1] == "peer" {
			return fmt.Sprint(args[i])
		}
	}
	return ""
}

// usual is what raft warns of though all is well: a server that has just been started has no log and no peers yet.
var usual = map[string]bool{
	"no known peers, aborting election":                        true,
	"failed to get previous log":                               true,
	"appendEntries rejected, sending older logs":               true,
	"unable to get address for server, using fallback address": true,
}

func newRaftLog(to *slog.Logger) hclog.Logger {
	to = to.With("component", "raft")
	return &raftLog{to: to, said: quietlog.New(to)}
}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelDebug
}

// Log implements hclog.Logger.
func (r *raftLog) Log(l hclog.Level, msg string, args ...any) {
	to := level(l)
	if usual[msg] {
		to = slog.LevelDebug
	}
	if !r.to.Enabled(context.Background(), to) {
		return
	}
	if to >= slog.LevelWarn {
		since, yes := r.said.Due(quietlog.Key{Subject: subject(args), Reason: msg})
		if !yes {
			return
		}
		if since > 0 {
			args = append(args[:len(args):len(args)], "times_since", since)
		}
	}
	for i := 1; i < len(args); i += 2 {
		switch v := args[i].(type) {
		case hclog.Format:
			if len(v) > 0 {
				args[i] = fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
			}
		case fmt.Stringer:
			args[i] = v.String() // as JSON it would show its fields, or none
		}
	}
	r.to.Log(context.Background(), to, msg, args...)
}

// Trace implements hclog.Logger.
func (r *raftLog) Trace(msg string, args ...any) { r.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (r *raftLog) Debug(msg string, args ...any) { r.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (r *raftLog) Info(msg string, args ...any) { r.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (r *raftLog) Warn(msg string, args ...any) { r.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (r *raftLog) Error(msg string, args ...any) { r.Log(hclog.Error, msg, args...) }

func (r *raftLog) is(l hclog.Level) bool { return r.to.Enabled(context.Background(), level(l)) }

// IsTrace implements hclog.Logger.
func (r *raftLog) IsTrace() bool { return r.is(hclog.Trace) }

// IsDebug implements hclog.Logger.
func (r *raftLog) IsDebug() bool { return r.is(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (r *raftLog) IsInfo() bool { return r.is(hclog.Info) }

// IsWarn implements hclog.Logger.
func (r *raftLog) IsWarn() bool { return r.is(hclog.Warn) }

// IsError implements hclog.Logger.
func (r *raftLog) IsError() bool { return r.is(hclog.Error) }

// ImpliedArgs implements hclog.Logger.
func (r *raftLog) ImpliedArgs() []any { return r.args }

// With implements hclog.Logger.
func (r *raftLog) With(args ...any) hclog.Logger {
	return &raftLog{r.to.With(args...), r.name, append(r.args[:len(r.args):len(r.args)], args...), r.said}
}

// Name implements hclog.Logger.
func (r *raftLog) Name() string { return r.name }

// Named implements hclog.Logger.
func (r *raftLog) Named(name string) hclog.Logger { return r.ResetNamed(name) }

// ResetNamed implements hclog.Logger.
func (r *raftLog) ResetNamed(name string) hclog.Logger {
	return &raftLog{r.to.With("part", name), name, r.args, r.said}
}

// SetLevel implements hclog.Logger. The level is the agent's.
func (r *raftLog) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (r *raftLog) GetLevel() hclog.Level {
	if r.is(hclog.Debug) {
		return hclog.Debug
	}
	return hclog.Warn
}

// StandardLogger implements hclog.Logger.
func (r *raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(r.to.Handler(), slog.LevelDebug)
}

// StandardWriter implements hclog.Logger.
func (r *raftLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return r.StandardLogger(o).Writer()
}
