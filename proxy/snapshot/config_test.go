package snapshot

import (
	"math"
	"testing"
	"time"
)

func TestConfigIsReadAsEveryFormatGivesIt(t *testing.T) {
	for _, v := range []any{250.0, 250, int64(250), uint64(250), uint32(250), "250"} {
		c := Config{"x": v}
		if n, ok := c.Number("x"); n != 250 || !ok {
			t.Errorf("%T: got %d, %t", v, n, ok)
		}
		if d, ok := c.Milliseconds("x"); d != 250*time.Millisecond || !ok {
			t.Errorf("%T: got %s, %t", v, d, ok)
		}
	}
	for _, v := range []any{nil, -1.0, -1, int64(-1), "", "x", "-1", true, []any{}} {
		if n, ok := (Config{"x": v}).Number("x"); ok {
			t.Errorf("%v is taken for %d", v, n)
		}
	}
	if d, ok := (Config{"x": uint64(math.MaxUint64)}).Milliseconds("x"); d <= 0 || !ok {
		t.Errorf("got %s, %t", d, ok)
	}
	if n, ok := (Config{"x": 1e15}).Uint32("x"); n != math.MaxUint32 || !ok {
		t.Errorf("got %d, %t", n, ok)
	}
	for text, want := range map[string]time.Duration{"10s": 10 * time.Second, "1h": time.Hour} {
		if d, ok := (Config{"x": text}).Duration("x"); d != want || !ok {
			t.Errorf("%s: got %s, %t", text, d, ok)
		}
	}
	if d, ok := (Config{"x": 1e9}).Duration("x"); d != time.Second || !ok {
		t.Errorf("got %s, %t", d, ok)
	}
	if _, ok := (Config{"x": "soon"}).Duration("x"); ok {
		t.Error("text that is no duration is taken for one")
	}
	inner := map[string]any{"y": 1}
	for _, v := range []any{inner, Config(inner), []any{inner}, []map[string]any{inner}} {
		if n, ok := (Config{"x": v}).Section("x").Number("y"); n != 1 || !ok {
			t.Errorf("%T: got %d, %t", v, n, ok)
		}
	}
	if len((Config{}).Section("x").Section("y")) != 0 {
		t.Error("a section that is not there holds something")
	}
}
