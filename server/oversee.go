package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Peers asks the other servers what only each of them knows.
type Peers interface {
	// Ask has the server at the address answer a query itself.
	Ask(ctx context.Context, addr string, q verb.Query) (verb.Answer, error)
	// Keep tells which addresses there are; what is kept for others can go.
	Keep(addrs []string)
}

const (
	// overseeEvery is how often the leader asks the others how far they are.
	overseeEvery = 2 * time.Second
	// answerWithin is how long they may take.
	answerWithin = time.Second
)

// overseer is the leader's eye on the servers.
type overseer struct {
	mu      sync.Mutex // guards records
	records records
}

// begin forgets what was seen in an earlier term.
func (o *overseer) begin(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.records = records{began: now}
}

// sight is what the leader sees of the servers at one moment.
type sight struct {
	have     []raft.Server
	index    uint64 // of the configuration
	members  []Member
	all      []standing
	leader   verb.Progress
	settings api.AutopilotConfiguration
}

// glance is what this server sees without asking anybody.
func (s *Server) glance() (sight, error) {
	f := s.Raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return sight{}, fmt.Errorf("read the raft configuration: %w", err)
	}
	v := sight{have: f.Configuration().Servers, index: f.Index(), members: s.opts.Members.Members()}
	known := serversByID(v.members)
	for _, srv := range v.have {
		is := standing{server: srv, member: known[string(srv.ID)]}
		if string(srv.ID) == s.opts.NodeID {
			p := s.Progress()
			is.progress = &p
		}
		v.all = append(v.all, is)
	}
	return v, nil
}

// look is what the leader sees when it has asked the others. It is remembered.
func (s *Server) look(ctx context.Context) (sight, error) {
	v, err := s.glance()
	if err != nil {
		return v, err
	}
	v.settings = api.DefaultAutopilot()
	if c := state.Autopilot(s.Store().Read()); c != nil {
		v.settings = *c
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var asked sync.WaitGroup
	var addrs []string
	for i := range v.all {
		is := &v.all[i]
		switch {
		case is.progress != nil:
			is.leader, v.leader = true, *is.progress
		case is.member.Status == Alive && s.opts.Peers != nil:
			addrs = append(addrs, is.member.RPCAddr)
			asked.Go(func() { is.progress = s.askProgress(ctx, is.member.RPCAddr) })
		}
	}
	if s.opts.Peers != nil {
		s.opts.Peers.Keep(addrs)
	}
	asked.Wait()
	s.overseer.mu.Lock()
	defer s.overseer.mu.Unlock()
	s.overseer.records.note(time.Now(), v.all, v.leader, v.settings)
	return v, nil
}

func (s *Server) askProgress(ctx context.Context, addr string) *verb.Progress {
	a, err := s.opts.Peers.Ask(ctx, addr, operator.Progress{})
	if err != nil || len(a.Rows) != 1 {
		s.log.Debug("a server does not say how far it is", "addr", addr, "err", err)
		return nil
	}
	return a.Rows[0].Value.(*verb.Progress)
}

// Progress implements verb.Servers.
func (s *Server) Progress() verb.Progress {
	p := verb.Progress{LastIndex: s.Raft().LastIndex(), LastContact: -1}
	p.LastTerm, _ = strconv.ParseUint(s.Raft().Stats()["last_log_term"], 10, 64)
	if s.Raft().State() == raft.Leader {
		p.LastContact = 0
	} else if last := s.Raft().LastContact(); !last.IsZero() {
		p.LastContact = time.Since(last)
	}
	return p
}

// AutopilotState implements verb.Servers.
func (s *Server) AutopilotState() (api.AutopilotState, error) {
	if !s.Ready() {
		return api.AutopilotState{}, verb.ErrNotLeader
	}
	v, err := s.look(context.Background())
	if err != nil {
		return api.AutopilotState{}, err
	}
	tx := s.Store().Read()
	for i := range v.all {
		if n := state.PeekNode(tx, v.all[i].member.Node.Node); n != nil {
			v.all[i].member.Node.Meta = n.Meta
		}
	}
	s.overseer.mu.Lock()
	defer s.overseer.mu.Unlock()
	return autopilotState(v.all, v.leader, &s.overseer.records, v.settings), nil
}

// peersLoop keeps Raft's list of servers like the servers among the members, and gives votes to those that prove themselves.
func (s *Server) peersLoop() core.Loop {
	return core.Loop{
		Name: "peers",
		Prepare: func(ctx context.Context, t *core.Term) error {
			first := operator.FirstAutopilot(t.Read(), s.opts.Autopilot)
			if first == nil {
				return nil
			}
			_, err := t.Apply(ctx, first)
			return err
		},
		Run: func(ctx context.Context, t *core.Term) {
			s.overseer.begin(time.Now())
			said := strangers{}
			for {
				changed := s.opts.Members.Changed()
				pause := reconcileInterval
				v, err := s.look(ctx)
				if err == nil {
					err = s.adjustPeers(t, v, said)
				}
				if err != nil && ctx.Err() == nil {
					t.Log.Warn("raft servers not adjusted, it is tried again", "err", err)
				}
				if len(v.have) != 1 {
					pause = overseeEvery
				}
				again := time.NewTimer(pause)
				select {
				case <-changed:
				case <-again.C:
				case <-ctx.Done():
				}
				again.Stop()
				if ctx.Err() != nil {
					return
				}
			}
		},
	}
}

// adjustPeers carries out what follows from what was seen.
func (s *Server) adjustPeers(t *core.Term, v sight, said strangers) error {
	self, ours := raft.ServerID(s.opts.NodeID), cluster(t.Read())
	members, strange := ofCluster(ours, v.have, v.members)
	for _, m := range strange {
		said.say(t, m, ours)
	}
	now := time.Now()
	s.overseer.mu.Lock()
	r := s.overseer.records
	s.overseer.mu.Unlock()
	dead := cleanup(v.have, members, &r, now, v.settings, self)
	changes := paced(peerChanges(v.have, members, self, func(id raft.ServerID) bool { return r.ripe(id, now, v.settings) }), v.have, &r, v.settings)
	var errs []error
	for _, c := range append(dead, changes...) {
		t.Log.Info("raft servers change", "change", c.kind, "id", c.server.ID, "addr", c.server.Address, "reason", c.why)
		if err := c.carryOut(t.Raft()); err != nil {
			errs = append(errs, fmt.Errorf("%s server %s at %s: %w", c.kind, c.server.ID, c.server.Address, err))
		}
	}
	if len(dead) > 0 {
		errs = append(errs, s.forget(dead, members))
	}
	return errors.Join(errs...)
}

// forget has gossip count servers that were given up as left, so that the catalog lets them go, too.
func (s *Server) forget(dead []peerChange, members []Member) error {
	known := serversByID(members)
	var errs []error
	for _, c := range dead {
		if m, ok := known[string(c.server.ID)]; ok && m.Status == Failed {
			errs = append(errs, s.opts.Members.Remove(m.Node.Node))
		}
	}
	return errors.Join(errs...)
}
