package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLibraryLines sees to it that a key stands in a line only once: programs that read the log keep the last.
func TestLibraryLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	libraryLog(log, nil).Print("[INFO] serf: EventMemberJoin: a 192.0.2.1")
	if n := strings.Count(out.String(), "level="); n != 1 || !strings.Contains(out.String(), ` library=serf severity=INFO text="EventMemberJoin: a 192.0.2.1"`) {
		t.Errorf("got %s", &out)
	}
}
