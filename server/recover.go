package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/core"
)

// PeersFile is a file of the data directory that a server reads at its start, and removes: the servers that it lists are the only ones
// from then on. It is how a cluster that has lost most of its servers for good is brought back. The format is the public one, a list of
// {"id", "address", "non_voter"}.
const PeersFile = "raft/peers.json"

// Peer is an entry of PeersFile.
type Peer struct {
	ID       string `json:"id"`
	Address  string `json:"address"` // of its RPC, host:port
	NonVoter bool   `json:"non_voter"`
}

// recoverPeers does what PeersFile asks for, if there is one. On an error nothing has been changed.
func (s *Server) recoverPeers(cfg *raft.Config) error {
	if s.opts.DataDir == "" {
		return nil
	}
	path := filepath.Join(s.opts.DataDir, filepath.FromSlash(PeersFile))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var peers []Peer
	if err == nil {
		err = json.Unmarshal(text, &peers)
	}
	if err == nil {
		err = checkPeers(peers, s.opts.NodeID, string(s.transport.LocalAddr()))
	}
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was changed: correct the file, or remove it to start as before", path, err)
	}
	var servers raft.Configuration
	for _, p := range peers {
		suffrage := raft.Voter
		if p.NonVoter {
			suffrage = raft.Nonvoter
		}
		servers.Servers = append(servers.Servers, raft.Server{Suffrage: suffrage, ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)})
	}
	if err := core.Recover(cfg, types(), s.storage.logs, s.storage.stable, s.storage.snapshots, s.transport, servers); err != nil {
		return fmt.Errorf("make the servers of %s the only ones: %w; nothing was changed: remove the file to start as before", path, err)
	}
	// A second time would do the same: what comes between the two is only the end of this process.
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("%s has been carried out and must go: %w", path, err)
	}
	s.log.Warn("the servers of this cluster are now those of peers.json, which is removed; a former server that is not among them must not come back with its data",
		"servers", len(peers))
	return nil
}

// checkPeers refuses a list that would leave a cluster in which this server has no place, or in which nobody can vote.
func checkPeers(peers []Peer, self, addr string) error {
	voters, found := 0, false
	ids, addrs := map[string]bool{}, map[string]bool{}
	for i, p := range peers {
		if p.ID == "" {
			return fmt.Errorf("[%d].id is missing: it is what the file node-id of that server's data directory says", i)
		}
		if ids[p.ID] || addrs[p.Address] {
			return fmt.Errorf("[%d]: %s at %s is listed twice", i, p.ID, p.Address)
		}
		ids[p.ID], addrs[p.Address] = true, true
		host, port, err := net.SplitHostPort(p.Address)
		if err != nil {
			return fmt.Errorf("[%d].address %q: want host:port of that server's RPC, such as 10.0.0.1:8300", i, p.Address)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
			return fmt.Errorf("[%d].address %q: want the host and the port of that server's RPC, such as 10.0.0.1:8300", i, p.Address)
		}
		if p.ID == self {
			found = true
			if p.Address != addr {
				return fmt.Errorf("[%d].address is %q, but this server's RPC is at %s", i, p.Address, addr)
			}
		}
		if !p.NonVoter {
			voters++
		}
	}
	switch {
	case len(peers) == 0:
		return errors.New("it lists no server")
	case voters == 0:
		return errors.New("it lists no server that votes")
	case !found:
		return fmt.Errorf("this server, %s, is not listed", self)
	}
	return nil
}

// Survivor is what a server that does not run has of the cluster.
type Survivor struct {
	LastIndex, LastTerm uint64
	// LastTime is when the last entry was appended, by its leader's clock; zero where that is not known.
	LastTime time.Time
	// Applied is the index of the last snapshot: everything up to there was committed. Of what comes after it, the log alone does
	// not tell.
	Applied uint64
	Servers []raft.Server
}

// Survey reads what a server has, from a data directory that no agent holds.
func Survey(dataDir string) (v Survivor, err error) {
	if _, err := os.Stat(filepath.Join(dataDir, "raft", "wal")); err != nil {
		return v, fmt.Errorf("%s is not the data directory of a server: %w", dataDir, err)
	}
	s, err := onDisk(dataDir, os.Stderr)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	snapshots, err := s.snapshots.List()
	if err != nil {
		return v, err
	}
	if len(snapshots) > 0 {
		m := snapshots[0]
		v.Applied, v.LastIndex, v.LastTerm, v.Servers = m.Index, m.Index, m.Term, m.Configuration.Servers
	}
	first, err := s.logs.FirstIndex()
	if err != nil {
		return v, err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return v, err
	}
	for i := max(first, 1); i <= last; i++ {
		var l raft.Log
		if err := s.logs.GetLog(i, &l); err != nil {
			return v, fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if l.Type == raft.LogConfiguration {
			v.Servers = raft.DecodeConfiguration(l.Data).Servers
		}
		if i >= v.LastIndex {
			v.LastIndex, v.LastTerm, v.LastTime = l.Index, l.Term, l.AppendedAt
		}
	}
	if v.LastIndex == 0 {
		return v, fmt.Errorf("%s holds nothing: this server was never part of a cluster", dataDir)
	}
	return v, nil
}
