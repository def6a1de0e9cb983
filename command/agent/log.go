package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/logfile"
)

// monitorQueue is how many lines wait for one who follows the log. More are left out, and it is told how many.
const monitorQueue = 512

// logs is the agent's log: written to one place, and followed by those who ask the API for it.
type logs struct {
	level slog.LevelVar
	base  slog.Handler
	file  *logfile.File // nil: there is none
	close []func() error

	mu        sync.Mutex // guards what follows
	followers map[*follower]struct{}
}

// follower is one who follows the log.
type follower struct {
	level  slog.Level
	asJSON bool
	lines  chan []byte
	missed int // guarded by logs.mu
}

// openLogs returns the log as the configuration wants it: on w, and where else it says. It is closed in the end.
func openLogs(w io.Writer, c *config.Config) (*logs, error) {
	level, err := config.ParseLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	l := &logs{followers: map[*follower]struct{}{}}
	l.level.Set(level)
	handlers := []slog.Handler{textOrJSON(w, c.LogJSON, &l.level)}
	if c.LogFile != "" {
		l.file, err = logfile.Open(logfile.Options{
			Path: c.LogFile, MaxBytes: c.LogRotateBytes, MaxAge: c.LogRotateDuration, MaxFiles: c.LogRotateMaxFiles,
		})
		if err != nil {
			return nil, err
		}
		l.close = append(l.close, l.file.Close)
		handlers = append(handlers, textOrJSON(l.file, c.LogJSON, &l.level))
	}
	if c.EnableSyslog {
		h, done, err := openSyslog(c, &l.level)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.close = append(l.close, done)
		handlers = append(handlers, h)
	}
	l.base = handlers[0]
	if len(handlers) > 1 {
		l.base = slog.NewMultiHandler(handlers...)
	}
	return l, nil
}

// Close closes what the log has opened.
func (l *logs) Close() error {
	var errs []error
	for _, f := range l.close {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// reopen takes up the log's file by its name again, which somebody else may have put aside.
func (l *logs) reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Reopen()
}

func textOrJSON(w io.Writer, asJSON bool, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if asJSON {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// logger returns the logger that everything in the process writes to.
func (l *logs) logger() *slog.Logger { return slog.New(&logHandler{logs: l, base: l.base}) }

// setLevel changes what is written from now on.
func (l *logs) setLevel(c *config.Config) error {
	level, err := config.ParseLevel(c.LogLevel)
	if err == nil {
		l.level.Set(level)
	}
	return err
}

// Follow calls write with each line of the level or above until ctx ends or write fails.
func (l *logs) Follow(ctx context.Context, level slog.Level, asJSON bool, write func(line []byte) error) error {
	f := &follower{level: level, asJSON: asJSON, lines: make(chan []byte, monitorQueue)}
	l.mu.Lock()
	l.followers[f] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.followers, f)
		l.mu.Unlock()
	}()
	for {
		select {
		case line := <-f.lines:
			if err := write(line); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// wanted returns those who follow a level.
func (l *logs) wanted(level slog.Level) []*follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*follower
	for f := range l.followers {
		if level >= f.level {
			out = append(out, f)
		}
	}
	return out
}

// logHandler writes to the base and to all followers. What With has added is kept as steps, to be taken for each of them.
type logHandler struct {
	logs  *logs
	base  slog.Handler
	steps []func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.base.Enabled(ctx, level) || len(h.logs.wanted(level)) > 0
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	for _, f := range h.logs.wanted(r.Level) {
		var line bytes.Buffer
		to := textOrJSON(&line, f.asJSON, f.level)
		for _, step := range h.steps {
			to = step(to)
		}
		if err := to.Handle(ctx, r.Clone()); err == nil {
			h.logs.hand(f, line.Bytes())
		}
	}
	if !h.base.Enabled(ctx, r.Level) {
		return nil
	}
	return h.base.Handle(ctx, r)
}

// hand gives a line to a follower, or counts it as missed when that is too slow.
func (l *logs) hand(f *follower, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.missed > 0 {
		var note bytes.Buffer
		slog.New(textOrJSON(&note, f.asJSON, f.level)).Error("lines were left out for a slow reader", "lines", f.missed)
		select {
		case f.lines <- note.Bytes():
			f.missed = 0
		default:
		}
	}
	select {
	case f.lines <- line:
	default:
		f.missed++
	}
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *logHandler) with(step func(slog.Handler) slog.Handler) slog.Handler {
	steps := append(h.steps[:len(h.steps):len(h.steps)], step)
	return &logHandler{logs: h.logs, base: step(h.base), steps: steps}
}
