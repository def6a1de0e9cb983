package server

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/parleymesh/parley/api"
)

// A disk that runs full in the midst of a write leaves the log's library with a segment that it can neither go on with nor
// follow by another, until it is opened anew. So the log stops before: first the leader refuses what clients want to write, while
// there is room for what the servers themselves have to say; then the log takes nothing any more. Both end by themselves when
// there is room again.
const (
	roomForClients = 4 * segmentSize
	roomForServers = 2 * segmentSize
)

// room is the disk on which the log is. The zero value is memory.
type room struct {
	dir  string
	free func(dir string) (uint64, error) // bytes that this process may still write
	owed atomic.Bool                      // the end of the log was cut off, and room was there for what follows
}

// check tells whether that much is left. A disk that does not say is taken for one that has enough.
func (r *room) check(least uint64) error {
	if r.free == nil {
		return nil
	}
	n, err := r.free(r.dir)
	if err != nil || n >= least {
		return nil
	}
	return api.Errorf(http.StatusInsufficientStorage,
		"the disk of %s is full: %d MiB are left, and the log stops at %d, before it is damaged; make room, and it goes on by itself", r.dir, n>>20, least>>20)
}

// admit is asked by core before a client's command is appended here.
func (r *room) admit() error {
	if err := r.check(roomForClients); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return nil
}

// roomForCopies is how many of a restored snapshot are on the disk at a time: the one before it, its own, and one in the making.
const roomForCopies = 3

// admitSnapshot is asked by core before a snapshot of so many bytes is restored.
func (r *room) admitSnapshot(size int64) error {
	return r.check(roomForClients + roomForCopies*uint64(max(size, 0)))
}
