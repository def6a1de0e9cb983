package agent

import (
	"log/slog"
	"log/syslog"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestSyslog reads what arrives at a syslog's socket.
func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w, err := syslog.Dial("unixgram", path, syslog.LOG_LOCAL3|syslog.LOG_INFO, "parley")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	log := slog.New(&syslogHandler{to: w, level: slog.LevelInfo}).With("component", "http")
	log.Debug("not at this level")
	log.Warn("request refused", "source", "192.0.2.1")
	log.WithGroup("g").Error("broken", "err", "no disk")
	for _, want := range []string{ // local3 is 19<<3; 4 warns, 3 is an error
		`^<156>.* parley\[\d+\]: msg="request refused" component=http source=192.0.2.1\n$`,
		`^<155>.* parley\[\d+\]: msg=broken component=http g.err="no disk"\n$`,
	} {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 1024)
		n, err := conn.Read(b)
		if err != nil || !regexp.MustCompile(want).Match(b[:n]) {
			t.Errorf("%q, %v: want %s", b[:n], err, want)
		}
	}
}
