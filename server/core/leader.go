package core

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Loop is something that the leader does.
type Loop struct {
	Name string
	// Prepare, when set, must be done before this server answers as the leader: whoever asks for the leader may then
	// rely on it. It is repeated until it succeeds or leadership ends.
	Prepare func(ctx context.Context, t *Term) error
	// Run, when set, goes on until ctx ends, which is when leadership does.
	Run func(ctx context.Context, t *Term)
}

// Term is what a loop works with while this server leads: commands in the server's own name, and its own state.
type Term struct {
	core *Core
	Log  *slog.Logger
}

// Apply carries out a command in the server's own name.
func (t *Term) Apply(ctx context.Context, cmd verb.Command) (verb.Result, error) {
	if err := cmd.Validate(); err != nil {
		return verb.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return verb.Result{}, err
	}
	e, err := verb.Wrap(verb.Options{}, cmd.CommandType(), cmd)
	if err != nil {
		return verb.Result{}, err
	}
	return t.core.replicate(e, cmd)
}

// Read returns a transaction that sees the state of now.
func (t *Term) Read() *state.Tx { return t.core.Store().Read() }

// Watch follows a query in the server's own name.
func (t *Term) Watch(q verb.Query) (verb.Reader, error) {
	e, err := t.core.wrap(verb.Options{}, q)
	if err != nil {
		return nil, err
	}
	c := t.core
	return &reader{core: c, e: e, q: q, judge: all{}, in: c.views.Open(keyOf(e), c.feed(e.Tenant, q))}, nil
}

// Follow calls read with the state of now, and again each time that something it read has changed, until ctx ends.
func (t *Term) Follow(ctx context.Context, read func(tx *state.Tx)) { t.core.follow(ctx, read) }

// Raft gives access to raft for the loop that looks after its members.
func (t *Term) Raft() *raft.Raft { return t.core.raft }

// all is the judge of what the server does in its own name.
type all struct{}

// Decide implements Judge.
func (all) Decide(api.Permission) api.Decision {
	return api.Decision{Allowed: true, Why: "the server itself"}
}

// Unlimited implements Judge.
func (all) Unlimited() bool { return true }

// reign follows this server's leadership: it begins when raft says so and ends before the next begins.
func (c *Core) reign(ctx context.Context) {
	var stop func()
	end := func() {
		if stop != nil {
			stop()
			stop = nil
		}
	}
	defer end()
	for {
		select {
		case leads := <-c.raft.LeaderCh():
			end()
			if leads {
				stop = c.begin(ctx)
			}
		case do := <-c.interludes:
			// Nothing of what the leader does goes on meanwhile, and afterwards it begins anew.
			leads := stop != nil
			end()
			do(leads)
			if leads && c.raft.State() == raft.Leader {
				stop = c.begin(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// begin starts a term and returns what ends it.
func (c *Core) begin(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() {
		number, lasted := c.prepare(ctx)
		if !lasted {
			return
		}
		c.startTerm(ctx, number)
		loops.Go(func() { c.appendGathered(ctx) })
		for _, l := range c.opts.Loops {
			if l.Run != nil {
				loops.Go(func() { l.Run(ctx, c.newTerm(l)) })
			}
		}
	})
	return func() {
		c.endTerm()
		cancel()
		loops.Wait()
		// A term that became ready in between is over as well.
		c.endTerm()
	}
}

func (c *Core) newTerm(l Loop) *Term { return &Term{core: c, Log: c.opts.Logger.With("loop", l.Name)} }

// prepare applies the first entry of the term and does the loops' preparations. It returns the term's number, and whether
// leadership lasted.
func (c *Core) prepare(ctx context.Context) (number uint64, lasted bool) {
	began := time.Now()
	if !c.retry(ctx, "first entry of the term", func() error {
		number = c.raft.CurrentTerm()
		if err := c.ask(func() error { return c.raft.Barrier(time.Minute).Error() }); err != nil {
			return err
		}
		if now := c.raft.CurrentTerm(); now != number {
			return fmt.Errorf("the term was %d and is %d", number, now)
		}
		return nil
	}) {
		return 0, false
	}
	for _, l := range c.opts.Loops {
		if l.Prepare == nil {
			continue
		}
		if !c.retry(ctx, l.Name, func() error { return l.Prepare(ctx, c.newTerm(l)) }) {
			return 0, false
		}
	}
	c.log.Info("this server leads", "took", time.Since(began).Round(time.Millisecond))
	return number, true
}

// retry repeats what a leader must have done, and says why it fails when the reason is new.
func (c *Core) retry(ctx context.Context, what string, do func() error) bool {
	pause, said := 10*time.Millisecond, ""
	for {
		err := do()
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		if msg := fmt.Sprint(err); msg != said {
			c.log.Warn("leader cannot answer yet, retrying", "step", what, "err", err)
			said = msg
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		pause = min(2*pause, 5*time.Second)
	}
}
