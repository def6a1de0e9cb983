package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// summed is a log in which every entry bears a checksum. The library below verifies only what was written last before a crash: a
// bit that flips on the disk would become another value, on this server alone, and nobody would know.
//
// The sum stands at the end of the entry's extensions, for this server's disk only: readers do not see it, and every server
// makes its own.
type summed struct {
	*wal.WAL
	room    *room
	applied *atomic.Pointer[func() uint64] // the index up to which entries have been applied; nil before raft has started
}

func (s summed) keep(applied func() uint64) { s.applied.Store(&applied) }

// DeleteRange implements raft.LogStore. Raft cuts off the end of a follower's log where the leader has other entries, and never
// one that was committed: a leader that asks for that is of another cluster.
//
// Raft is lost when an end is cut off and what is to follow is then refused: it goes on with what is not there any more. So an end is
// cut off only when there is room for what follows, and that is not refused.
func (s summed) DeleteRange(first, last uint64) error {
	begin, err := s.FirstIndex()
	if err != nil {
		return err
	}
	end, err := s.LastIndex()
	if err != nil {
		return err
	}
	if first <= begin || last != end {
		return s.WAL.DeleteRange(first, last)
	}
	if applied := s.applied.Load(); applied != nil {
		if n := (*applied)(); first <= n {
			return fmt.Errorf("a leader has other entries from %d on, and up to %d they are committed here: it is of another cluster; "+
				"stop that server, remove its data directory and its bootstrap_expect", first, n)
		}
	}
	if err := s.room.check(roomForServers); err != nil {
		return err
	}
	if err := s.WAL.DeleteRange(first, last); err != nil {
		return err
	}
	s.room.owed.Store(true)
	return nil
}

// sumMark begins a sum, so that an entry without one is told from an entry with one.
var sumMark = []byte("crc32c")

const sumSize = 6 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum covers everything that raft reads of an entry.
func sum(l *raft.Log, extensions []byte) []byte {
	head := binary.LittleEndian.AppendUint64(nil, l.Index)
	head = binary.LittleEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(extensions)))
	h := crc32.Update(0, castagnoli, head)
	h = crc32.Update(h, castagnoli, extensions)
	h = crc32.Update(h, castagnoli, l.Data)
	return binary.LittleEndian.AppendUint32(slices.Clone(sumMark), h)
}

// StoreLog implements raft.LogStore.
func (s summed) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. The entries are raft's and stay as they are.
func (s summed) StoreLogs(logs []*raft.Log) error {
	if !s.room.owed.Swap(false) {
		if err := s.room.check(roomForServers); err != nil {
			return err
		}
	}
	with := make([]*raft.Log, len(logs))
	for i, l := range logs {
		c := *l
		c.Extensions = slices.Concat(l.Extensions, sum(l, l.Extensions))
		with[i] = &c
	}
	return s.WAL.StoreLogs(with)
}

// GetLog implements raft.LogStore.
func (s summed) GetLog(index uint64, l *raft.Log) error {
	if err := s.WAL.GetLog(index, l); err != nil {
		return err
	}
	at := len(l.Extensions) - sumSize
	if at < 0 {
		return fmt.Errorf("entry %d is damaged: it has no checksum", index)
	}
	extensions, found := l.Extensions[:at], l.Extensions[at:]
	if l.Index != index || !bytes.Equal(found, sum(l, extensions)) {
		return fmt.Errorf("entry %d is damaged: its checksum is another one", index)
	}
	l.Extensions = nil
	if at > 0 {
		l.Extensions = extensions
	}
	return nil
}

// verify reads the whole log, which raft would do only after it has been started, and then end the process in its midst.
func (s summed) verify() error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			return err
		}
	}
	return nil
}

// The names under which raft keeps its term and its vote.
var (
	currentTerm  = []byte("CurrentTerm")
	lastVoteTerm = []byte("LastVoteTerm")
)

// checkEmptyLog looks at a log without entries and without a snapshot before them. Who has voted had one: it is lost. Term 1
// without a vote is a founding that a crash cut short between its two writes; it is taken back, so that it can be done again.
func (s summed) checkEmptyLog(snapshots raft.SnapshotStore) error {
	kept, err := snapshots.List()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil || last > 0 || len(kept) > 0 {
		return err
	}
	voted, err := s.GetUint64(lastVoteTerm)
	if err != nil {
		return err
	}
	if voted > 0 {
		return errors.New("it has no entries, but this server has voted: a file of the log is lost")
	}
	term, err := s.GetUint64(currentTerm)
	if err != nil || term != 1 {
		return err
	}
	return s.SetUint64(currentTerm, 0)
}
