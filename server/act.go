package server

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
)

// RemovePeer implements verb.Actor.
func (s *Server) RemovePeer(_ context.Context, id, address string) error {
	have, err := s.raftServers()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(have, func(srv raft.Server) bool {
		return id != "" && string(srv.ID) == id || id == "" && string(srv.Address) == address
	})
	switch {
	case i < 0 && id != "":
		return api.Errorf(http.StatusInternalServerError, "id %q was not found in the Raft configuration", id)
	case i < 0:
		return api.Errorf(http.StatusInternalServerError, "address %q was not found in the Raft configuration", address)
	case string(have[i].ID) == s.opts.NodeID:
		return api.Errorf(http.StatusInternalServerError, "server %s leads: hand over first (parley operator raft transfer-leader), then remove it", have[i].ID)
	}
	peer := have[i]
	s.log.Info("raft servers change", "change", remove, "id", peer.ID, "addr", peer.Address, "reason", "an operator has asked for it")
	return s.Raft().RemoveServer(peer.ID, 0, raftTimeout).Error()
}

// TransferLeadership implements verb.Actor. Raft itself would choose the server whose log is longest, though it may have died just
// now; here it is one that is alive.
func (s *Server) TransferLeadership(_ context.Context, id string) error {
	have, err := s.raftServers()
	if err != nil {
		return err
	}
	known := serversByID(s.opts.Members.Members())
	alive := func(srv raft.Server) bool { return known[string(srv.ID)].Status == Alive }
	others := slices.DeleteFunc(slices.Clone(have), func(srv raft.Server) bool {
		return srv.Suffrage != raft.Voter || string(srv.ID) == s.opts.NodeID || id != "" && string(srv.ID) != id
	})
	if id == s.opts.NodeID {
		return nil // it leads already, perhaps since the same was asked before
	}
	if len(others) == 0 {
		if id != "" {
			return api.Errorf(http.StatusInternalServerError, "cannot find peer %q among the servers with a vote", id)
		}
		return api.Errorf(http.StatusInternalServerError, "cannot find peer: no other server has a vote")
	}
	slices.SortStableFunc(others, func(a, b raft.Server) int { return cmp.Compare(rank(alive(b)), rank(alive(a))) })
	to := others[0]
	if !alive(to) {
		return api.Errorf(http.StatusInternalServerError, "cannot hand over to server %s: it is not alive", to.ID)
	}
	if err := s.Raft().LeadershipTransferToServer(to.ID, to.Address).Error(); err != nil {
		return api.Errorf(http.StatusInternalServerError, "hand over to server %s at %s: %v", to.ID, to.Address, err)
	}
	s.log.Info("leadership handed over", "id", to.ID, "addr", to.Address)
	return nil
}

func rank(alive bool) int {
	if alive {
		return 1
	}
	return 0
}

// raftServers lists who replicates.
func (s *Server) raftServers() ([]raft.Server, error) {
	f := s.Raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, api.Errorf(http.StatusInternalServerError, "read the raft configuration: %v", err)
	}
	return f.Configuration().Servers, nil
}
