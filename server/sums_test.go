package server

import (
	"io"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
)

// A follower whose disk is full when its leader has other entries keeps those that it has, and takes the leader's when there is room.
func TestFullDiskCutsNothingOff(t *testing.T) {
	s, err := onDisk(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var left atomic.Uint64
	left.Store(roomForClients)
	s.room.free = func(string) (uint64, error) { return left.Load(), nil }
	entry := func(index, term uint64) []*raft.Log {
		return []*raft.Log{{Index: index, Term: term, Data: []byte("x")}}
	}
	for i := range uint64(5) {
		if err := s.logs.StoreLogs(entry(i+1, 1)); err != nil {
			t.Fatal(err)
		}
	}

	left.Store(roomForServers - 1)
	if s.logs.DeleteRange(4, 5) == nil {
		t.Error("the end is cut off without room for what follows")
	}
	var l raft.Log
	if err := s.logs.GetLog(5, &l); err != nil || l.Term != 1 {
		t.Errorf("entry 5 is of term %d, %v", l.Term, err)
	}

	left.Store(roomForServers)
	if err := s.logs.DeleteRange(4, 5); err != nil {
		t.Fatal(err)
	}
	left.Store(roomForServers - 1) // somebody else has written meanwhile
	if err := s.logs.StoreLogs(entry(4, 2)); err != nil {
		t.Errorf("what was to follow is refused: %v", err)
	}
	if s.logs.StoreLogs(entry(5, 2)) == nil {
		t.Error("the log goes on without room")
	}
	if err := s.logs.DeleteRange(1, 2); err != nil {
		t.Errorf("the beginning is kept, which would make room: %v", err)
	}
}
