package rpc

import "sync"

// maxSeen bounds of how many queries is known what was last answered. When there are more all is forgotten: that costs who asks again
// no more than what the next server happens to know.
const maxSeen = 4096

// seen is how far the stale answers to each query had come. Any server gives those, and the next one that is asked may be behind the
// one before it.
type seen struct {
	mu      sync.Mutex
	indexes map[viewKey]uint64 // guarded by mu
}

// index returns how far the answers had come.
func (s *seen) index(key viewKey) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[key]
}

// answered notes an answer that was given, also one that goes back: so it is when nobody knows more.
func (s *seen) answered(key viewKey, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexes == nil || len(s.indexes) >= maxSeen {
		s.indexes = map[viewKey]uint64{}
	}
	s.indexes[key] = index
}
