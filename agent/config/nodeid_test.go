package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/agent/datadir"
)

func TestNodeID(t *testing.T) {
	dir, err := datadir.Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const configured = "11111111-2222-3333-4444-55555555555A"
	if id, err := NodeID(configured, dir); err != nil || id != strings.ToLower(configured) {
		t.Errorf("configured: %s, %v", id, err)
	}
	first, err := NodeID("", dir)
	if err != nil || !isUUID(first) {
		t.Fatalf("made: %s, %v", first, err)
	}
	if again, err := NodeID("", dir); err != nil || again != first {
		t.Errorf("kept: %s, %v, was %s", again, err, first)
	}
	a, errA := NodeID("", nil)
	b, errB := NodeID("", nil)
	if errA != nil || errB != nil || a == b {
		t.Errorf("development: %s, %s", a, b)
	}
	path := dir.Path(nodeIDFile)
	for _, text := range []string{"", first[:35], first + "0", strings.Repeat("x", 36)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NodeID("", dir); err == nil || !strings.Contains(err.Error(), path+" holds no node id") {
			t.Errorf("%q: %v", text, err)
		}
		if kept, _ := os.ReadFile(path); string(kept) != text {
			t.Errorf("%q was written over", text)
		}
	}
	if err := os.WriteFile(path, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := NodeID("", dir); err != nil || id != first {
		t.Errorf("with a newline: %s, %v", id, err)
	}
}
