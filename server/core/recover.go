package core

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/watch"
)

// Recover makes the servers of a configuration the only ones, on a server that does not run: what its log holds is applied, up to the
// end and whether or not it was committed, and kept as a snapshot in place of the log. Where an entry cannot be read or is not
// known, nothing is changed.
func Recover(cfg *raft.Config, types Types, logs raft.LogStore, stable raft.StableStore, snapshots raft.SnapshotStore, transport raft.Transport, servers raft.Configuration) error {
	// The first entry that cannot be applied also fails the snapshot, which comes before anything is deleted.
	var reason error
	f := newFSM(types, watch.NewTopics[state.Topic](), func(err error) { reason = errors.Join(reason, err) })
	if err := raft.RecoverCluster(cfg, f, logs, stable, snapshots, transport, servers); err != nil {
		if reason != nil {
			return reason
		}
		return err
	}
	return nil
}
