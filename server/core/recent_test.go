package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// nodes reads all nodes.
type nodes struct{ Name string }

func (nodes) QueryType() string       { return "test.nodes" }
func (nodes) Validate() error         { return nil }
func (nodes) Needs() []api.Permission { return nil }
func (nodes) NewValue() any           { return new(api.Node) }
func (nodes) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for n := range state.Nodes(tx) {
		rows = append(rows, &verb.Row{Key: n.Node, Version: n.ModifyIndex, Value: n})
	}
	return rows, nil
}

// still is a core without raft: a store that tests write to.
type still struct {
	*Core
	t     *testing.T
	index uint64
}

func newStill(t *testing.T) *still {
	c := &Core{fsm: newFSM(Types{}, watch.NewTopics[state.Topic](), nil)}
	t.Cleanup(c.recent.close)
	return &still{Core: c, t: t}
}

func (s *still) write(do func(tx *state.Tx)) {
	s.index++
	tx := s.Store().Write()
	tx.At(api.Tenant{}, s.index)
	do(tx)
	tx.Commit()
}

func (s *still) node(name, address string) {
	s.write(func(tx *state.Tx) { state.PutNode(tx, api.Node{Node: name, Address: address}) })
}

func (s *still) rows(q verb.Query) watch.State[*verb.Row] {
	s.t.Helper()
	e, err := s.wrap(verb.Options{}, q)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := s.read(e, q)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// kept returns how many lists are kept, and their rows.
func (s *still) kept() (lists, rows int) {
	s.recent.mu.Lock()
	defer s.recent.mu.Unlock()
	return len(s.recent.lists), s.recent.rows
}

func TestListReadAgainHasTheSameRows(t *testing.T) {
	s := newStill(t)
	for i := range 10 {
		s.node(fmt.Sprint("n", i), "10.0.0.1")
	}
	first := s.rows(nodes{})
	s.write(func(tx *state.Tx) { state.PutKey(tx, api.KVPair{Key: "k"}) })
	if again := s.rows(nodes{}); !slices.Equal(first.Rows, again.Rows) || again.Index != first.Index {
		t.Error("a change of something else had the rows read anew")
	}
	s.node("n3", "10.0.0.2")
	changed := s.rows(nodes{})
	if changed.Index != s.index || changed.Rows[3].Value.(*api.Node).Address != "10.0.0.2" {
		t.Errorf("after the change of n3 at %d the answer is of %d, with %+v", s.index, changed.Index, changed.Rows[3].Value)
	}
	for i, row := range changed.Rows {
		if (row == first.Rows[i]) != (i != 3) {
			t.Errorf("row %s: only the one that has changed is to be another", row.Key)
		}
	}
}

// Whatever is read is what a read that keeps nothing finds.
func TestListReadAgainIsNeverOld(t *testing.T) {
	s := newStill(t)
	for range 2000 {
		name := fmt.Sprint("n", rand.N(20))
		switch rand.N(6) {
		case 0:
			s.write(func(tx *state.Tx) { state.DeleteNode(tx, name) })
		case 1:
			s.node(name, fmt.Sprint("10.0.0.", rand.N(3)))
		case 2:
			s.write(func(tx *state.Tx) { state.PutKey(tx, api.KVPair{Key: name}) })
		default:
			tx, _ := s.Store().Watch()
			want, err := nodes{}.Read(tx)
			if err != nil {
				t.Fatal(err)
			}
			got := s.rows(nodes{})
			if _, index := tx.Seen(); got.Index != index {
				t.Fatalf("the answer is of %d instead of %d", got.Index, index)
			}
			if !slices.EqualFunc(got.Rows, want, func(a, b *verb.Row) bool { return a.Key == b.Key && a.Value == b.Value }) {
				t.Fatalf("%d rows instead of %d, or others", len(got.Rows), len(want))
			}
		}
	}
}

func TestRestoredStoreIsReadAnew(t *testing.T) {
	s := newStill(t)
	for i := range 10 {
		s.node(fmt.Sprint("n", i), "10.0.0.1")
	}
	s.rows(nodes{})
	s.fsm.store.Store(state.New())
	if got := s.rows(nodes{}); len(got.Rows) != 0 {
		t.Errorf("%d rows of the store that was replaced", len(got.Rows))
	}
}

// The last change of a key stands beside it and not where lists look.
func TestKeysAreReadAnew(t *testing.T) {
	s := newStill(t)
	for i := range 10 {
		s.write(func(tx *state.Tx) { state.PutKey(tx, api.KVPair{Key: fmt.Sprint("k", i)}) })
		if got := s.rows(list{Prefix: "k"}); len(got.Rows) != i+1 {
			t.Fatalf("%d keys of %d", len(got.Rows), i+1)
		}
	}
	if lists, _ := s.kept(); lists != 0 {
		t.Error("values are kept")
	}
}

func TestListsThatNobodyReadsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		for i := range 10 {
			s.node(fmt.Sprint("n", i), "10.0.0.1")
		}
		s.rows(nodes{})
		for range 4 {
			time.Sleep(recentTime - time.Second)
			s.rows(nodes{})
		}
		if lists, rows := s.kept(); lists != 1 || rows != 10 {
			t.Errorf("%d lists with %d rows are kept", lists, rows)
		}
		time.Sleep(2*recentTime + time.Second)
		if lists, rows := s.kept(); lists != 0 || rows != 0 {
			t.Errorf("%d lists with %d rows are kept that nobody reads", lists, rows)
		}
	})
}

func TestListsThatAreKeptAreBounded(t *testing.T) {
	s := newStill(t)
	for i := range recentRows / 10 {
		s.node(fmt.Sprint("n", i), "10.0.0.1")
	}
	for i := range 100 {
		s.rows(nodes{Name: fmt.Sprint(i)})
		if lists, rows := s.kept(); rows > recentRows || rows != lists*(recentRows/10) {
			t.Fatalf("%d lists with %d rows are kept", lists, rows)
		}
	}
	s.write(func(tx *state.Tx) {
		for i := range recentRows {
			state.PutNode(tx, api.Node{Node: fmt.Sprint("more", i), Address: "10.0.0.1"})
		}
	})
	s.rows(nodes{Name: "all"})
	if _, rows := s.kept(); rows > recentRows {
		t.Error("a list above the bound is kept")
	}
}
