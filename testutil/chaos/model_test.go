package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The checker must find what it is there for.
func TestCheckerFindsWhatIsWrong(t *testing.T) {
	op := func(called, returned time.Duration, in input, out output) operation {
		in.Key = "k"
		return operation{Called: called, Returned: returned, In: in, Out: out}
	}
	wrote := output{OK: true}
	unknown := output{Unknown: true}
	saw := func(value string) output { return output{Value: value} }
	read := input{Kind: get, Mode: consistent}
	write := func(value string) input { return input{Kind: put, Value: value} }
	swap := func(old, value string) input { return input{Kind: cas, Old: old, Value: value} }
	lock := func(session string) input { return input{Kind: acquire, Session: session, Value: session} }
	for _, c := range []struct {
		name string
		ops  []operation
		want porcupine.CheckResult
	}{
		{"a read after a write", []operation{op(0, 1, write("a"), wrote), op(2, 3, read, saw("a"))}, porcupine.Ok},
		{"a lost write", []operation{op(0, 1, write("a"), wrote), op(2, 3, read, saw(""))}, porcupine.Illegal},
		{"a read of what was before", []operation{op(0, 1, write("a"), wrote), op(2, 3, write("b"), wrote), op(4, 5, read, saw("a"))}, porcupine.Illegal},
		{"the same, while it was written", []operation{op(0, 1, write("a"), wrote), op(2, 6, write("b"), wrote), op(4, 5, read, saw("a"))}, porcupine.Ok},
		{"there and back", []operation{op(0, 9, write("a"), wrote), op(1, 2, read, saw("a")), op(3, 4, read, saw(""))}, porcupine.Illegal},
		{"an unknown write that comes late", []operation{op(0, 1, write("a"), unknown), op(2, 3, read, saw("")), op(4, 5, read, saw("a"))}, porcupine.Ok},
		{"an unknown write that comes twice", []operation{op(0, 1, write("a"), unknown), op(2, 3, read, saw("a")),
			op(4, 5, write("b"), wrote), op(6, 7, read, saw("a"))}, porcupine.Illegal},
		{"two swaps of the same", []operation{op(0, 9, swap("", "a"), wrote), op(0, 9, swap("", "b"), wrote)}, porcupine.Illegal},
		{"one of them", []operation{op(0, 9, swap("", "a"), wrote), op(0, 9, swap("", "b"), output{})}, porcupine.Ok},
		{"two who hold a lock", []operation{op(0, 1, lock("x"), wrote), op(2, 3, lock("y"), wrote)}, porcupine.Illegal},
		{"one after the other", []operation{op(0, 1, lock("x"), wrote), op(2, 3, input{Kind: release, Session: "x", Value: "r"}, wrote),
			op(4, 5, lock("y"), wrote), op(6, 7, read, output{Value: "y", Holder: "y"})}, porcupine.Ok},
	} {
		if got := porcupine.CheckOperationsTimeout(model, operations(c.ops), checkTime); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	back := []operation{op(0, 1, input{Kind: get, Mode: stale}, output{Index: 9}), op(2, 3, input{Kind: get, Mode: stale}, output{Index: 8})}
	if len(backwards(back)) != 1 {
		t.Error("an index that goes back is not found")
	}
	back[1].Life++
	if len(backwards(back)) != 0 {
		t.Error("an agent that was started anew is taken for the one before")
	}
}

func TestSeedTellsThePlan(t *testing.T) {
	thrown := func(seed uint64) string { return newPlan(rand.New(rand.NewPCG(seed, seed)), time.Minute).String() }
	first, again := thrown(1), thrown(1)
	if first != again || first == thrown(2) {
		t.Error("a run cannot be repeated by its seed")
	}
}
