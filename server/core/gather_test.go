package core

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// tell writes keys, and can wait.
type tell struct {
	Keys []string
	Deep any
}

func (tell) CommandType() string { return "test.tell" }
func (tell) Validate() error     { return nil }

func (c tell) Needs(*state.Tx) []api.Permission {
	var needs []api.Permission
	for _, k := range c.Keys {
		needs = append(needs, api.Permission{Resource: "key", Name: k, Access: api.Write})
	}
	return needs
}

func (c tell) Apply(tx *state.Tx) (any, error) {
	for _, k := range c.Keys {
		state.PutKey(tx, api.KVPair{Key: k})
	}
	return nil, nil
}

func (c tell) Gather(later []verb.Command) verb.Command {
	for _, l := range later {
		switch l := l.(type) {
		case tell:
			c.Keys = append(c.Keys, l.Keys...)
		case *tell:
			c.Keys = append(c.Keys, l.Keys...)
		}
	}
	return c
}

func TestGatheredCommandsAreOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		before := c.leader().mustPut(t, "first")
		for i := range 50 {
			from := c.leader()
			if i%2 == 0 {
				from = c.follower()
			}
			if _, err := from.Apply(t.Context(), verb.Options{}, tell{Keys: []string{fmt.Sprint("k", i)}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * gatherTime)
		a, err := c.leader().Query(t.Context(), verb.Options{}, list{"k"})
		if err != nil || len(a.Rows) != 50 {
			t.Errorf("%d rows, %v", len(a.Rows), err)
		}
		if after := c.leader().mustPut(t, "last"); after != before+2 {
			t.Errorf("%d entries for all of them", after-before-1)
		}
		c.close()
	})
}

func TestGatheredCommandsAreJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		if _, err := l.Apply(t.Context(), verb.Options{}, tell{Keys: []string{"secret"}}); api.StatusOf(err) != 403 {
			t.Errorf("without permission: %v", err)
		}
		var deep any = "x"
		for range 2000 {
			deep = []any{deep}
		}
		if _, err := l.Apply(t.Context(), verb.Options{}, tell{Keys: []string{"k"}, Deep: deep}); err == nil {
			t.Error("what cannot be read again was taken")
		}
		if _, err := l.Apply(t.Context(), verb.Options{}, tell{Keys: []string{"good"}}); err != nil {
			t.Error(err)
		}
		refused := 0
		for range maxGathered + 5 {
			if _, err := l.Apply(t.Context(), verb.Options{}, tell{}); api.StatusOf(err) == 429 {
				refused++
			}
		}
		if refused != 6 {
			t.Errorf("%d are refused of 6 too many", refused)
		}
		time.Sleep(2 * gatherTime)
		a, err := l.Query(t.Context(), verb.Options{Token: "root"}, list{})
		if err != nil || keysOf(a) != "good" {
			t.Errorf("%q, %v", keysOf(a), err)
		}
		c.close()
	})
}

// What waits is lost with the leader: the next one begins with nothing.
func TestGatheredCommandsEndWithTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		l := c.leader()
		if _, err := l.Apply(t.Context(), verb.Options{}, tell{Keys: []string{"k"}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Raft().LeadershipTransfer().Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if n := len(l.gathering.take()); n != 0 {
			t.Errorf("%d kinds of command wait at who leads no more", n)
		}
		c.leader().mustPut(t, "z")
		c.close()
	})
}
