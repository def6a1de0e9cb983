package gossip

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// libraryLog is the logger that serf and memberlist want. What they say is for whoever looks for a fault in them; what an
// operator must know, we say ourselves. Read, where there is one, is called with what memberlist says.
func libraryLog(l *slog.Logger, read func(text string)) *log.Logger {
	return log.New(&libraryWriter{log: l, limit: newLimiter(), read: read}, "", 0)
}

type libraryWriter struct {
	log   *slog.Logger
	limit *limiter
	read  func(text string)
}

// Write takes one line.
func (w *libraryWriter) Write(line []byte) (int, error) {
	level, library, text := parseLine(string(line))
	w.log.Debug("library", "library", library, "severity", level, "text", text) // level is the log's own key
	if library == "memberlist" && w.read != nil {
		w.read(text)
	}
	if from, ok := wrongKey(text); ok && w.limit.allow(from) {
		w.log.Warn("a host sends what cannot be read, its encryption (encrypt) is not ours", "addr", from, "err", text)
	}
	return len(line), nil
}

// parseLine parts a line such as "[WARN] memberlist: text".
func parseLine(line string) (level, library, text string) {
	text = strings.TrimSpace(line)
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if l, after, ok := strings.Cut(rest, "]"); ok {
			level, text = l, strings.TrimSpace(after)
		}
	}
	for _, name := range []string{"serf", "memberlist"} {
		if rest, ok := strings.CutPrefix(text, name+": "); ok {
			return level, name, rest
		}
	}
	return level, "", text
}

// wrongKey recognises that a host encrypts otherwise than this one, and finds its address.
func wrongKey(text string) (from string, ok bool) {
	for _, sign := range []string{signWrongKey, signDecrypt, signOnlyTheirs, signOnlyOurs} {
		if strings.Contains(text, sign) {
			_, from, _ = strings.Cut(text, "from=")
			from, _, _ = strings.Cut(from, " ")
			return from, true
		}
	}
	return "", false
}

// limiter lets a message pass once in a while for each key, so that one bad host does not fill the log.
type limiter struct {
	mu   sync.Mutex // guards what follows
	last map[string]time.Time
}

const (
	limitEvery = 5 * time.Minute
	limitKeys  = 256
)

func newLimiter() *limiter { return &limiter{last: map[string]time.Time{}} }

func (l *limiter) allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if at, ok := l.last[key]; ok && now.Sub(at) < limitEvery {
		return false
	}
	if len(l.last) >= limitKeys {
		for k, at := range l.last {
			if now.Sub(at) >= limitEvery {
				delete(l.last, k)
			}
		}
		if len(l.last) >= limitKeys {
			return false
		}
	}
	l.last[key] = now
	return true
}
