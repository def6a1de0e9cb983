package core

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// poke is an action that says whose state it saw.
type poke struct{ Secret, Wait, Refuse bool }

func (poke) CommandType() string { return "test.poke" }
func (poke) Validate() error     { return nil }
func (p poke) Needs(*state.Tx) []api.Permission {
	if p.Secret {
		return []api.Permission{{Resource: "key", Name: "secret", Access: api.Write}}
	}
	return nil
}
func (poke) Apply(*state.Tx) (any, error) { return nil, verb.ErrAction }

func (p poke) Act(ctx context.Context, tx *state.Tx, _ verb.Actor) (any, error) {
	if p.Wait {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if p.Refuse {
		return nil, api.Errorf(409, "not now")
	}
	return state.Key(tx, "a") != nil, nil
}

func TestActionRunsAtTheLeaderAndLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		f := c.follower()
		f.mustPut(t, "a")
		time.Sleep(time.Second)
		before := c.leader().raft.LastIndex()
		for _, at := range []*Core{f, c.leader()} {
			if _, err := at.Apply(t.Context(), verb.Options{}, poke{Refuse: true}); api.StatusOf(err) != 409 {
				t.Errorf("a refusal: %v", err)
			}
			if _, err := at.Apply(t.Context(), verb.Options{}, poke{Secret: true}); api.StatusOf(err) != 403 {
				t.Errorf("without permission: %v", err)
			}
			if _, err := at.Apply(t.Context(), verb.Options{Token: "t"}, poke{Secret: true}); err != nil {
				t.Errorf("with permission: %v", err)
			}
		}
		if after := c.leader().raft.LastIndex(); after != before {
			t.Errorf("the log grew from %d to %d", before, after)
		}
		c.close()
	})
}

func TestActionEndsWithTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		l := c.leader()
		e, err := verb.Wrap(verb.Options{}, "test.poke", poke{Wait: true})
		if err != nil {
			t.Fatal(err)
		}
		e.Forwarded = true // nobody else is asked then
		ended := make(chan error, 1)
		go func() {
			_, err := l.ApplyEnvelope(t.Context(), e)
			ended <- err
		}()
		synctest.Wait()
		if err := l.raft.LeadershipTransfer().Error(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, verb.ErrNotLeader) {
			t.Errorf("%v", err)
		}
		c.close()
	})
}
