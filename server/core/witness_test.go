package core

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/verb"
)

// slowAnswers is a transport to which answers take as long as the gate is shut.
type slowAnswers struct {
	*raft.InmemTransport
	gate atomic.Pointer[chan struct{}] // nil: open
}

func (s *slowAnswers) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := s.InmemTransport.AppendEntries(id, target, args, resp)
	if gate := s.gate.Load(); gate != nil {
		<-*gate
	}
	return err
}

// A leader that is stopped, and goes on when others have elected another, finds answers to what it had sent before. Here it is one
// whose clock goes slowly.
func TestAnswersFromBeforeProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowAnswers{}
		c := newClusterOf(t, 3, func(o *Options) {
			if o.Raft.LocalID == "s0" {
				slow.InmemTransport = o.Transport.(*raft.InmemTransport)
				o.Transport = slow
				o.Raft.HeartbeatTimeout, o.Raft.ElectionTimeout, o.Raft.LeaderLeaseTimeout = time.Minute, time.Minute, time.Minute
			}
		})
		old := c.cores["s0"]
		if l := c.leader(); l != old {
			if err := l.raft.LeadershipTransferToServer("s0", "s0").Error(); err != nil {
				t.Fatal(err)
			}
		}
		for !old.Ready() {
			time.Sleep(10 * time.Millisecond) // simulated
		}
		old.mustPut(t, "before")
		gate := make(chan struct{})
		slow.gate.Store(&gate)
		time.Sleep(10 * time.Second) // its heartbeats are under way: accepted, and not heard of yet
		for addr, tr := range c.transports {
			if addr == "s0" {
				tr.DisconnectAll()
			} else {
				tr.Disconnect("s0")
			}
		}
		var now *Core
		for now == nil {
			time.Sleep(10 * time.Millisecond) // simulated
			for addr, core := range c.cores {
				if addr != "s0" && core.Ready() {
					now = core
				}
			}
		}
		now.mustPut(t, "after")

		answered := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			defer close(answered)
			e, err := old.wrap(verb.Options{}, list{})
			if err != nil {
				t.Error(err)
				return
			}
			e.Forwarded = true // nobody else is asked
			if a, err := old.QueryEnvelope(ctx, e, verb.Options{Mode: verb.Consistent}); err == nil {
				t.Errorf("a server that does not lead any more has answered %q", keysOf(a))
			}
		}()
		synctest.Wait()
		close(gate)
		<-answered
		c.close()
	})
}

// configurationOf is servers a, b, ... with a vote and then servers without one.
func configurationOf(voters, others int) raft.Configuration {
	var c raft.Configuration
	for i := range voters + others {
		s := raft.Server{ID: raft.ServerID(rune('a' + i))}
		if i >= voters {
			s.Suffrage = raft.Nonvoter
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

func TestMostVotersAreNeeded(t *testing.T) {
	for _, c := range []struct {
		voters, others int
		accept         string // who accepts after the mark, besides a, which leads
		want           bool
	}{
		{1, 0, "", true},
		{2, 0, "", false},
		{2, 0, "b", true},
		{3, 0, "", false},
		{3, 0, "c", true},
		{3, 2, "de", false},
		{3, 2, "bd", true},
		{4, 0, "b", false},
		{5, 0, "b", false},
		{5, 0, "be", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			conf := configurationOf(c.voters, c.others)
			w := newWitness(answering{}, time.Second)
			w.term = func() uint64 { return 7 }
			hear := func(term uint64, who ...raft.ServerID) {
				for _, id := range who {
					if err := w.AppendEntries(id, "", &raft.AppendEntriesRequest{Term: term}, &raft.AppendEntriesResponse{}); err != nil {
						t.Fatal(err)
					}
				}
			}
			promised := func() bool {
				return w.promised(time.Now(), 7, "a", func() raft.Configuration { return conf })
			}
			hear(7, "b", "c", "d", "e")
			mark := w.mark()
			hear(6, "b", "c", "d", "e") // of another term
			if ok, _ := w.accepted(conf, "a", 7, mark); ok != (c.voters == 1) {
				t.Errorf("%+v: what was before is counted", c)
			}
			for _, id := range c.accept {
				hear(7, raft.ServerID(id))
			}
			if ok, _ := w.accepted(conf, "a", 7, mark); ok != c.want {
				t.Errorf("%+v: accepted %v", c, ok)
			}
			if promised() != c.want {
				t.Errorf("%+v: promised %v", c, !c.want)
			}
			time.Sleep(time.Second)
			if promised() != (c.voters == 1) {
				t.Errorf("%+v: the lease has no end", c)
			}
			hear(7, "b", "c", "d", "e")
			if !promised() {
				t.Errorf("%+v: the lease was not renewed", c)
			}
			if err := w.TimeoutNow("b", "", nil, nil); err != nil {
				t.Fatal(err)
			}
			hear(7, "b", "c", "d", "e")
			if promised() {
				t.Errorf("%+v: leased though another was told to take over", c)
			}
		})
	}
}

// answering is a transport to servers that accept everything.
type answering struct{ Transport }

func (answering) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, _ *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	resp.Success = true
	return nil
}

func (answering) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return nil
}

// What counts is when a heartbeat was sent, not when its answer came: a voter's patience begins in between.
func TestLeaseBeginsWhenItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWitness(slowly{after: time.Second}, time.Second)
		if err := w.AppendEntries("b", "", &raft.AppendEntriesRequest{Term: 7}, &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if w.promised(time.Now(), 7, "a", func() raft.Configuration { return configurationOf(2, 0) }) {
			t.Error("leased by an answer that took as long as the lease")
		}
	})
}

// slowly is answering, after so long.
type slowly struct {
	answering
	after time.Duration
}

func (s slowly) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	time.Sleep(s.after)
	return s.answering.AppendEntries(id, target, args, resp)
}

// mute is a transport to servers that accept what they are told and never answer, until it is closed.
type mute struct {
	*raft.InmemTransport
	closed chan struct{}
	once   sync.Once
	on     atomic.Bool
}

func (m *mute) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if m.on.Load() {
		<-m.closed
		return raft.ErrTransportShutdown
	}
	return m.InmemTransport.AppendEntries(id, target, args, resp)
}

func (m *mute) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.InmemTransport.Close()
}

func TestCloseDoesNotWaitForServersThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mutes := map[raft.ServerID]*mute{}
		c := newClusterOf(t, 3, func(o *Options) {
			m := &mute{InmemTransport: o.Transport.(*raft.InmemTransport), closed: make(chan struct{})}
			o.Transport, mutes[o.Raft.LocalID] = m, m
		})
		l := c.leader()
		mutes[l.opts.Raft.LocalID].on.Store(true)
		time.Sleep(100 * time.Millisecond) // heartbeats are under way
		began := time.Now()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		c.close()
	})
}
