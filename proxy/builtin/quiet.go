package builtin

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// again is how long the same thing goes without saying, and maxSaid how many things are told apart.
const (
	again   = time.Minute
	maxSaid = 1024
)

// quiet is a log that says the same thing about the same subject once a minute, with how often it has happened since: what
// goes wrong with one call goes wrong with thousands.
type quiet struct {
	log  *slog.Logger
	mu   sync.Mutex // guards what follows
	said map[[2]string]*saying
}

type saying struct {
	at     time.Time
	unsaid int
}

func newQuiet(log *slog.Logger) *quiet { return &quiet{log: log, said: map[[2]string]*saying{}} }

// say logs a message about a subject for a reason, which also tells it from others.
func (q *quiet) say(level slog.Level, msg, subject, reason string, args ...any) {
	q.mu.Lock()
	s := q.said[[2]string{subject, reason}]
	now := time.Now()
	if s != nil && now.Sub(s.at) < again {
		s.unsaid++
		q.mu.Unlock()
		return
	}
	if s == nil {
		if len(q.said) >= maxSaid {
			clear(q.said)
		}
		s = &saying{}
		q.said[[2]string{subject, reason}] = s
	}
	if s.unsaid > 0 {
		args = append(args, "times_since", s.unsaid)
	}
	s.at, s.unsaid = now, 0
	q.mu.Unlock()
	q.log.Log(context.Background(), level, msg, args...)
}
