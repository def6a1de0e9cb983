package core

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/verb"
)

// slowDisk is a log that takes its time.
type slowDisk struct {
	raft.LogStore
	takes *atomic.Int64
}

func (s slowDisk) StoreLogs(logs []*raft.Log) error {
	time.Sleep(time.Duration(s.takes.Load()))
	return s.LogStore.StoreLogs(logs)
}

func (s slowDisk) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// A slow disk makes writes slow, and nothing else: reads see what was acknowledged, and the leader stays.
func TestSlowDisk(t *testing.T) {
	for _, whose := range []string{"the leader's", "a follower's"} {
		synctest.Test(t, func(t *testing.T) {
			disks := map[raft.ServerID]*atomic.Int64{}
			c := newClusterOf(t, 3, func(o *Options) {
				disks[o.Raft.LocalID] = new(atomic.Int64)
				o.Logs = slowDisk{o.Logs, disks[o.Raft.LocalID]}
			})
			l, f := c.leader(), c.follower()
			for id, takes := range disks {
				if id == l.opts.Raft.LocalID && whose == "the leader's" || id == f.opts.Raft.LocalID && whose == "a follower's" {
					takes.Store(int64(2 * time.Second))
				}
			}
			for _, key := range []string{"a", "b"} {
				began := time.Now()
				f.mustPut(t, key)
				if took := time.Since(began); took > 5*time.Second || whose == "a follower's" && took > time.Second {
					t.Errorf("%s: a write took %v", whose, took)
				}
				for _, mode := range []verb.Mode{verb.Default, verb.Consistent} {
					began := time.Now()
					a, err := f.Query(t.Context(), verb.Options{Mode: mode}, list{})
					if took := time.Since(began); err != nil || len(a.Rows) == 0 || a.Rows[len(a.Rows)-1].Key != key || took > time.Second {
						t.Errorf("%s: mode %d: %q after %v, %v", whose, mode, keysOf(a), took, err)
					}
				}
			}
			if c.leader() != l {
				t.Errorf("%s: another server leads", whose)
			}
			c.close()
		})
	}
}
