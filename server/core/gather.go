package core

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// gatherTime is how long a command that can wait for others does.
const gatherTime = time.Second

// maxGathered bounds how many wait.
const maxGathered = 4096

// gathering is the commands of the leader that wait to be appended as one.
type gathering struct {
	mu      sync.Mutex // guards what follows
	waiting map[gatherKey][]verb.Command
	n       int
}

type gatherKey struct {
	tenant api.Tenant
	kind   string
}

// gather takes a command to be appended with others. It is answered at once, with no result.
func (c *Core) gather(e verb.Envelope, cmd verb.Command) (verb.Result, error) {
	// One that could not be read again must not spoil what the others tell.
	if err := c.opts.Types.admit(e); err != nil {
		return verb.Result{}, err
	}
	g := &c.gathering
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n >= maxGathered {
		return verb.Result{}, api.Errorf(http.StatusTooManyRequests, "%s: %d of them wait to be written already; tell it again later", e.Type, g.n)
	}
	if g.waiting == nil {
		g.waiting = map[gatherKey][]verb.Command{}
	}
	key := gatherKey{e.Tenant, e.Type}
	g.waiting[key] = append(g.waiting[key], cmd)
	g.n++
	return verb.Result{}, nil
}

// take returns what waits, and leaves nothing.
func (g *gathering) take() map[gatherKey][]verb.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := g.waiting
	g.waiting, g.n = nil, 0
	return waiting
}

// appendGathered appends what is gathered, until leadership ends. What waits then is lost, as it may be.
func (c *Core) appendGathered(ctx context.Context) {
	tick := time.NewTicker(gatherTime)
	defer tick.Stop()
	defer c.gathering.take()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for key, all := range c.gathering.take() {
			one := all[0].(verb.Gathered).Gather(all[1:])
			e, err := verb.Wrap(verb.Options{Tenant: key.tenant}, key.kind, one)
			if err == nil {
				_, err = c.replicate(e, one)
			}
			if err != nil && ctx.Err() == nil {
				c.log.Warn("what was gathered is lost, it is told again", "type", key.kind, "commands", len(all), "err", err)
			}
		}
	}
}
