package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// bootstrapAlone founds a cluster of one when that is what is wanted and there is none yet.
func (s *Server) bootstrapAlone(cfg *raft.Config) error {
	if s.opts.BootstrapExpect != 1 {
		return nil
	}
	if used, err := s.storage.used(); used || err != nil {
		return err
	}
	alone := raft.Configuration{Servers: []raft.Server{{ID: cfg.LocalID, Address: s.transport.LocalAddr()}}}
	if err := raft.BootstrapCluster(cfg, s.storage.logs, s.storage.stable, s.storage.snapshots, s.transport, alone); err != nil {
		return fmt.Errorf("found a cluster of one: %w", err)
	}
	return nil
}

// hurryAlone lets a sole voter elect itself at once: there is nobody whose heartbeat it could miss.
func (s *Server) hurryAlone() {
	f := s.Raft().GetConfiguration()
	if f.Error() != nil {
		return
	}
	servers := f.Configuration().Servers
	self := func(srv raft.Server) bool { return srv.ID == raft.ServerID(s.opts.NodeID) }
	if len(servers) > 0 && !slices.ContainsFunc(servers, self) {
		s.log.Warn("this server is none of those that its own log names: it waits for their leader to add it; if its node id was changed by accident, put the former one back into the file node-id",
			"node_id", s.opts.NodeID, "servers", len(servers), "one_of_them", string(servers[0].ID))
	}
	if len(servers) != 1 || servers[0].ID != raft.ServerID(s.opts.NodeID) || servers[0].Suffrage != raft.Voter {
		return
	}
	s.promise.end()
	s.done.Go(func() {
		self := s.transport.LocalAddr()
		req := raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.opts.NodeID), Addr: []byte(self),
		}}
		var resp raft.TimeoutNowResponse
		if err := s.transport.TimeoutNow(raft.ServerID(s.opts.NodeID), self, &req, &resp); err != nil {
			s.log.Debug("the sole voter waits for its election timer", "err", err)
		}
	})
}

// bootstrapTogether founds a cluster with others once as many as expected know one another. All of them write down the
// same list, so it does not matter who is first.
func (s *Server) bootstrapTogether(ctx context.Context) {
	said := ""
	if s.opts.BootstrapExpect > 0 && s.voters() == 0 {
		s.opts.Members.Founding(s.opts.BootstrapExpect)
	}
	for {
		changed := s.opts.Members.Changed()
		if s.voters() > 0 {
			s.opts.Members.Founded()
			return
		}
		founders, why := s.founders()
		if why != said && why != "" {
			s.log.Info("no cluster yet", "reason", why)
			said = why
		}
		if founders != nil {
			f := s.Raft().BootstrapCluster(raft.Configuration{Servers: founders})
			if err := f.Error(); err != nil {
				s.log.Error("founding the cluster failed", "err", err)
			} else {
				s.log.Info("cluster founded", "servers", len(founders))
				continue
			}
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Second): // the leader of an existing cluster may have added us
		case <-ctx.Done():
			return
		}
	}
}

// founders lists those who found a cluster together, or says why they cannot yet.
func (s *Server) founders() ([]raft.Server, string) {
	want := s.opts.BootstrapExpect
	if want == 0 {
		return nil, "bootstrap_expect is not set: waiting for the leader of an existing cluster"
	}
	var out []raft.Server
	for _, m := range s.opts.Members.Members() {
		switch {
		case !m.Server || m.Status != Alive || m.NonVoter:
			continue
		case m.Expect == 0:
			return nil, fmt.Sprintf("%s belongs to a cluster, or has only just started: waiting for a leader to add this server, or for that one to say that there is none", m.Node.Node)
		case m.Expect != want:
			return nil, fmt.Sprintf("%s has bootstrap_expect = %d and this server %d: give both the same", m.Node.Node, m.Expect, want)
		}
		out = append(out, raft.Server{ID: raft.ServerID(m.Node.ID), Address: raft.ServerAddress(m.RPCAddr)})
	}
	if len(out) < want {
		return nil, fmt.Sprintf("%d of %d servers are here", len(out), want)
	}
	slices.SortFunc(out, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return out, ""
}
