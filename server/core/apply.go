package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Apply carries out a command from this process.
func (c *Core) Apply(ctx context.Context, o verb.Options, cmd verb.Command) (verb.Result, error) {
	if err := cmd.Validate(); err != nil {
		return verb.Result{}, err
	}
	e, err := verb.Wrap(o, cmd.CommandType(), cmd)
	if err != nil {
		return verb.Result{}, err
	}
	return c.apply(ctx, e, cmd)
}

// ApplyEnvelope carries out a command that has come from elsewhere.
func (c *Core) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	cmd, err := c.opts.Types.command(e)
	if err != nil {
		return verb.Result{}, err
	}
	if err := cmd.Validate(); err != nil {
		return verb.Result{}, err
	}
	return c.apply(ctx, e, cmd)
}

func (c *Core) apply(ctx context.Context, e verb.Envelope, cmd verb.Command) (verb.Result, error) {
	if there, err := c.route(e.Datacenter); err != nil {
		return verb.Result{}, err
	} else if there != nil {
		return there.ApplyEnvelope(ctx, e)
	}
	unsure := false
	return hold(ctx, c, e.Forwarded, false, func(ctx context.Context) (verb.Result, error) {
		r, err := c.applyOnce(ctx, e, cmd)
		if unsure {
			err = verb.Unsure(err)
		}
		unsure = unsure || errors.Is(err, verb.ErrUnknownOutcome)
		return r, err
	})
}

// applyOnce carries a command out where the leader is, if one is known.
func (c *Core) applyOnce(ctx context.Context, e verb.Envelope, cmd verb.Command) (verb.Result, error) {
	if c.Ready() {
		return c.applyHere(ctx, e, cmd)
	}
	leader, err := c.elsewhere(e.Forwarded)
	if err != nil {
		return verb.Result{}, err
	}
	return leader.ApplyEnvelope(ctx, e)
}

// elsewhere returns the way to another server that leads.
func (c *Core) elsewhere(forwarded bool) (verb.Handler, error) {
	if forwarded {
		return nil, verb.ErrNotLeader
	}
	if addr, _ := c.raft.LeaderWithID(); addr == "" || c.opts.Leader == nil || c.raft.State() == raft.Leader {
		return nil, verb.ErrNoLeader
	}
	return c.opts.Leader, nil
}

// applyHere authorises, stamps and replicates a command on the leader.
func (c *Core) applyHere(ctx context.Context, e verb.Envelope, cmd verb.Command) (verb.Result, error) {
	if c.opts.Measure != nil {
		defer c.opts.Measure(e.Type, time.Now())
	}
	tx := c.Store().Read()
	tx.At(e.Tenant, 0)
	judge, err := c.opts.Authorizer.Judge(tx, e.Token)
	if err != nil {
		return verb.Result{}, err
	}
	if err := allow(judge, cmd.Needs(tx)); err != nil {
		return verb.Result{}, err
	}
	if _, ok := cmd.(verb.Gathered); ok {
		return c.gather(e, cmd)
	}
	if l, ok := cmd.(verb.AtLeader); ok {
		return c.applyAtLeader(ctx, tx, l)
	}
	if a, ok := cmd.(verb.Action); ok {
		return c.act(ctx, tx, a)
	}
	if c.opts.Admit != nil {
		if err := c.opts.Admit(); err != nil {
			return verb.Result{}, err
		}
	}
	return c.replicate(e, cmd)
}

// applyAtLeader carries out a command that is not replicated.
func (c *Core) applyAtLeader(ctx context.Context, tx *state.Tx, cmd verb.AtLeader) (verb.Result, error) {
	v, err := cmd.ApplyAtLeader(tx, c.opts.Memory)
	// The change comes before the proof: a leader that follows this one has begun after it.
	if err := c.proved(ctx); err != nil {
		return verb.Result{}, err
	}
	if err != nil {
		return verb.Result{}, err
	}
	raw, err := codec.Encode(v)
	return verb.Result{Raw: raw}, err
}

// act has this server, which leads, do what is no change of the state.
func (c *Core) act(ctx context.Context, tx *state.Tx, a verb.Action) (verb.Result, error) {
	term, ok := c.leading()
	if !ok {
		return verb.Result{}, verb.ErrNotLeader
	}
	ctx, release := within(ctx, term)
	defer release()
	v, err := a.Act(ctx, tx, c.opts.Actor)
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown),
		errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return verb.Result{}, appendError(err)
	case err != nil:
		return verb.Result{}, err
	}
	raw, err := codec.Encode(v)
	return verb.Result{Raw: raw}, err
}

// replicate stamps a command, makes sure that it can be read again, appends it to the log and waits until it is applied here.
func (c *Core) replicate(e verb.Envelope, cmd verb.Command) (verb.Result, error) {
	if s, ok := cmd.(verb.Stamped); ok {
		stamped := s.Stamp(verb.Stamp{Time: time.Now().UTC(), NewID: uuid.NewString})
		payload, err := codec.Encode(stamped)
		if err != nil {
			return verb.Result{}, fmt.Errorf("stamp %s: %w", e.Type, err)
		}
		e.Payload = payload
	}
	if err := c.opts.Types.admit(e); err != nil {
		return verb.Result{}, err
	}
	// The log keeps neither secrets nor how the request came.
	e.Token, e.Datacenter, e.Forwarded = "", "", false
	data, err := codec.Encode(e)
	if err != nil {
		return verb.Result{}, err
	}
	var f raft.ApplyFuture
	err = c.ask(func() error {
		f = c.raft.Apply(data, c.opts.Hold)
		return f.Error()
	})
	if err != nil {
		return verb.Result{}, appendError(err)
	}
	o := f.Response().(outcome)
	return o.result, o.err
}

// appendError tells a refusal before the append from an unknown outcome.
func appendError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return verb.ErrNoLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return verb.ErrUnknownOutcome
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: this server is stopping", verb.ErrUnknownOutcome)
	}
	return fmt.Errorf("append to the log: %w", err)
}
