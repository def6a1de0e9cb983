package http

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// Monitor follows the agent's log: it calls write with each line, which ends in a newline, of the level or above, as text or
// JSON, until ctx ends or write fails.
type Monitor func(ctx context.Context, level slog.Level, asJSON bool, write func(line []byte) error) error

// agentMonitor streams the log until the client goes away.
func agentMonitor(r *request) (any, error) {
	level, err := logLevel(r.param("loglevel"))
	if err != nil {
		return nil, err
	}
	if err := r.need("agent", r.s.opts.Node, api.Read); err != nil {
		return nil, err
	}
	if r.s.opts.Monitor == nil {
		return nil, api.Errorf(http.StatusNotFound, "this agent does not serve its log")
	}
	ctx, stop := r.s.untilClose(r.Context())
	defer stop()
	rc := http.NewResponseController(r.w)
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.WriteHeader(http.StatusOK)
	_ = rc.Flush()
	_ = r.s.opts.Monitor(ctx, level, r.flag("logjson"), func(line []byte) error {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime(len(line))))
		if _, err := r.w.Write(line); err != nil {
			return err
		}
		return rc.Flush()
	})
	return answered, nil
}

func logLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "":
		return slog.LevelInfo, nil
	case "trace":
		return slog.LevelDebug, nil
	case "err":
		return slog.LevelError, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, api.Errorf(http.StatusBadRequest, "Unknown log level: %s", text)
	}
	return level, nil
}
