package core

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// reliveGrace is for how long at the most a server that has started keeps what it has from who asks for no more than that. An
// election at the default timing is over by then.
const reliveGrace = 3 * time.Second

// current knows whether this server has come as far as it had before it was started. Its log holds what it had, and only a leader
// tells how much of that counts: until then the state is that of the last snapshot, or empty, and whoever has read here before would
// see it go back.
type current struct {
	is    atomic.Bool
	began time.Time
	last  atomic.Uint64 // the last command in the log at the start, or a later one of which the leader has told meanwhile
	grace time.Duration
}

func newCurrent(logs raft.LogStore, hold time.Duration) (*current, error) {
	c := &current{began: time.Now(), grace: min(reliveGrace, hold/2)}
	first, err := logs.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := logs.LastIndex()
	if err != nil {
		return nil, err
	}
	for i := last; i >= first && i > 0; i-- {
		var l raft.Log
		if err := logs.GetLog(i, &l); err != nil {
			return nil, err
		}
		if l.Type == raft.LogCommand {
			c.last.Store(i)
			break
		}
	}
	return c, nil
}

// reached reports it, and is true as well when there has been no leader for too long: then what there is must do.
func (c *current) reached(f *fsm) bool {
	if c.is.Load() {
		return true
	}
	if _, n := f.moment(); n > 0 && n >= c.last.Load() || time.Since(c.began) > c.grace {
		c.is.Store(true)
		return true
	}
	return false
}

// told notes how far the leader had come when it answered in this server's place.
func (c *current) told(index uint64) {
	for before := c.last.Load(); before < index && !c.last.CompareAndSwap(before, index); before = c.last.Load() {
	}
}
