package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"log/syslog"
	"strings"

	"github.com/parleymesh/parley/agent/config"
)

// syslogHandler writes to syslog, which adds time and severity itself.
type syslogHandler struct {
	to    *syslog.Writer
	level slog.Leveler
	steps []func(slog.Handler) slog.Handler
}

// openSyslog returns what writes to this host's syslog, and how to close it.
func openSyslog(c *config.Config, level slog.Leveler) (slog.Handler, func() error, error) {
	facility := syslog.Priority(config.Facilities[strings.ToUpper(c.SyslogFacility)] << 3)
	w, err := syslog.New(facility|syslog.LOG_INFO, "parley")
	if err != nil {
		return nil, nil, fmt.Errorf("enable_syslog: this host's syslog cannot be reached (%w); start it, or remove the setting", err)
	}
	return &syslogHandler{to: w, level: level}, w.Close, nil
}

// Enabled implements slog.Handler.
func (h *syslogHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	var line bytes.Buffer
	var to slog.Handler = slog.NewTextHandler(&line, &slog.HandlerOptions{Level: h.level, ReplaceAttr: untimed})
	for _, step := range h.steps {
		to = step(to)
	}
	if err := to.Handle(ctx, r); err != nil {
		return err
	}
	switch {
	case r.Level >= slog.LevelError:
		return h.to.Err(line.String())
	case r.Level >= slog.LevelWarn:
		return h.to.Warning(line.String())
	case r.Level >= slog.LevelInfo:
		return h.to.Info(line.String())
	}
	return h.to.Debug(line.String())
}

// untimed leaves out what syslog says itself.
func untimed(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *syslogHandler) with(step func(slog.Handler) slog.Handler) slog.Handler {
	return &syslogHandler{to: h.to, level: h.level, steps: append(h.steps[:len(h.steps):len(h.steps)], step)}
}
