// Package quietlog is a log for what happens a thousand times when it happens once: it says the same about the same subject
// once a minute, and with the next line how often it went without saying. What is logged, and at which level, is left to
// those who use it.
package quietlog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// again is how long the same goes without saying.
	again = time.Minute
	// maxSubjects bounds what is told apart. Those beyond share one line a minute, so that a flood from many sources fills no disk.
	maxSubjects = 1024
)

// Log says the same about the same subject once a minute. It may be used by many at a time.
type Log struct {
	to   *slog.Logger
	mu   sync.Mutex // guards what follows
	said map[Key]*saying
}

// Key tells what is said from what else is said.
type Key struct {
	Subject string // whom it is about, such as an address
	Reason  string // what about it
}

type saying struct {
	at     time.Time
	unsaid int
}

// New returns a log that writes to another.
func New(to *slog.Logger) *Log { return &Log{to: to, said: map[Key]*saying{}} }

// Say logs a message, unless the same key had one within the minute.
func (l *Log) Say(level slog.Level, key Key, msg string, args ...any) {
	since, yes := l.Due(key)
	if !yes {
		return
	}
	if since > 0 {
		args = append(args[:len(args):len(args)], "times_since", since)
	}
	l.to.Log(context.Background(), level, msg, args...)
}

// Due reports whether it is time to say it, for those who log it themselves, and how often it went without saying since the
// last time.
func (l *Log) Due(key Key) (since int, yes bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.said[key]
	if s == nil {
		if key, s = l.room(key, now); s == nil {
			s = &saying{}
			l.said[key] = s
		}
	}
	if !s.at.IsZero() && now.Sub(s.at) < again {
		s.unsaid++
		return 0, false
	}
	since = s.unsaid
	s.at, s.unsaid = now, 0
	return since, true
}

// room finds a place for a new key: its own, or where there is none the one that all others share. It is called with mu held.
func (l *Log) room(key Key, now time.Time) (Key, *saying) {
	if len(l.said) < maxSubjects {
		return key, nil
	}
	for k, s := range l.said {
		if now.Sub(s.at) >= again {
			delete(l.said, k)
		}
	}
	if len(l.said) < maxSubjects {
		return key, nil
	}
	return Key{}, l.said[Key{}]
}
