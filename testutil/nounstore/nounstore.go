// Package nounstore carries out commands and queries on a store without Raft, for the tests of the noun packages. What it
// carries out takes the way that it takes in a cluster: commands are stamped and encoded as in the log, and rows are encoded and
// decoded as between servers.
package nounstore

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Store is a store whose commands are applied at indexes that count from First.
type Store struct {
	State *state.Store
	Index uint64 // of the last command

	ids int
}

// First is the index of the first command.
const First = 10

// New returns an empty store.
func New() *Store { return &Store{State: state.New(), Index: First - 1} }

// Clock is the time of the command at an index.
func Clock(index uint64) time.Time {
	return time.Date(2026, 1, 1, 0, 0, int(index), 123456789, time.UTC)
}

// ID is the nth identifier given out, from 1.
func ID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// Apply carries out a command. It returns what an HTTP handler would decode the result from, and the topics woken.
func (s *Store) Apply(t testing.TB, c verb.Command) (verb.Result, []state.Topic, error) {
	t.Helper()
	if err := c.Validate(); err != nil {
		return verb.Result{}, nil, err
	}
	read := s.State.Read()
	read.At(api.Tenant{}, 0)
	c.Needs(read)
	s.Index++
	if stamped, ok := logged(t, c).(verb.Stamped); ok {
		c = stamped.Stamp(verb.Stamp{Time: Clock(s.Index), NewID: func() string { s.ids++; return ID(s.ids) }})
	}
	tx := s.State.Write()
	tx.At(api.Tenant{}, s.Index)
	v, err := logged(t, c).Apply(tx)
	if err != nil {
		if tx.Wrote() {
			t.Errorf("%s failed after it had written: %v", c.CommandType(), err)
		}
		tx.Abort()
		return verb.Result{}, nil, err
	}
	raw, err := codec.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return verb.Result{Index: s.Index, Raw: raw}, tx.Commit(), nil
}

// logged returns a command as it comes out of the log.
func logged(t testing.TB, c verb.Command) verb.Command {
	t.Helper()
	data, err := codec.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	typ := reflect.TypeOf(c)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	out := reflect.New(typ)
	if err := codec.Decode(data, out.Interface()); err != nil {
		t.Fatal(err)
	}
	again, err := codec.Encode(out.Interface())
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s is not the same after the log: %v\n got %q\nwant %q", c.CommandType(), err, again, data)
	}
	return out.Interface().(verb.Command)
}

// Do carries out a command that must succeed, and returns its result.
func Do[T any](t testing.TB, s *Store, c verb.Command) T {
	t.Helper()
	r, _, err := s.Apply(t, c)
	if err != nil {
		t.Fatalf("%s %+v: %v", c.CommandType(), c, err)
	}
	var v T
	if err := r.Decode(&v); err != nil {
		t.Fatalf("%s: %v", c.CommandType(), err)
	}
	return v
}

// Ask carries out a query and returns the rows in order, the index, and the topics that it would be woken by.
func (s *Store) Ask(t testing.TB, q verb.Query) ([]*verb.Row, uint64, []state.Topic) {
	t.Helper()
	if err := q.Validate(); err != nil {
		t.Fatalf("%s %+v: %v", q.QueryType(), q, err)
	}
	tx, _ := s.State.Watch()
	tx.At(api.Tenant{}, 0)
	rows, err := q.Read(tx)
	if err != nil {
		t.Fatalf("%s %+v: %v", q.QueryType(), q, err)
	}
	slices.SortStableFunc(rows, func(a, b *verb.Row) int { return cmp.Compare(a.Key, b.Key) })
	for i, r := range rows {
		if i > 0 && rows[i-1].Key == r.Key {
			t.Errorf("%s %+v: two rows have the key %q", q.QueryType(), q, r.Key)
		}
		travels(t, q, r)
	}
	topics, index := tx.Seen()
	return rows, index, topics
}

// travels checks that a row's value is the same elsewhere.
func travels(t testing.TB, q verb.Query, r *verb.Row) {
	t.Helper()
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	remote := verb.RemoteRow(r.Key, r.Version, data)
	if err := remote.Decode(q.NewValue); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(remote.Value, r.Value) {
		t.Errorf("%s: a row is not the same elsewhere:\n got %#v\nwant %#v", q.QueryType(), remote.Value, r.Value)
	}
}

// Values carries out a query and returns the rows' values.
func Values[T any](t testing.TB, s *Store, q verb.Query) []T {
	t.Helper()
	rows, _, _ := s.Ask(t, q)
	return verb.Values[T](verb.Answer{Rows: rows})
}

// Wakes carries out a command that must succeed and tells for each query whether it is woken by it.
func (s *Store) Wakes(t testing.TB, c verb.Command, queries ...verb.Query) []bool {
	t.Helper()
	topics := make([][]state.Topic, len(queries))
	for i, q := range queries {
		_, _, topics[i] = s.Ask(t, q)
	}
	_, woken, err := s.Apply(t, c)
	if err != nil {
		t.Fatalf("%s %+v: %v", c.CommandType(), c, err)
	}
	out := make([]bool, len(queries))
	for i := range queries {
		out[i] = slices.ContainsFunc(topics[i], func(x state.Topic) bool { return slices.Contains(woken, x) })
	}
	return out
}

// Reloaded returns what a server has that is given this one's snapshot.
func (s *Store) Reloaded(t testing.TB) *Store {
	t.Helper()
	var b bytes.Buffer
	if err := s.State.Read().Dump(&b, s.Index); err != nil {
		t.Fatal(err)
	}
	loaded, index, err := state.Load(&b)
	if err != nil {
		t.Fatal(err)
	}
	return &Store{State: loaded, Index: index, ids: s.ids}
}

// Same checks that two stores answer the queries alike.
func Same(t testing.TB, a, b *Store, queries ...verb.Query) {
	t.Helper()
	for _, q := range queries {
		x, xi, _ := a.Ask(t, q)
		y, yi, _ := b.Ask(t, q)
		same := slices.EqualFunc(x, y, func(r, s *verb.Row) bool {
			return r.Key == s.Key && r.Version == s.Version && reflect.DeepEqual(r.Value, s.Value)
		})
		if !same || xi != yi {
			t.Errorf("%s %+v: got %v at %d, want %v at %d", q.QueryType(), q, y, yi, x, xi)
		}
	}
}
