package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

func TestHandOverUnderWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		c := l.agent("10.0.1.1:9")
		var mu sync.Mutex
		var acked []string
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond): // simulated
					}
					key := fmt.Sprint("k", w, "/", i)
					if _, err := c.Apply(t.Context(), verb.Options{}, kv.Put{Key: key}); err != nil {
						t.Errorf("write %s: %v", key, err)
						return
					}
					mu.Lock()
					acked = append(acked, key)
					mu.Unlock()
				}
			})
		}
		for range 3 {
			time.Sleep(200 * time.Millisecond)
			term := l.leads().Raft().CurrentTerm()
			if _, err := c.Apply(t.Context(), verb.Options{}, operator.TransferLeader{}); err != nil {
				t.Fatal(err)
			}
			// Who was not told the answer asks again, so leadership may have come back already: what counts is that it moved.
			l.eventually("leadership to have moved", func() bool { return l.leads().Raft().CurrentTerm() > term })
		}
		to := l.follower()
		for range 2 { // a second time does no harm
			if _, err := c.Apply(t.Context(), verb.Options{}, operator.TransferLeader{ID: nodeID(to.name)}); err != nil {
				t.Fatal(err)
			}
			l.eventually("the one that was named leads", to.Ready)
		}
		close(stop)
		writers.Wait()
		a, err := c.Query(t.Context(), verb.Options{Mode: verb.Consistent}, kv.List{})
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, p := range verb.Values[*api.KVPair](a) {
			have[p.Key] = true
		}
		for _, key := range acked {
			if !have[key] {
				t.Errorf("%s is lost", key)
			}
		}
		t.Logf("%d writes", len(acked))
	})
}

func TestHandOverToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		l.leads()
		for id, want := range map[string]string{"": "cannot find peer", "none": "cannot find peer"} {
			_, err := h.Apply(t.Context(), verb.Options{}, operator.TransferLeader{ID: id})
			if api.StatusOf(err) != 500 || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("to %q: %v", id, err)
			}
		}
		if !h.Ready() {
			t.Error("it leads no more")
		}
	})
}

func TestRemovePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		c := l.agent("10.0.1.1:9")
		dead := l.follower()
		name, addr := dead.name, dead.in.Addr().String()
		dead.kill()
		remove := func(r operator.RemovePeer) error {
			_, err := c.Apply(t.Context(), verb.Options{}, r)
			return err
		}
		if err := remove(operator.RemovePeer{ID: nodeID(l.leads().name)}); err == nil || !strings.Contains(err.Error(), "hand over first") {
			t.Errorf("the leader: %v", err)
		}
		if err := errors.Join(remove(operator.RemovePeer{Address: addr})); err != nil {
			t.Fatal(err)
		}
		if err := remove(operator.RemovePeer{ID: nodeID(name)}); err == nil || !strings.Contains(err.Error(), "was not found in the Raft configuration") {
			t.Errorf("a second time: %v", err)
		}
		cfg, err := l.leads().RaftConfiguration()
		if err != nil || len(cfg.Servers) != 2 {
			t.Errorf("%+v, %v", cfg, err)
		}
	})
}
