package meshcases

import (
	"context"
	"sync"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// Source is a snapshot.Source in memory: it hands out what it was given.
type Source struct {
	mu      sync.Mutex // guards what follows
	latest  map[string]*snapshot.Snapshot
	seq     map[string]uint64
	changed chan struct{} // closed and replaced at each change
	denied  map[string]bool
}

// NewSource returns a source that knows no proxy yet.
func NewSource() *Source {
	return &Source{
		latest: map[string]*snapshot.Snapshot{}, seq: map[string]uint64{}, changed: make(chan struct{}), denied: map[string]bool{},
	}
}

// Set hands out a snapshot, which must not be changed any more.
func (s *Source) Set(next *snapshot.Snapshot) {
	s.change(func() {
		s.latest[next.ProxyID] = next
		s.seq[next.ProxyID]++
	})
}

// Deny refuses a token from now on.
func (s *Source) Deny(token string) { s.change(func() { s.denied[token] = true }) }

func (s *Source) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Subscribe implements snapshot.Source.
func (s *Source) Subscribe(_ context.Context, proxyID, token string) (snapshot.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied[token] {
		return nil, snapshot.ErrDenied
	}
	closed, stop := context.WithCancel(context.Background())
	return &stream{source: s, proxyID: proxyID, token: token, closed: closed, stop: stop}, nil
}

type stream struct {
	source         *Source
	proxyID, token string
	seen           uint64
	closed         context.Context
	stop           context.CancelFunc
}

// Close implements snapshot.Stream.
func (s *stream) Close() { s.stop() }

// Next implements snapshot.Stream.
func (s *stream) Next(ctx context.Context) (*snapshot.Snapshot, error) {
	for {
		s.source.mu.Lock()
		latest, seq, changed, denied := s.source.latest[s.proxyID], s.source.seq[s.proxyID], s.source.changed, s.source.denied[s.token]
		s.source.mu.Unlock()
		switch {
		case denied:
			return nil, snapshot.ErrDenied
		case latest != nil && seq != s.seen:
			s.seen = seq
			return latest, nil
		}
		select {
		case <-changed:
		case <-s.closed.Done():
			return nil, snapshot.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
