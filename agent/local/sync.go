package local

import (
	"context"
	"errors"
	"maps"
	"math/bits"
	"net/http"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

const (
	// compareInterval is about how often everything is compared with the catalog in a pool of at most fewMembers. It doubles
	// each time that their number does: the servers should have as much to do.
	compareInterval = time.Minute
	fewMembers      = 128
	// After a failure everything is compared again: at first soon, then less often.
	minRetry = 250 * time.Millisecond
	maxRetry = 5 * time.Second
	// refusedRetry is the same after servers have answered but refused something.
	refusedRetry = 10 * time.Second
)

// Run makes the catalog say what is registered here, until ctx ends: each change at once, and everything from time to time,
// for the catalog may have been changed by others.
func (s *State) Run(ctx context.Context) {
	compare := time.NewTimer(s.compareInterval())
	defer compare.Stop()
	retry, refusals := minRetry, 0
	s.mu.Lock()
	// It begins with a comparison, which finds what of all that was restored is news to the catalog.
	clear(s.dirty.services)
	clear(s.dirty.checks)
	s.mu.Unlock()
	for everything := true; ctx.Err() == nil; {
		err := s.syncOnce(ctx, everything)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.sync.lost(s, err)
			everything = true
			if !sleep(ctx, jitter(retry)) {
				return
			}
			retry = min(2*retry, maxRetry)
			continue
		}
		s.sync.found(s)
		retry = minRetry
		if everything {
			refusals++
			compare.Reset(s.nextCompare(&refusals))
		}
		select {
		case <-s.wake:
			everything = false
		case <-compare.C:
			everything = true
		case <-ctx.Done():
		}
	}
}

// syncOnce tells the catalog what is to be told, after a look at what it says when everything is to be compared. The error
// says that no server is there; what servers refuse is none.
func (s *State) syncOnce(ctx context.Context, everything bool) error {
	if everything {
		if err := s.compare(ctx); err != nil {
			return err
		}
	}
	return s.push(ctx)
}

func (s *State) compareInterval() time.Duration {
	d := compareInterval
	if s.o.Members != nil {
		if n := s.o.Members(); n > fewMembers {
			d *= time.Duration(1 + bits.Len(uint((n-1)/fewMembers)))
		}
	}
	return jitter(d)
}

// nextCompare is when everything is compared again: sooner while something is refused, but less so each time.
func (s *State) nextCompare(refusals *int) time.Duration {
	d := s.compareInterval()
	if !s.sync.anyRefused() {
		*refusals = 0
		return d
	}
	return min(d, jitter(refusedRetry<<min(*refusals, 8)))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// compare looks for what differs between here and the catalog, and marks it to be told.
func (s *State) compare(ctx context.Context) error {
	a, err := s.o.Client.Query(ctx, verb.Options{Token: s.token("")}, catalog.Node{Name: s.o.Node.Node})
	if err != nil {
		if !refusal(err) {
			return err
		}
		s.sync.refuse(s, "reading this node in the catalog", err)
		return nil
	}
	s.sync.accept("reading this node in the catalog")
	mine := s.picture()
	s.mark(mine, compare(mine, pictureOf(verb.Values[*catalog.NodePart](a)), s.o.Server))
	return nil
}

// picture is what is registered here at this moment.
func (s *State) picture() picture {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := picture{node: &s.o.Node, services: make(map[string]*api.Service, len(s.services)), checks: make(map[string]*api.Check, len(s.checks))}
	for id, sv := range s.services {
		p.services[id] = sv.value
	}
	for id, c := range s.checks {
		p.checks[id] = c.value
	}
	return p
}

// mark marks what differs to be told. What has changed since the picture was taken is marked already, by itself.
func (s *State) mark(mine picture, d difference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty.node = s.dirty.node || d.node
	for id, tags := range d.tags {
		if sv := s.services[id]; sv != nil && sv.value == mine.services[id] {
			s.adoptTags(sv, tags)
		}
	}
	for _, id := range d.services {
		s.dirty.services[id] = struct{}{}
	}
	for _, id := range d.checks {
		s.dirty.checks[id] = struct{}{}
	}
	for _, id := range d.outputs {
		if c := s.checks[id]; c != nil {
			s.deferOutput(c)
		}
	}
	for _, id := range d.ghostServices {
		if _, marked := s.dirty.goneServices[id]; s.services[id] == nil && !marked {
			s.dirty.goneServices[id] = ""
		}
	}
	for id, service := range d.ghostChecks {
		if _, marked := s.dirty.goneChecks[id]; s.checks[id] == nil && !marked {
			s.dirty.goneChecks[id] = goneCheck{service: service}
		}
	}
}

// adoptTags takes over tags that somebody has given to a service in the catalog and was allowed to. It is called with mu held.
func (s *State) adoptTags(sv *service, tags []string) {
	v := *sv.value
	v.Tags = tags
	sv.value = &v
	if sv.changed != nil {
		close(sv.changed)
		sv.changed = nil
	}
}

// refusal tells an answer of the servers, which would be the same the next time, from none.
func refusal(err error) bool {
	var e *api.Error
	if !errors.As(err, &e) || verb.Retriable(err) || errors.Is(err, verb.ErrNoPath) {
		return false
	}
	return e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable
}

// syncLog says what goes wrong once and not each time.
type syncLog struct {
	mu      sync.Mutex
	away    bool               // no server answers
	refused map[string]refused // what the servers refuse
	round   int                // counts comparisons
}

// refused is why something was refused, and when last.
type refused struct {
	why   string
	round int
}

func (l *syncLog) lost(s *State, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.away {
		s.log.Warn("the catalog cannot be told of this host's services, no server answers; it is told when one does", "err", err)
	}
	l.away = true
}

func (l *syncLog) found(s *State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		s.log.Info("the catalog is told of this host's services again")
	}
	l.away = false
}

func (l *syncLog) refuse(s *State, what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused[what].why != err.Error() {
		s.log.Warn("the servers refuse a change of the catalog; it is tried again from time to time", "what", what, "err", err)
	}
	l.refused[what] = refused{err.Error(), l.round}
}

func (l *syncLog) accept(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, what)
}

// anyRefused ends a comparison. What was not refused in it is not wanted any more, and is forgotten.
func (l *syncLog) anyRefused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.refused, func(_ string, r refused) bool { return r.round < l.round })
	l.round++
	return len(l.refused) > 0
}
