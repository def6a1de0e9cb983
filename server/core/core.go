// Package core carries out the two verbs, once for all nouns. A command is checked, routed to the leader, authorised
// against its state, stamped, replicated through Raft and applied on every server; a query runs where its consistency
// mode says, is authorised there, and can be watched. Around them stand the Raft FSM and the life of a leader: named
// loops that start with leadership and end with it.
//
// core knows no noun: what commands and queries there are it is told by Options.Types. It knows no network either: the
// Raft transport and the way to the leader are handed in.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// Options is what a Core is made of.
type Options struct {
	Datacenter string
	Types      Types
	Authorizer Authorizer
	// Leader reaches the server that leads, for requests that this server may not answer itself. It marks what it
	// sends as forwarded. Nil for a server that is alone.
	Leader verb.Handler
	// Elsewhere reaches other datacenters. Nil for a server that knows of none.
	Elsewhere Elsewhere
	// Loops run while this server leads.
	Loops []Loop
	// Memory is what this server keeps in memory while it leads, for commands that are verb.AtLeader.
	Memory verb.Leader
	// Actor carries out what a command that is a verb.Action wants.
	Actor verb.Actor
	// Servers answers queries about the servers.
	Servers verb.Servers

	Raft      *raft.Config
	Logs      raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Transport Transport

	// Admit is asked before a client's command is appended here, and may refuse it; what the leader itself has to say is not
	// judged. It may be nil.
	Admit func() error
	// AdmitSnapshot is asked before a snapshot of so many bytes is restored, and may refuse it. It may be nil.
	AdmitSnapshot func(size int64) error
	// Release is written into snapshots, for people.
	Release string

	// Hold is how long a request that can wait for a leader does; 0 means DefaultHold.
	Hold time.Duration
	// DefaultWait and MaxWait bound blocking queries; 0 means 5 and 10 minutes.
	DefaultWait, MaxWait time.Duration

	// Measure is told of every command that this server, leading, was asked to carry out, and when it began. It may be nil.
	Measure func(commandType string, began time.Time)

	Logger *slog.Logger
}

// DefaultHold covers an election at the default timing with room to spare.
const DefaultHold = 7 * time.Second

// Elsewhere reaches other datacenters.
type Elsewhere interface {
	// Datacenter returns the way to another datacenter. The error is verb.ErrNoPath when it is not known.
	Datacenter(name string) (verb.Handler, error)
}

// Authorizer judges what the bearer of a token may do, by the state of the server it is asked on.
type Authorizer interface {
	// Judge returns who decides for the token. The error, for a token that is none, is an *api.Error.
	Judge(tx *state.Tx, token string) (Judge, error)
}

// Judge decides for one token.
type Judge interface {
	Decide(p api.Permission) api.Decision
	// Unlimited reports that every decision is to allow, so that a list need not be judged row by row.
	Unlimited() bool
}

// Core is one server's part in the replicated state.
type Core struct {
	opts   Options
	log    *slog.Logger
	raft   *raft.Raft
	fsm    *fsm
	topics *watch.Topics[state.Topic]
	views  *watch.Views[viewKey, *verb.Row]
	recent recent
	verify verifier // that this server still leads

	witness *witness
	current *current

	mu      sync.Mutex
	term    context.Context // while this server leads and is ready
	number  uint64          // of that term, in raft
	changed chan struct{}   // closed and replaced when leadership, here or elsewhere, changes
	closing bool            // raft is asked nothing more

	gathering gathering

	interludes chan func(leads bool) // what is done between two terms
	ending     <-chan struct{}       // closed when Close begins

	calls sync.WaitGroup // what waits for raft's answer

	failed chan error // receives why the FSM stopped
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New starts raft over what the stores hold.
func New(o Options) (*Core, error) {
	if o.Hold == 0 {
		o.Hold = DefaultHold
	}
	if o.DefaultWait == 0 {
		o.DefaultWait = 5 * time.Minute
	}
	if o.MaxWait == 0 {
		o.MaxWait = 10 * time.Minute
	}
	c := &Core{
		opts: o, log: o.Logger.With("component", "core"),
		topics:  watch.NewTopics[state.Topic](),
		views:   watch.NewViews[viewKey, *verb.Row](),
		changed: make(chan struct{}),
		failed:  make(chan error, 1),

		interludes: make(chan func(bool)),
		witness:    newWitness(o.Transport, o.Raft.LeaderLeaseTimeout),
	}
	c.fsm = newFSM(o.Types, c.topics, c.fail)
	var err error
	if c.current, err = newCurrent(o.Logs, o.Hold); err != nil {
		c.views.Close()
		return nil, fmt.Errorf("read the raft log: %w", err)
	}
	if c.raft, err = raft.NewRaft(o.Raft, c.fsm, o.Logs, o.Stable, o.Snapshots, c.witness); err != nil {
		c.views.Close()
		return nil, fmt.Errorf("start raft: %w", err)
	}
	c.witness.term = c.raft.CurrentTerm
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.ending = cancel, ctx.Done()
	c.verify.ask = c.confirm
	c.done.Go(func() { c.reign(ctx) })
	c.done.Go(func() { c.observe(ctx) })
	return c, nil
}

// Raft gives access to raft for those who look after its members.
func (c *Core) Raft() *raft.Raft { return c.raft }

// Store returns the state as this server has it.
func (c *Core) Store() *state.Store { return c.fsm.store.Load() }

// Failed receives the reason when the state can go on no further, as when the log holds an entry of a type that this
// release does not know. The process must then stop: going on would make this server's state differ from the others'.
func (c *Core) Failed() <-chan error { return c.failed }

func (c *Core) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// Ready reports whether this server leads and answers for it: it has applied the first entry of its term and the loops'
// preparations are done.
func (c *Core) Ready() bool {
	_, ok := c.leading()
	return ok
}

// leading returns a context that ends with this server's leadership.
func (c *Core) leading() (context.Context, bool) {
	term, _ := c.reigning()
	return term, term != nil
}

// reigning is leading with the term's number. Raft may have lost leadership, and found it again in another term of which nothing
// is applied yet, before that is noticed here: raft itself is asked, too.
func (c *Core) reigning() (term context.Context, number uint64) {
	c.mu.Lock()
	term, number = c.term, c.number
	c.mu.Unlock()
	if term == nil || c.raft.CurrentTerm() != number || c.raft.State() != raft.Leader {
		return nil, 0
	}
	return term, number
}

// leadership returns a channel that is closed when who leads has changed.
func (c *Core) leadership() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// startTerm tells those who wait that this server leads, for as long as the context lasts.
func (c *Core) startTerm(term context.Context, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term, c.number = term, number
	c.wake()
}

// endTerm tells those who wait that it does not lead any more.
func (c *Core) endTerm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term = nil
	c.wake()
}

// wake is called with mu held.
func (c *Core) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// observe wakes those who wait for a leader when another server becomes one.
func (c *Core) observe(ctx context.Context) {
	seen := make(chan raft.Observation, 4)
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	c.raft.RegisterObserver(o)
	defer c.raft.DeregisterObserver(o)
	for {
		select {
		case o := <-seen:
			if l := o.Data.(raft.LeaderObservation); l.LeaderID != "" && l.LeaderID != c.opts.Raft.LocalID {
				c.log.Info("another server leads", "leader", string(l.LeaderAddr))
			}
			c.mu.Lock()
			c.wake()
			c.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// ask has raft do something and waits for its answer. Raft answers all that it is asked while it runs, but forgets what
// waits in its queue when it stops: nothing may be asked then.
func (c *Core) ask(do func() error) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return raft.ErrNotLeader
	}
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()
	return do()
}

// Close stops the loops, raft and all views, and waits for them. Writes under way end first: they are committed, or a leader
// that cannot reach the others finds out within its lease. Handing leadership over before is the caller's part.
func (c *Core) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.cancel()
	c.calls.Wait()
	stopped := c.raft.Shutdown()
	// Raft waits for what it has asked the others, ten seconds for each question to one that does not answer.
	_ = c.witness.Close()
	err := stopped.Error()
	c.done.Wait()
	c.views.Close()
	c.recent.close()
	if errors.Is(err, raft.ErrRaftShutdown) {
		return nil
	}
	return err
}

// hold repeats try while the reason for its failure is that nobody leads, each time who leads changes, and now and then. A
// try that waits for a change may have done so for long when its leader goes: the time that is held begins then.
func hold[T any](ctx context.Context, c *Core, forwarded, waits bool, try func(context.Context) (T, error)) (T, error) {
	var deadline *time.Timer // set when it is known that one is needed: most tries are well
	until := time.Now().Add(c.opts.Hold)
	pause := 20 * time.Millisecond
	for {
		changed, began := c.leadership(), time.Now()
		v, err := try(ctx)
		if err == nil || forwarded || !verb.Retriable(err) {
			return v, err
		}
		if waits && time.Since(began) > time.Second {
			until = time.Now().Add(c.opts.Hold)
		}
		if deadline == nil {
			deadline = time.NewTimer(time.Until(until))
			defer deadline.Stop()
		} else {
			deadline.Reset(time.Until(until))
		}
		again := time.NewTimer(pause)
		pause = min(2*pause, 250*time.Millisecond)
		select {
		case <-changed:
		case <-again.C:
		case <-deadline.C:
			again.Stop()
			return v, err
		case <-ctx.Done():
			again.Stop()
			return v, errors.Join(err, ctx.Err())
		}
		again.Stop()
	}
}

// route finds who is to have what is meant for a datacenter; nil: this one.
func (c *Core) route(dc string) (verb.Handler, error) {
	switch {
	case dc == "" || dc == c.opts.Datacenter:
		return nil, nil
	case c.opts.Elsewhere == nil:
		return nil, fmt.Errorf("%w: %q is not known here; this is %q", verb.ErrNoPath, dc, c.opts.Datacenter)
	}
	return c.opts.Elsewhere.Datacenter(dc)
}

// routeSnapshots is route for snapshots.
func (c *Core) routeSnapshots(dc string) (verb.SnapshotHandler, error) {
	there, err := c.route(dc)
	if there == nil || err != nil {
		return nil, err
	}
	to, ok := there.(verb.SnapshotHandler)
	if !ok {
		return nil, fmt.Errorf("%w: no snapshots are carried to %q", verb.ErrNoPath, dc)
	}
	return to, nil
}

// allow returns a refusal with the reason unless all needs are allowed.
func allow(j Judge, needs []api.Permission) error {
	for _, p := range needs {
		if d := j.Decide(p); !d.Allowed {
			return api.Errorf(403, "Permission denied: %s:%s on %q is needed: %s", p.Resource, p.Access, p.Name, d.Why)
		}
	}
	return nil
}

// confirm asks the others whether this server leads: it returns nil when it did at some moment after the call.
func (c *Core) confirm() error {
	term, number := c.reigning()
	if term == nil {
		return raft.ErrNotLeader
	}
	mark := c.witness.mark()
	// What raft proves by this is not enough, but it sends heartbeats at once for it.
	if err := c.ask(func() error { c.raft.VerifyLeader(); return nil }); err != nil {
		return err
	}
	timeout := time.NewTimer(c.opts.Hold)
	defer timeout.Stop()
	for {
		ok, news := c.witness.accepted(c.configuration(), c.opts.Raft.LocalID, number, mark)
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-term.Done():
			return raft.ErrNotLeader
		case <-timeout.C:
			return raft.ErrNotLeader
		}
	}
}

// configuration is the latest one, committed or not: it counts from when it is in the log.
func (c *Core) configuration() raft.Configuration { return c.raft.GetConfiguration().Configuration() }

// verifier shares one round of asking the others among all who wait for one: a round that began before a caller came proves
// nothing to it, so late callers wait for the next.
type verifier struct {
	ask     func() error
	mu      sync.Mutex
	next    *round
	running atomic.Bool
}

type round struct {
	done chan struct{}
	err  error
}

func (v *verifier) wait(ctx context.Context) error {
	v.mu.Lock()
	r := v.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		v.next = r
		if v.running.CompareAndSwap(false, true) {
			go v.run()
		}
	}
	v.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run does rounds until nobody waits for one.
func (v *verifier) run() {
	for {
		v.mu.Lock()
		if v.next == nil {
			v.running.Store(false)
			v.mu.Unlock()
			return
		}
		r := v.next
		v.next = nil
		v.mu.Unlock()
		r.err = v.ask()
		close(r.done)
	}
}
