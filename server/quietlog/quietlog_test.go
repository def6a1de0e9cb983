package quietlog

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSaysTheSameOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(slog.New(slog.NewTextHandler(&out, nil)))
		refuse := func(source string) {
			l.Say(slog.LevelWarn, Key{source, "too many"}, "connection refused", "source", source)
		}
		for range 5 {
			refuse("192.0.2.1")
		}
		refuse("192.0.2.2")
		l.Say(slog.LevelWarn, Key{"192.0.2.1", "slow"}, "connection closed")
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Fatalf("%d lines, want one for each source and reason:\n%s", n, &out)
		}
		out.Reset()
		time.Sleep(again)
		refuse("192.0.2.1")
		refuse("192.0.2.2")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.HasSuffix(lines[0], "source=192.0.2.1 times_since=4") || !strings.HasSuffix(lines[1], "source=192.0.2.2") {
			t.Errorf("after a minute it said:\n%s", &out)
		}
	})
}

// TestFlood has more sources than are told apart: the log stays bounded, and so does what is remembered.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := 0
		l := New(slog.New(slog.DiscardHandler))
		for i := range 10 * maxSubjects {
			if _, yes := l.Due(Key{Subject: strconv.Itoa(i)}); yes {
				lines++
			}
		}
		if lines != maxSubjects+1 || len(l.said) != maxSubjects+1 {
			t.Errorf("%d lines in a minute, and %d sources remembered; want %d", lines, len(l.said), maxSubjects+1)
		}
		time.Sleep(again)
		if _, yes := l.Due(Key{Subject: "new"}); !yes || len(l.said) != 1 {
			t.Errorf("a minute later a new source is said: %t, and %d are remembered", yes, len(l.said))
		}
	})
}
