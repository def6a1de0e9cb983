// Package server is one of the servers that hold the replicated state: storage, raft and core wired together, with the
// table of all nouns, the first bootstrap, and what the leader does about members. It knows gossip only as Members, and
// the network only as a raft transport and a way to the leader; command/agent hands them in.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/verb"
)

// Options is what a Server is made of.
type Options struct {
	NodeID, NodeName, Datacenter string
	// Release is the version of the binary.
	Release string
	// Domain is the DNS domain under which trust domains are named, without dots around it.
	Domain string
	// DataDir holds the log. Empty: everything is in memory.
	DataDir string
	// BootstrapExpect is how many servers found a new cluster together; 0 joins one that exists.
	BootstrapExpect int
	// NonVoter replicates but has no vote.
	NonVoter bool
	// RaftMultiplier stretches raft's timing as the public setting does; 0 keeps ours.
	RaftMultiplier int
	RaftLogs       RaftLogs
	// Hold is how long a request waits for a leader; 0 means core's default.
	Hold                 time.Duration
	DefaultWait, MaxWait time.Duration

	Members Members
	Stream  raft.StreamLayer
	Leader  verb.Handler // reaches the leader when that is another server
	Peers   Peers        // asks the other servers; nil for one that is alone
	// Elsewhere reaches other datacenters, and Everywhere knows their servers; nil for a server that meets none.
	Elsewhere  core.Elsewhere
	Everywhere Everywhere
	Gossip     Gossip // nil where nobody asks for it
	Authorizer core.Authorizer
	// Autopilot is how a new cluster's leader looks after the servers; it is replicated, and what stands there counts.
	Autopilot api.AutopilotConfiguration
	// DefaultAllow is what happens between two services for which no intention says anything, and DefaultWhy says why.
	DefaultAllow bool
	DefaultWhy   string
	// FirstEntries are the config entries that are written where there are none of the kind and name.
	FirstEntries []api.ConfigEntry

	Logger    *slog.Logger
	RaftLog   hclog.Logger
	LogOutput io.Writer
}

// RaftLogs is how a server keeps its log, and whether it asks the others before it stands for election. What is 0 is as usual.
type RaftLogs struct {
	// A snapshot is taken when the log has grown by so many entries, which is looked at so often; the log is cut then but for a
	// tail, from which a follower that was away for a moment catches up.
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	Trailing          uint64
	WithoutPreVote    bool
}

// Server is a running server.
type Server struct {
	*core.Core
	opts      Options
	log       *slog.Logger
	storage   storage
	promise   *promise
	transport *raft.NetworkTransport
	cancel    context.CancelFunc
	done      sync.WaitGroup
	overseer  overseer
}

// raftTimeout bounds one exchange between two servers.
const raftTimeout = 10 * time.Second

// New starts a server. On an error nothing is left running.
func New(o Options) (_ *Server, err error) {
	s := &Server{opts: o, log: o.Logger.With("component", "server")}
	var undo []func()
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()

	if s.storage, err = openStorage(o); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = s.storage.close() })

	cfg := raftConfig(o)
	s.promise = newPromise(o.Stream, cfg.LeaderLeaseTimeout)
	if used, err := s.storage.used(); err != nil {
		return nil, err
	} else if !used {
		s.promise.end()
	}
	s.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s.promise, MaxPool: 3, Timeout: raftTimeout, Logger: o.RaftLog,
		ServerAddressProvider: addresses{o.Members},
	})
	undo = append(undo, func() { _ = s.transport.Close() })

	if err = s.recoverPeers(cfg); err != nil {
		return nil, err
	}
	if err = s.bootstrapAlone(cfg); err != nil {
		return nil, err
	}
	known, err := s.tellCluster()
	if err != nil {
		return nil, err
	}
	keeper := newSessionKeeper()
	s.Core, err = core.New(core.Options{
		Datacenter: o.Datacenter, Types: types(), Authorizer: o.Authorizer, Leader: o.Leader, Elsewhere: o.Elsewhere, Loops: append(loops(o), s.peersLoop(), keeper.loop()), Memory: keeper, Actor: s, Servers: s,
		Raft: cfg, Logs: s.storage.logs, Stable: s.storage.stable, Snapshots: s.storage.snapshots, Transport: s.transport,
		Admit: s.storage.room.admit, AdmitSnapshot: s.storage.room.admitSnapshot, Release: o.Release,
		Hold: o.Hold, DefaultWait: o.DefaultWait, MaxWait: o.MaxWait, Measure: measure, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.storage.keep(s.Raft().AppliedIndex)
	s.hurryAlone()

	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.bootstrapTogether(ctx) })
	s.done.Go(func() { s.learnCluster(ctx, known) })
	return s, nil
}

func openStorage(o Options) (storage, error) {
	if o.DataDir == "" {
		return inMemory(), nil
	}
	return onDisk(o.DataDir, o.LogOutput)
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create %s: %w", dir, err)
	}
	return nil
}

// raftConfig is raft's own default but for the timing: an election is decided within a second, and a leader that is cut
// off knows it sooner.
func raftConfig(o Options) *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(o.NodeID)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 250*time.Millisecond
	if m := time.Duration(o.RaftMultiplier); m > 0 {
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = m*time.Second, m*time.Second, m*500*time.Millisecond
	}
	cfg.BatchApplyCh = true
	// Who is removed stays, without a vote, until it is stopped: core decides when raft stops.
	cfg.ShutdownOnRemove = false
	cfg.Logger = o.RaftLog
	logs := o.RaftLogs
	cfg.SnapshotThreshold, cfg.TrailingLogs = cmp.Or(logs.SnapshotThreshold, 16384), cmp.Or(logs.Trailing, 10240)
	cfg.SnapshotInterval = cmp.Or(logs.SnapshotInterval, 30*time.Second)
	cfg.PreVoteDisabled = logs.WithoutPreVote
	return cfg
}

// StepDown hands leadership to another server, when there is one to take it, so that a stop costs no election.
func (s *Server) StepDown() {
	if s.Raft().State() != raft.Leader || s.voters() < 2 {
		return
	}
	if err := s.TransferLeadership(context.Background(), ""); err != nil {
		s.log.Warn("leadership was not handed over, the others will elect", "err", err)
	}
}

func (s *Server) voters() int {
	n := 0
	if f := s.Raft().GetConfiguration(); f.Error() == nil {
		for _, srv := range f.Configuration().Servers {
			if srv.Suffrage == raft.Voter {
				n++
			}
		}
	}
	return n
}

// Close hands over leadership, stops everything and closes the storage.
func (s *Server) Close() error {
	s.StepDown()
	s.cancel()
	s.done.Wait()
	err := s.Core.Close()
	return errors.Join(err, s.transport.Close(), s.storage.close())
}

// LeaderAddr is the leader's RPC address; empty while none is known or the one there is does not answer yet.
func (s *Server) LeaderAddr() string {
	addr, _ := s.Raft().LeaderWithID()
	if s.Raft().State() == raft.Leader && !s.Ready() {
		return ""
	}
	return string(addr)
}

// RawLeaderAddr is where raft says that the leader is, whether or not it answers yet: requests are handed on to it.
func (s *Server) RawLeaderAddr() string {
	addr, _ := s.Raft().LeaderWithID()
	return string(addr)
}

// RaftConfiguration lists the servers that raft counts on. Needs operator:read.
func (s *Server) RaftConfiguration() (api.RaftConfiguration, error) {
	var v sight
	var err error
	if s.Ready() {
		v, err = s.look(context.Background())
	} else {
		v, err = s.glance()
	}
	if err != nil {
		return api.RaftConfiguration{}, api.Errorf(http.StatusInternalServerError, "%v", err)
	}
	_, leader := s.Raft().LeaderWithID()
	out := api.RaftConfiguration{Index: v.index, Servers: []api.RaftServer{}}
	for _, is := range v.all {
		r := api.RaftServer{
			ID: string(is.server.ID), Node: "(unknown)", Address: string(is.server.Address), Leader: is.server.ID == leader,
			Voter: is.server.Suffrage == raft.Voter, ProtocolVersion: "3",
		}
		if is.member.Server {
			r.Node, r.Address = is.member.Node.Node, is.member.RPCAddr
		}
		if is.member.Status != Alive {
			r.Status = is.status()
		}
		if is.progress != nil {
			r.LastIndex = is.progress.LastIndex
		}
		out.Servers = append(out.Servers, r)
	}
	return out, nil
}
