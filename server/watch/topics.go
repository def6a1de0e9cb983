// Package watch lets many readers follow what changes, at the price of one.
//
// It has three parts. Topics wake whoever subscribed to the names that a change touched, also names that do not exist
// yet. A View holds the keyed rows of one query as an immutable State and hands every new State to all who wait. Views
// shares one View among all readers of the same query and frees it when the last one has gone.
//
// A reader holds no queue: it asks for the State after the one it has, so a slow reader skips what it missed and
// memory stays bounded. What a reader far away must be sent is the difference of two States, a Frame.
//
// The package imports nothing of Parley's: what a topic is called and what a row holds is the caller's business. It
// serves the servers' queries and the agents' RPC client alike.
package watch

import "sync"

// Topics wakes subscribers by name.
type Topics[K comparable] struct {
	mu   sync.Mutex
	subs map[K]map[*Subscription[K]]struct{}
	all  map[*Subscription[K]]struct{}
}

// NewTopics returns an empty set of topics.
func NewTopics[K comparable]() *Topics[K] {
	return &Topics[K]{subs: map[K]map[*Subscription[K]]struct{}{}, all: map[*Subscription[K]]struct{}{}}
}

// Subscription is one subscriber's interest in a set of names.
type Subscription[K comparable] struct {
	// C receives one value when a name has changed since the last receive. Wake-ups are joined, never queued.
	C <-chan struct{}

	c      chan struct{}
	topics *Topics[K]
	keys   map[K]struct{} // guarded by topics.mu
}

// Subscribe returns a subscription to no name yet: Watch names them.
func (t *Topics[K]) Subscribe() *Subscription[K] {
	c := make(chan struct{}, 1)
	s := &Subscription[K]{C: c, c: c, topics: t, keys: map[K]struct{}{}}
	t.mu.Lock()
	t.all[s] = struct{}{}
	t.mu.Unlock()
	return s
}

// Watch replaces the names that wake the subscription. After it returns no change of them is missed. It reports whether
// one of them is new: the caller then makes sure that it was not changed before.
func (s *Subscription[K]) Watch(keys []K) (added bool) {
	t := s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	want := make(map[K]struct{}, len(keys))
	for _, k := range keys {
		want[k] = struct{}{}
		if _, ok := s.keys[k]; ok {
			continue
		}
		added = true
		if t.subs[k] == nil {
			t.subs[k] = map[*Subscription[K]]struct{}{}
		}
		t.subs[k][s] = struct{}{}
	}
	for k := range s.keys {
		if _, ok := want[k]; !ok {
			t.drop(k, s)
		}
	}
	s.keys = want
	return added
}

// Close ends the subscription. C receives nothing more.
func (s *Subscription[K]) Close() {
	t := s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range s.keys {
		t.drop(k, s)
	}
	s.keys = nil
	delete(t.all, s)
}

// drop is called with mu held.
func (t *Topics[K]) drop(k K, s *Subscription[K]) {
	delete(t.subs[k], s)
	if len(t.subs[k]) == 0 {
		delete(t.subs, k)
	}
}

// Publish wakes the subscribers of the names.
func (t *Topics[K]) Publish(keys []K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		for s := range t.subs[k] {
			s.wake()
		}
	}
}

// PublishAll wakes every subscriber: the state has been replaced as a whole.
func (t *Topics[K]) PublishAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.all {
		s.wake()
	}
}

func (s *Subscription[K]) wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}
