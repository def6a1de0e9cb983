package server

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// segmentSize is small so that the log shrinks soon after a snapshot.
const segmentSize = 16 << 20

// keptSnapshots is one to use and one in case it cannot be read.
const keptSnapshots = 2

// storage is where raft keeps its log, its vote and its snapshots.
type storage struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

// inMemory returns storage that ends with the process, for development mode and tests.
func inMemory() storage {
	s := raft.NewInmemStore()
	return storage{logs: s, stable: s, snapshots: raft.NewInmemSnapshotStore(), close: func() error { return nil }}
}

// onDisk returns storage in the folder "raft" of the data directory.
func onDisk(dataDir string, logs io.Writer) (storage, error) {
	dir := filepath.Join(dataDir, "raft")
	if err := makeDir(filepath.Join(dir, "wal")); err != nil {
		return storage{}, err
	}
	log, err := wal.Open(filepath.Join(dir, "wal"), wal.WithSegmentSize(segmentSize))
	if err != nil {
		return storage{}, fmt.Errorf("open the raft log in %s: %w; nothing was changed. Restore the directory, or move it away so that this server fetches everything from the others anew", dir, err)
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, keptSnapshots, logs)
	if err != nil {
		return storage{}, errors.Join(fmt.Errorf("open the raft snapshots in %s: %w", dir, err), log.Close())
	}
	// Every proposal reads the last entries back for the followers; they are at hand in memory.
	cached, err := raft.NewLogCache(512, log)
	if err != nil {
		return storage{}, errors.Join(fmt.Errorf("cache the raft log: %w", err), log.Close())
	}
	return storage{logs: cached, stable: log, snapshots: snapshots, close: log.Close}, nil
}
