package local

import (
	"math/rand/v2"
	"sync"
	"time"
)

// dirty is what the catalog is still to be told. It is guarded by State.mu.
type dirty struct {
	node         bool
	services     map[string]struct{}
	checks       map[string]struct{}
	goneServices map[string]string // the token with which it was registered, by id
	goneChecks   map[string]goneCheck
}

// goneCheck is a check that was removed here.
type goneCheck struct{ service, token string }

func newDirty() dirty {
	return dirty{
		services: map[string]struct{}{}, checks: map[string]struct{}{},
		goneServices: map[string]string{}, goneChecks: map[string]goneCheck{},
	}
}

func (d *dirty) serviceGone(id, token string) {
	delete(d.services, id)
	d.goneServices[id] = token
}

func (d *dirty) checkGone(id string, c goneCheck) {
	delete(d.checks, id)
	d.goneChecks[id] = c
}

// takeDirty hands over what is to be told and begins anew. It is called with mu held.
func (s *State) takeDirty() dirty {
	d := s.dirty
	s.dirty = newDirty()
	return d
}

// dirtyCheck marks a check, whose status or output has changed, to be told. It is called with mu held.
func (s *State) dirtyCheck(c *healthCheck) {
	if c.deferred != nil {
		c.deferred.Stop()
		c.deferred = nil
	}
	s.dirty.checks[c.id] = struct{}{}
	signal(s.wake)
}

// signal leaves word in a channel of one element.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// jitter returns a duration that is d on the average, and hardly ever d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

// atOnce is how many requests, or closings, run at a time.
const atOnce = 16

// inParallel calls f with 0 to n-1, some at a time, and waits for all.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
