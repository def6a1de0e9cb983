package kv

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func names(t *testing.T, s *nounstore.Store, q verb.Query) string {
	t.Helper()
	rows, _, _ := s.Ask(t, q)
	var names []string
	for _, r := range rows {
		switch v := r.Value.(type) {
		case *string:
			names = append(names, *v)
		case *api.KVPair:
			names = append(names, v.Key)
		}
		if !slices.ContainsFunc(r.Needs, func(p api.Permission) bool { return p.Resource == "key" && p.Access == api.Read }) {
			t.Errorf("row %q is shown to everybody", r.Key)
		}
	}
	return strings.Join(names, " ")
}

func ptr(n uint64) *uint64 { return &n }

func TestKeys(t *testing.T) {
	s := nounstore.New()
	for _, key := range []string{"a", "dir/x", "dir/y", "dir/sub/z", "dir2", "/lead", "Case", "case"} {
		nounstore.Do[bool](t, s, Put{Key: key, Value: []byte(key)})
	}
	for _, c := range []struct {
		q    verb.Query
		want string
	}{
		{Get{"a"}, "a"},
		{Get{"dir"}, ""},
		{Get{"/lead"}, "/lead"},
		{Get{"lead"}, ""},
		{List{"dir"}, "dir/sub/z dir/x dir/y dir2"},
		{List{"dir/"}, "dir/sub/z dir/x dir/y"},
		{List{"nothing"}, ""},
		{List{}, "/lead Case a case dir/sub/z dir/x dir/y dir2"},
		{Keys{Prefix: "dir/"}, "dir/sub/z dir/x dir/y"},
		{Keys{Prefix: "dir", Separator: "/"}, "dir/ dir2"},
		{Keys{Prefix: "dir/", Separator: "/"}, "dir/sub/ dir/x dir/y"},
		{Keys{Separator: "/"}, "/ Case a case dir/ dir2"},
		{Keys{Separator: "sub"}, "/lead Case a case dir/sub dir/x dir/y dir2"},
	} {
		if got := names(t, s, c.q); got != c.want {
			t.Errorf("%#v: got %q, want %q", c.q, got, c.want)
		}
	}
	if got := nounstore.Do[bool](t, s, Delete{Key: "dir/", Recurse: true}); got != true {
		t.Errorf("delete below dir/: %v", got)
	}
	if got, want := names(t, s, List{}), "/lead Case a case dir2"; got != want {
		t.Errorf("after deleting dir/: got %q, want %q", got, want)
	}
	nounstore.Do[bool](t, s, Delete{Recurse: true})
	if got := names(t, s, List{}); got != "" {
		t.Errorf("after deleting all: got %q", got)
	}
}

func TestCheckAndSet(t *testing.T) {
	s := nounstore.New()
	for _, step := range []struct {
		does string
		c    verb.Command
		want bool
	}{
		{"create, at 10", Put{Key: "c", Value: []byte("first"), CAS: ptr(0)}, true},
		{"it is there already", Put{Key: "c", Value: []byte("second"), CAS: ptr(0)}, false},
		{"change, at 12", Put{Key: "c", Value: []byte("third"), CAS: ptr(10)}, true},
		{"no longer that index", Put{Key: "c", Value: []byte("fourth"), CAS: ptr(10)}, false},
		{"the same value, no new index", Put{Key: "c", Value: []byte("third")}, true},
		{"absent, with an index", Put{Key: "d", Value: []byte("v"), CAS: ptr(99)}, false},
		{"delete with an old index", Delete{Key: "c", CAS: ptr(10)}, false},
		{"delete with 0", Delete{Key: "c", CAS: ptr(0)}, false},
		{"delete", Delete{Key: "c", CAS: ptr(12)}, true},
		{"it is gone", Delete{Key: "c", CAS: ptr(12)}, true},
		{"again", Delete{Key: "c"}, true},
		{"create anew", Put{Key: "c", Value: []byte("again"), CAS: ptr(0)}, true},
	} {
		if got := nounstore.Do[bool](t, s, step.c); got != step.want {
			t.Errorf("%s: got %v", step.does, got)
		}
	}
	rows, _, _ := s.Ask(t, Get{"c"})
	if p := rows[0].Value.(*api.KVPair); p.CreateIndex != s.Index || p.ModifyIndex != s.Index || string(p.Value) != "again" {
		t.Errorf("got %+v", p)
	}
}

// TestPutKeepsTheLock writes a locked key: it stays locked, but how often it was locked is counted anew, as in the public API.
func TestPutKeepsTheLock(t *testing.T) {
	s := nounstore.New()
	tx := s.State.Write()
	tx.At(api.Tenant{}, 5)
	state.PutKey(tx, api.KVPair{Key: "k", Value: []byte("v"), LockIndex: 3, Session: "s"})
	tx.Commit()
	nounstore.Do[bool](t, s, Put{Key: "k", Value: []byte("w"), Flags: 1<<64 - 1})
	rows, _, _ := s.Ask(t, Get{"k"})
	want := api.KVPair{Key: "k", Value: []byte("w"), Flags: 1<<64 - 1, Session: "s", CreateIndex: 5, ModifyIndex: 10}
	if p := *rows[0].Value.(*api.KVPair); !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestEmptyValueIsNull(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[bool](t, s, Put{Key: "empty", Value: []byte{}})
	rows, _, _ := s.Ask(t, Get{"empty"})
	data, err := rows[0].JSON()
	if err != nil || !bytes.Contains(data, []byte(`"Value":null`)) {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		v    interface{ Validate() error }
		want string
	}{
		{Put{}, "Missing key name"},
		{Get{}, "Missing key name"},
		{Delete{}, "Missing key name"},
		{Put{Key: strings.Repeat("k", maxKey+1)}, "at most 4096"},
		{Delete{Key: "a", Recurse: true, CAS: ptr(1)}, "cas and recurse"},
	} {
		var e *api.Error
		if err := c.v.Validate(); !errors.As(err, &e) || e.Status != 400 || !strings.Contains(e.Message, c.want) {
			t.Errorf("%#v: got %v, want %q", c.v, err, c.want)
		}
	}
}

// TestIndexNeverGoesBack follows the index of a key and of a prefix through puts and deletes.
func TestIndexNeverGoesBack(t *testing.T) {
	s := nounstore.New()
	if _, index, _ := s.Ask(t, Get{"d/k"}); index != 1 {
		t.Errorf("index of what never was: %d", index)
	}
	queries := []verb.Query{Get{"d/k"}, List{"d/"}, Keys{Prefix: "d"}}
	last := make([]uint64, len(queries))
	for i, c := range []verb.Command{
		Put{Key: "d/k", Value: []byte("1")}, Put{Key: "d/l"}, Put{Key: "d/k", Value: []byte("2")}, Delete{Key: "d/l"},
		Delete{Key: "d/k"}, Put{Key: "e"}, Put{Key: "d/k"}, Delete{Recurse: true}, Put{Key: "z"},
	} {
		nounstore.Do[bool](t, s, c)
		for n, q := range queries {
			_, index, _ := s.Ask(t, q)
			if index < last[n] {
				t.Errorf("step %d: index of %#v went from %d to %d", i, q, last[n], index)
			}
			last[n] = index
			if _, reloaded, _ := s.Reloaded(t).Ask(t, q); reloaded != index {
				t.Errorf("step %d: index of %#v is %d, but %d after a snapshot", i, q, index, reloaded)
			}
		}
	}
	if last[0] != 18 {
		t.Errorf("the index of the deleted key is %d, want that of the last change of any key, 18", last[0])
	}
	if last[1] != 17 {
		t.Errorf("the index of the empty folder is %d, want that of the last deletion in it, 17", last[1])
	}
}

// TestWakes tells whom a change wakes.
func TestWakes(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[bool](t, s, Put{Key: "a/b/c", Value: []byte("1")})
	nounstore.Do[bool](t, s, Put{Key: "x"})
	for _, c := range []struct {
		does  string
		c     verb.Command
		wakes []verb.Query
		not   []verb.Query
	}{
		{"change", Put{Key: "a/b/c", Value: []byte("2")},
			[]verb.Query{Get{"a/b/c"}, List{"a/"}, List{"a/b/c"}, List{"a"}, List{}, Keys{}, Keys{Prefix: "a/b/"}},
			[]verb.Query{Get{"a/b"}, Get{"x"}, List{"b/"}, List{"a/c/"}, List{"a/b/c/"}}},
		{"the same again", Put{Key: "a/b/c", Value: []byte("2")}, nil, []verb.Query{Get{"a/b/c"}, List{}, Keys{}}},
		{"refused by CAS", Put{Key: "a/b/c", CAS: ptr(1)}, nil, []verb.Query{Get{"a/b/c"}, List{}, Keys{}}},
		{"create", Put{Key: "a/new"}, []verb.Query{Get{"a/new"}, List{"a/"}}, []verb.Query{Get{"a/b/c"}, List{"a/b/"}}},
		{"delete below a/b", Delete{Key: "a/b", Recurse: true}, []verb.Query{Get{"a/b/c"}, List{"a/b/"}}, []verb.Query{Get{"a/new"}, Get{"x"}}},
		{"delete nothing", Delete{Key: "a/b/c"}, nil, []verb.Query{Get{"a/b/c"}, List{}}},
	} {
		for i, woken := range s.Wakes(t, c.c, append(slices.Clone(c.wakes), c.not...)...) {
			switch {
			case i < len(c.wakes) && !woken:
				t.Errorf("%s: %#v sleeps on", c.does, c.wakes[i])
			case i >= len(c.wakes) && woken:
				t.Errorf("%s: %#v is woken for nothing", c.does, c.not[i-len(c.wakes)])
			}
		}
	}
}

// TestSnapshot writes the state out and reads it back.
func TestSnapshot(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[bool](t, s, Put{Key: "a/b", Value: []byte{0, 1, 255}, Flags: 7})
	nounstore.Do[bool](t, s, Put{Key: "empty"})
	nounstore.Do[bool](t, s, Put{Key: "gone"})
	nounstore.Do[bool](t, s, Delete{Key: "gone"})
	nounstore.Same(t, s, s.Reloaded(t), Get{"a/b"}, Get{"empty"}, Get{"gone"}, List{}, List{"a/"})
}

// FuzzKeys compares the cutting at a separator with a naive one.
func FuzzKeys(f *testing.F) {
	f.Add("a/b a/c b", "a", "/")
	f.Add("ab ac b", "", "b")
	f.Fuzz(func(t *testing.T, keys, prefix, separator string) {
		s := nounstore.New()
		want := map[string]bool{}
		for _, key := range strings.Fields(keys) {
			if len(key) > maxKey || !utf8.ValidString(key) { // JSON, in which rows travel, has no other text
				return
			}
			nounstore.Do[bool](t, s, Put{Key: key})
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				if head, _, found := strings.Cut(rest, separator); found && separator != "" {
					key = prefix + head + separator
				}
				want[key] = true
			}
		}
		rows, _, _ := s.Ask(t, Keys{prefix, separator})
		if len(rows) != len(want) {
			t.Fatalf("%d rows, want %v", len(rows), want)
		}
		for _, r := range rows {
			if !want[*r.Value.(*string)] {
				t.Errorf("%q is no answer", *r.Value.(*string))
			}
		}
	})
}
