package core

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/verb"
)

// restart starts a server of the cluster anew, over what its stores hold.
func (c *cluster) restart(t *testing.T, addr raft.ServerAddress, before Options) *Core {
	t.Helper()
	core, err := New(before)
	if err != nil {
		t.Fatal(err)
	}
	c.cores[addr] = core
	return core
}

func TestStaleReadDoesNotGoBackOverARestart(t *testing.T) {
	for _, alone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			set := map[raft.ServerAddress]Options{}
			c := newClusterOf(t, 3, func(o *Options) { set[raft.ServerAddress(o.Raft.LocalID)] = *o })
			f := c.follower()
			at := f.mustPut(t, "k")
			addr := raft.ServerAddress(f.opts.Raft.LocalID)
			time.Sleep(time.Second)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			for a, core := range c.cores {
				if alone && core != f {
					if err := core.Close(); err != nil {
						t.Error(err)
					}
					delete(c.cores, a)
				}
			}
			// Stopping it has taken it off the network in memory.
			for other, tr := range c.transports {
				if other != addr {
					c.transports[addr].Connect(other, tr)
					tr.Connect(addr, c.transports[addr])
				}
			}
			f = c.restart(t, addr, set[addr])
			began := time.Now()
			a, err := f.Query(t.Context(), verb.Options{Mode: verb.Stale}, list{})
			switch took := time.Since(began); {
			case err != nil:
				t.Error(err)
			case alone && (took < time.Second || took > 2*reliveGrace):
				t.Errorf("alone it answers after %v", took)
			case !alone && (a.Index < at || keysOf(a) != "k"):
				t.Errorf("index %d after %d: %q", a.Index, at, keysOf(a))
			}
			c.close()
		})
	}
}

// What the leader has said in the place of a server that has only just come back is not taken back by that.
func TestReturnedServerComesAsFarAsItsLeaderSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		l.mustPut(t, "a")
		cur := &current{began: time.Now(), grace: reliveGrace}
		_, at := l.fsm.moment()
		cur.last.Store(at)
		cur.told(at + 1)
		cur.told(at)
		if cur.reached(l.fsm) {
			t.Error("it answers though the leader has told of a later entry")
		}
		l.mustPut(t, "b")
		if !cur.reached(l.fsm) {
			t.Error("it does not answer")
		}
		c.close()
	})
}
