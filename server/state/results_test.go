package state

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/parleymesh/parley/api"
)

// remembering is a store whose commands only have results.
type remembering struct {
	*Store
	index uint64
}

func id(n uint64) string { return fmt.Sprint("id-", n) }

// write remembers n results in one transaction.
func (s *remembering) write(n int, raw []byte) {
	tx := s.Write()
	for range n {
		s.index++
		tx.At(api.Tenant{}, s.index)
		Remember(tx, Remembered{ID: id(s.index), Index: s.index, Raw: raw})
	}
	tx.Commit()
}

// known tells whether the result of a command is remembered.
func (s *remembering) known(index uint64) bool {
	tx := s.Write()
	defer tx.Abort()
	r := Result(tx, id(index))
	return r != nil && r.Index == index
}

func TestTheLastResultsAreRemembered(t *testing.T) {
	s := &remembering{Store: New()}
	for s.index < 3*RememberedResults {
		s.write(60, []byte{1})
	}
	last := s.index
	for _, c := range []struct {
		index uint64
		want  bool
	}{{last, true}, {last - RememberedResults + 1, true}, {last - RememberedResults, false}, {1, false}, {last + 1, false}} {
		if s.known(c.index) != c.want {
			t.Errorf("result %d of %d is remembered: %t", c.index, last, !c.want)
		}
	}
	if n := len(s.results.byID); n != RememberedResults || s.results.bytes != n {
		t.Errorf("%d results of %d bytes", n, s.results.bytes)
	}
}

func TestLargeResultsAreBounded(t *testing.T) {
	s := &remembering{Store: New()}
	for range 100 {
		s.write(1, make([]byte, 1<<20))
	}
	if n := len(s.results.byID); n != rememberedBytes>>20 || !s.known(s.index) {
		t.Errorf("%d results of 1 MiB are remembered", n)
	}
	s.write(1, make([]byte, rememberedBytes+1))
	if n := len(s.results.byID); n != 1 || !s.known(s.index) {
		t.Errorf("%d results are remembered beside a very large one", n-1)
	}
}

func TestResultsGoWithTheirTransaction(t *testing.T) {
	s := New()
	tx := s.Write()
	Remember(tx, Remembered{ID: "a", Index: 1})
	if Result(tx, "a") == nil {
		t.Error("a transaction does not know what it has remembered itself")
	}
	tx.Abort()
	tx = s.Write()
	defer tx.Abort()
	if Result(tx, "a") != nil {
		t.Error("a result is remembered whose transaction was aborted")
	}
}

// A snapshot is of its moment, also when it is written while commands go on; and what it restores goes on alike.
func TestSnapshotHoldsTheResultsOfItsMoment(t *testing.T) {
	s := &remembering{Store: New()}
	s.write(RememberedResults+10, []byte{1})
	moment, index := s.Read(), s.index
	var file bytes.Buffer
	var dumping sync.WaitGroup
	dumping.Go(func() {
		if err := moment.Dump(&file, index); err != nil {
			t.Error(err)
		}
	})
	for range 1000 {
		s.write(40, []byte{1})
	}
	dumping.Wait()
	whole := file.String()
	loaded, _, err := Load(strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	again := &remembering{loaded, index}
	if n := len(again.results.byID); n != RememberedResults || !again.known(index) || again.known(index+1) || again.known(10) {
		t.Errorf("%d results are restored, or those of another moment", n)
	}
	again.write(1, []byte{1})
	if again.known(11) || !again.known(12) {
		t.Error("what was restored is not forgotten in the order of the commands")
	}
}

func TestResultsOutOfOrderAreRefused(t *testing.T) {
	s := New()
	tx := s.Write()
	Remember(tx, Remembered{ID: "b", Index: 2})
	Remember(tx, Remembered{ID: "a", Index: 1})
	tx.Commit()
	var file bytes.Buffer
	if err := s.Read().Dump(&file, 2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(&file); err == nil || !strings.Contains(err.Error(), `"a" of index 1 comes after one of index 2`) {
		t.Errorf("results in a wrong order are loaded: %v", err)
	}
}
