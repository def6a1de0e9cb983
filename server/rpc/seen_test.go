package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

func TestStaleAnswersDoNotGoBackWhereAnybodyKnowsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ahead, behind := newNetwork(), newBoard(t), newBoard(t)
		ahead.set("second")
		ahead.set("third")
		s1, s3 := n.serve(t, "s1", ahead), n.serve(t, "s3", ahead)
		n.serve(t, "s2", behind)
		c := n.client(t, known("s1", "s2", "s3"))
		ask := func(first string) int {
			t.Helper()
			c.choose.mu.Lock()
			c.choose.current, c.choose.until = first, time.Now().Add(time.Hour)
			c.choose.mu.Unlock()
			began := time.Now()
			a, err := c.Query(t.Context(), verb.Options{Mode: verb.Stale}, list{})
			if err != nil || time.Since(began) > time.Second {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
			return len(keys(a))
		}
		if got := ask("s1"); got != 3 {
			t.Fatalf("%d rows at first", got)
		}
		if got := ask("s2"); got != 3 {
			t.Errorf("%d rows of a server that is behind, while others are not", got)
		}
		s1.kill()
		s3.kill()
		time.Sleep(time.Minute)
		if got := ask("s2"); got != 1 {
			t.Errorf("%d rows of the only server", got)
		}
		if got := ask("s2"); got != 1 {
			t.Errorf("%d rows of the only server, again", got)
		}
	})
}

func TestWhatWasSeenIsBounded(t *testing.T) {
	var s seen
	for i := range 3 * maxSeen {
		s.answered(viewKey{payload: time.Duration(i).String()}, 1)
	}
	if len(s.indexes) > maxSeen {
		t.Errorf("%d are kept", len(s.indexes))
	}
}
