package gossip

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// TestExplainAccusers cuts one member off from the others until it has failed, and asks who accused it.
func TestExplainAccusers(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(4)
		time.Sleep(time.Second)
		for _, other := range []string{"s1", "s2", "s3"} {
			l.net.Cut("s4", other)
		}
		for _, p := range pools[:3] {
			l.until(p, 30*time.Second, "s4 has failed", func() bool { return status(p, "s4") == api.MemberFailed })
		}
		e, err := pools[0].Explain(l.Context(), "s4")
		if err != nil {
			t.Fatal(err)
		}
		if e.Status != "failed" || e.Asked != 2 || e.Answered != 2 || len(e.Silent) != 0 {
			t.Errorf("explained as %+v", e)
		}
		has(t, e, func(v api.MemberEvent) bool { return v.What == "alive" })
		has(t, e, func(v api.MemberEvent) bool { return v.What == api.MemberSuspected && v.Node == v.By })
		has(t, e, func(v api.MemberEvent) bool { return v.What == "failed" && v.Node == "s1" && v.Others == 2 })
		if !slices.IsSortedFunc(e.Events, func(a, b api.MemberEvent) int { return a.Time.Compare(b.Time) }) {
			t.Error("the events are not in order")
		}
		if _, err := pools[0].Explain(l.Context(), "nobody"); err == nil {
			t.Error("a member that never was is explained")
		}
	})
}

// TestExplainWithoutAnswers takes two seconds at most and names who is silent.
func TestExplainWithoutAnswers(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		l.net.Cut("s1", "s3")
		l.net.Cut("s2", "s3")
		began := time.Now()
		e, err := pools[0].Explain(l.Context(), "s3")
		if took := time.Since(began); err != nil || took > explainWithin || !slices.Equal(e.Silent, []string{"s3"}) || e.Answered != 1 {
			t.Errorf("after %s: %+v %v", took, e, err)
		}
	})
}

func has(t *testing.T, e api.MemberExplanation, want func(api.MemberEvent) bool) {
	t.Helper()
	if !slices.ContainsFunc(e.Events, want) {
		t.Errorf("an event is missing among %+v", e.Events)
	}
}

// TestAccusedKnowsAccusers reads what memberlist says to whom others hold for failed.
func TestAccusedKnowsAccusers(t *testing.T) {
	h := newHistory("me")
	for _, line := range []string{
		"Refuting a suspect message (from: a)", "Refuting a dead message (from: b)", "Suspect c has failed, no acks received",
		"Marking c as failed, suspect timeout reached (2 peer confirmations)", "Was able to connect to c over TCP but UDP probes failed, network may be misconfigured",
		"Refuting an alive message for 'me' (10.0.0.1:8301)", "",
	} {
		h.read(line)
	}
	var got []string
	for _, e := range append(h.about("me"), h.about("c")...) {
		got = append(got, e.What+" "+e.By)
	}
	if want := []string{"accused a", "declared-dead b", "suspected me", "given-up me", "tcp-only me"}; !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory("a")
	for i := range 10 * historyEach {
		h.add("b", "alive", "", itoa(i))
	}
	for i := range historyMembers + 10 {
		h.add("m"+itoa(i), "alive", "", "")
	}
	if len(h.of) > historyMembers {
		t.Errorf("%d members are remembered", len(h.of))
	}
	h.add("b", "failed", "", "")
	if n := len(h.about("b")); n > historyEach {
		t.Errorf("%d events are remembered", n)
	}
	for range 100 {
		h.add("c", api.MemberSuspected, "a", "")
	}
	if got := h.about("c"); len(got) != 1 || got[0].Times != 100 {
		t.Errorf("probes without an answer are remembered as %+v", got)
	}
}

func FuzzDecodeHistory(f *testing.F) {
	f.Add(encodeHistory([]api.MemberEvent{{Time: time.UnixMilli(1), Last: time.UnixMilli(5), Times: 3, What: "suspected", By: "x"}}))
	f.Add([]byte(`[{"w":"","t":-1},{"w":"alive","t":9e18}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		events, err := decodeHistory("x", raw)
		if err != nil {
			return
		}
		once := encodeHistory(events)
		if len(once) > historyBytes {
			t.Fatalf("%d bytes", len(once))
		}
		again, err := decodeHistory("x", once)
		if err != nil || !bytes.Equal(encodeHistory(again), once) || len(events) == len(again) && len(events) > 0 && !reflect.DeepEqual(events[0].What, again[0].What) {
			t.Fatalf("%s: %v", once, err)
		}
	})
}
