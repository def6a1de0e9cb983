package state

import (
	"slices"
	"testing"

	"github.com/parleymesh/parley/api"
)

// What a transaction touches at several indexes bears the last of them; what it only wakes bears none.
func TestTopicsBearTheirLastIndex(t *testing.T) {
	s := New()
	tx := s.Write()
	tx.At(api.Tenant{}, 5)
	tx.touch("kind", "a")
	tx.touch("kind", "b")
	tx.wake("kind", "c")
	tx.At(api.Tenant{}, 6)
	tx.touch("kind", "a")
	tx.wake("kind", "b")
	if !tx.Wrote() {
		t.Error("a topic was touched and nothing written")
	}
	var names []string
	for _, topic := range tx.Commit() {
		names = append(names, topic.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("%v are woken", names)
	}
	for name, want := range map[string]uint64{"a": 6, "b": 5, "c": 0} {
		if got := s.Read().last("kind", name); got != want {
			t.Errorf("%s bears %d instead of %d", name, got, want)
		}
	}
}

func TestWhatWasTriedInVainTouchesNothing(t *testing.T) {
	s := New()
	tx := s.Write()
	tx.At(api.Tenant{}, 5)
	tx.Try(func() bool { tx.touch("kind", "a"); return false })
	tx.Try(func() bool { tx.touch("kind", "b"); return true })
	if got := tx.Commit(); len(got) != 1 || got[0].Name != "b" || s.Read().last("kind", "a") != 0 {
		t.Errorf("%v are woken", got)
	}
}
