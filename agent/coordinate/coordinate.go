// Package coordinate tells the servers now and then where this agent is in the network. The estimate is gossip's; what the
// servers do with it is theirs.
package coordinate

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/verb"
)

const (
	// interval is how often an agent tells, in a pool of up to some thousand.
	interval = 15 * time.Second
	// perSecond is how many agents of a larger pool tell in a second: its interval is longer.
	perSecond = 64
	// firstWithin is when an agent tells first, which is when gossip has made a few round trips.
	firstWithin = 5 * time.Second
	// silence is for how many intervals an agent that stays where it is tells nothing.
	silence = 20
	// near is how far an agent may move before that is worth telling, in seconds: nobody sorts by less.
	near = 100e-6
	// surer is by which part of it the error may change before that is worth telling.
	surer = 0.1
)

// Client carries out commands.
type Client interface {
	Apply(ctx context.Context, o verb.Options, c verb.Command) (verb.Result, error)
}

// Options is what Run works with.
type Options struct {
	Node string
	// Where is where the agent is; nil while it does not know.
	Where func() *api.Coordinate
	// Members counts the agents of the pool.
	Members func() int
	Client  Client
	Token   func() string
	Logger  *slog.Logger
}

// Run tells the servers until ctx ends.
func Run(ctx context.Context, o Options) {
	log := o.Logger.With("component", "coordinate")
	var told *api.Coordinate
	quiet := 0
	for pause := firstWithin/2 + rand.N(firstWithin/2); ; pause = next(o.Members()) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		at := o.Where()
		if at == nil || !at.Valid() {
			continue
		}
		if quiet++; quiet < silence && !moved(told, at) {
			continue
		}
		_, err := o.Client.Apply(ctx, verb.Options{Token: o.Token()}, coordinate.Update{Entries: []api.CoordinateEntry{{Node: o.Node, Coord: at}}})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Debug("the servers do not know yet where this agent is in the network, they are told again", "err", err)
		default:
			told, quiet = at, 0
		}
	}
}

// next is how long to wait until telling again. A little chance keeps agents that started together from telling together.
func next(members int) time.Duration {
	d := max(interval, time.Duration(members)*time.Second/perSecond)
	return d - d/8 + rand.N(d/4)
}

// moved tells whether it is worth telling that the agent is elsewhere than before.
func moved(from, to *api.Coordinate) bool {
	if from == nil || math.Abs(to.Error-from.Error) > surer*from.Error {
		return true
	}
	sum := 0.0
	for i := range to.Vec {
		d := to.Vec[i] - from.Vec[i]
		sum += d * d
	}
	return math.Sqrt(sum)+math.Abs(to.Height-from.Height)+math.Abs(to.Adjustment-from.Adjustment) > near
}
