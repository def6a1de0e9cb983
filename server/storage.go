package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
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
	room      *room
	// keep is told how to learn what has been applied, and keeps it from being overwritten.
	keep func(applied func() uint64)
}

// used tells whether there is a log, a vote or a snapshot: whether this server has ever belonged to a cluster.
func (s storage) used() (bool, error) {
	used, err := raft.HasExistingState(s.logs, s.stable, s.snapshots)
	if err != nil {
		return false, fmt.Errorf("read the raft state: %w", err)
	}
	return used, nil
}

// inMemory returns storage that ends with the process, for development mode and tests.
func inMemory() storage {
	s := raft.NewInmemStore()
	return storage{logs: s, stable: s, snapshots: raft.NewInmemSnapshotStore(), close: func() error { return nil }, room: new(room), keep: func(func() uint64) {}}
}

// onDisk returns storage in the folder "raft" of the data directory.
func onDisk(dataDir string, logs io.Writer) (storage, error) {
	dir := filepath.Join(dataDir, "raft")
	if err := makeDir(filepath.Join(dir, "wal")); err != nil {
		return storage{}, err
	}
	log, err := openLog(filepath.Join(dir, "wal"))
	if err != nil {
		return storage{}, damaged(dir, err)
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, keptSnapshots, logs)
	if err != nil {
		return storage{}, errors.Join(fmt.Errorf("open the raft snapshots in %s: %w", dir, err), log.Close())
	}
	if err := log.checkEmptyLog(snapshots); err != nil {
		return storage{}, errors.Join(damaged(dir, err), log.Close())
	}
	// Every proposal reads the last entries back for the followers; they are at hand in memory.
	cached, err := raft.NewLogCache(512, log)
	if err != nil {
		return storage{}, errors.Join(fmt.Errorf("cache the raft log: %w", err), log.Close())
	}
	return storage{logs: cached, stable: log, snapshots: snapshots, close: log.Close, room: log.room, keep: log.keep}, nil
}

func damaged(dir string, err error) error {
	return fmt.Errorf("open the raft log in %s: %w; nothing was changed. Restore the directory, or move it away so that this server fetches everything from the others anew", dir, err)
}

// openLog opens the log. On an error nothing stays open.
func openLog(dir string) (summed, error) {
	if err := errors.Join(checkSegments(dir), checkMeta(dir)); err != nil {
		return summed{}, err
	}
	var meta metadb.BoltMetaDB
	log, err := openWAL(dir, &meta)
	if err != nil {
		return summed{}, errors.Join(err, meta.Close())
	}
	if err := log.verify(); err != nil {
		return summed{}, errors.Join(err, log.Close())
	}
	return log, nil
}

// openWAL opens what lies beneath. It reads a file that is mapped into memory and trusts it: what is wrong with it comes as a
// panic or, where the file ends too early, as a fault.
func openWAL(dir string, meta *metadb.BoltMetaDB) (log summed, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s is damaged: %v", filepath.Join(dir, metadb.FileName), r)
		}
	}()
	log.room = &room{dir: dir, free: freeBytes}
	log.applied = new(atomic.Pointer[func() uint64])
	log.WAL, err = wal.Open(dir, wal.WithSegmentSize(segmentSize), wal.WithMetaStore(meta))
	return log, err
}

// checkMeta refuses an empty list of segments, which the library would take for a new one.
func checkMeta(dir string) error {
	name := filepath.Join(dir, metadb.FileName)
	info, err := os.Stat(name)
	if err == nil && info.Size() == 0 {
		return fmt.Errorf("%s is damaged: it is empty", name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// segmentMagic is what every segment of the log begins with, from the first entry on.
const segmentMagic = 0x58eb6b0d

// checkSegments refuses a log of which a segment begins with something else. The library takes such a last segment for one
// that was never written to and begins it anew: entries that were acknowledged would be gone without a word.
func checkSegments(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return err
	}
	for _, name := range names {
		begins, err := beginning(name)
		if err != nil {
			return err
		}
		if begins != 0 && begins != segmentMagic {
			return fmt.Errorf("%s is damaged: it begins with %#x", name, begins)
		}
	}
	return nil
}

// beginning reads the first eight bytes of a file; what is missing is zero.
func beginning(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	if _, err := io.ReadFull(f, b[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
