package core

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Transport is what raft talks to the other servers through.
type Transport interface {
	raft.Transport
	raft.WithPreVote
}

// witness is raft's transport, and remembers which servers have taken this one for the leader, and since when they must have. What
// makes a read at the leader linearizable rests on it:
//
// Who writes is answered after the write is applied at the leader. So a leader has everything that was ever acknowledged once it has
// applied the first entry of its term, for as long as nobody leads in a later one. A voter that accepts a heartbeat of a term has
// voted in no later one; if most voters have accepted one that was sent after the question came, nobody had come to lead in a later
// term when it came. And for as long as they then refuse to vote, nobody will.
//
// Raft's own VerifyLeader proves less: it counts answers to what was sent before it was asked, which a leader that was stopped, or
// one at the end of a slow line, finds when it goes on, and it counts those of servers without a vote.
type witness struct {
	Transport
	lease time.Duration // shorter than the time for which a voter that has accepted a heartbeat refuses to vote
	term  func() uint64 // raft's; set once it has been started

	mu     sync.Mutex // guards what follows
	sent   uint64     // counts what was sent
	heard  map[raft.ServerID]acceptance
	news   chan struct{} // closed and replaced when heard changes
	handed uint64        // the last term in which another server was told to take over

	leased atomic.Pointer[leased]
}

// acceptance is the youngest message of a leader that a server has accepted.
type acceptance struct {
	term uint64
	sent uint64
	at   time.Time // when it was sent: it was accepted later than that
}

// leased says until when nobody else can come to lead.
type leased struct {
	term  uint64
	until time.Time
}

func newWitness(t Transport, lease time.Duration) *witness {
	return &witness{Transport: t, lease: lease, heard: map[raft.ServerID]acceptance{}, news: make(chan struct{})}
}

// AppendEntries implements raft.Transport. Heartbeats come this way; what is replicated in a pipeline does not, and need not.
func (w *witness) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	a := acceptance{term: args.Term, sent: w.mark(), at: time.Now()}
	err := w.Transport.AppendEntries(id, target, args, resp)
	if err != nil || !resp.Success {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.heard[id]; before.sent < a.sent {
		w.heard[id] = a
		close(w.news)
		w.news = make(chan struct{})
	}
	return nil
}

// TimeoutNow implements raft.Transport. Whoever is told to take over is voted for in spite of what was promised to this server.
func (w *witness) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	w.mu.Lock()
	w.handed = w.term()
	w.leased.Store(nil)
	w.mu.Unlock()
	return w.Transport.TimeoutNow(id, target, args, resp)
}

// Close implements raft.WithClose: raft closes its transport.
func (w *witness) Close() error {
	if c, ok := w.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

// mark returns a number that is lower than that of all that is sent later.
func (w *witness) mark() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	return w.sent
}

// accepted tells whether most voters have accepted self as the leader of the term after the mark; otherwise news is closed when it
// is worth asking again.
func (w *witness) accepted(c raft.Configuration, self raft.ServerID, term, mark uint64) (ok bool, news <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	voters, have := 0, 0
	for _, s := range c.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if a := w.heard[s.ID]; s.ID == self || a.term == term && a.sent > mark {
			have++
		}
	}
	return have > voters/2, w.news
}

// promised tells whether nobody else can come to lead at this moment, by what most voters have accepted of self in the term.
func (w *witness) promised(now time.Time, term uint64, self raft.ServerID, configuration func() raft.Configuration) bool {
	if l := w.leased.Load(); l != nil && l.term == term && now.Before(l.until) {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handed >= term {
		return false
	}
	var since []time.Time // the youngest acceptance of each voter
	for _, s := range configuration().Servers {
		switch a := w.heard[s.ID]; {
		case s.Suffrage != raft.Voter:
		case s.ID == self:
			since = append(since, now)
		case a.term == term:
			since = append(since, a.at)
		default:
			since = append(since, time.Time{})
		}
	}
	if len(since) == 0 {
		return false
	}
	slices.SortFunc(since, func(a, b time.Time) int { return b.Compare(a) })
	until := since[len(since)/2].Add(w.lease) // as many as are more than half are at least as young
	if !now.Before(until) {
		return false
	}
	w.leased.Store(&leased{term, until})
	return true
}
