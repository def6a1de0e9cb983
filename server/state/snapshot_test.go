package state

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/parleymesh/parley/api"
)

// filled is a store with a few rows of several tables, as of index 5.
func filled(t testing.TB) *Store {
	t.Helper()
	s := New()
	tx := s.Write()
	for i := range 3 {
		tx.At(api.Tenant{}, uint64(i+3))
		PutKey(tx, api.KVPair{Key: fmt.Sprint("k", i), Value: []byte("v")})
		PutNode(tx, api.Node{Node: fmt.Sprint("n", i), Address: "10.0.0.1"})
		Remember(tx, Remembered{ID: fmt.Sprint(i), Index: uint64(i + 3)})
	}
	tx.Commit()
	return s
}

func dumped(t testing.TB, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Read().Dump(&b, s.Last()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// indexOf is the index that a reader of a key is told.
func indexOf(s *Store, key string) uint64 {
	tx, _ := s.Watch()
	Key(tx, key)
	_, index := tx.Seen()
	return index
}

func TestRebase(t *testing.T) {
	s, last, err := Load(bytes.NewReader(dumped(t, filled(t))))
	if err != nil || last != 5 || s.Last() != 5 || indexOf(s, "k1") != 4 {
		t.Fatalf("index %d, %d, %d, %v", last, s.Last(), indexOf(s, "k1"), err)
	}
	s.Rebase(100)
	// It outlives being saved.
	s, last, err = Load(bytes.NewReader(dumped(t, s)))
	if err != nil || last != 100 || s.Last() != 100 {
		t.Fatal(last, err)
	}
	for _, key := range []string{"k1", "never"} {
		if got := indexOf(s, key); got != 100 {
			t.Errorf("%s: index %d", key, got)
		}
	}
	tx, _ := s.Watch()
	for range Nodes(tx) {
	}
	if _, index := tx.Seen(); index != 100 {
		t.Errorf("nodes: index %d", index)
	}
	if p := Key(s.Read(), "k1"); p.ModifyIndex != 4 {
		t.Errorf("%+v", p)
	}
	w := s.Write()
	w.At(api.Tenant{}, 101)
	PutKey(w, api.KVPair{Key: "k1"})
	w.Commit()
	if indexOf(s, "k1") != 101 || indexOf(s, "k2") != 100 {
		t.Errorf("%d and %d", indexOf(s, "k1"), indexOf(s, "k2"))
	}
}

func TestInspect(t *testing.T) {
	seen := map[string]int{}
	err := Inspect(bytes.NewReader(dumped(t, filled(t))), func(r Row) error {
		seen[r.Table]++
		_, err := r.Value()
		return err
	})
	if err != nil || seen["kv"] != 3 || seen["nodes"] != 3 || seen["results"] != 3 {
		t.Error(seen, err)
	}
}

func FuzzLoad(f *testing.F) {
	good := dumped(f, filled(f))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		inspected := Inspect(bytes.NewReader(data), func(Row) error { return nil })
		s, index, err := Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		if inspected != nil {
			t.Fatalf("loaded, but %v", inspected)
		}
		var b bytes.Buffer
		if err := s.Read().Dump(&b, index); err != nil {
			t.Fatal(err)
		}
		if _, again, err := Load(io.Reader(&b)); err != nil || again != index {
			t.Fatal(again, err)
		}
	})
}
