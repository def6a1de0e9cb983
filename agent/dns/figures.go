package dns

import (
	"sync"

	"github.com/miekg/dns"
	"github.com/parleymesh/parley/agent/telemetry"
)

// Figures is what a server counts.
type Figures struct {
	Domain     telemetry.Sample // how long questions about names took, forwarded ones too
	PTR        telemetry.Sample // the same for PTR questions
	Stale      telemetry.Sample // answers from what was known while no server could be reached; only their number counts
	Failed     telemetry.Sample // questions that were answered with SERVFAIL; likewise
	Recursors  telemetry.Sample // how long recursors took to answer
	Unanswered telemetry.Sample // questions that a recursor did not answer; only their number counts
}

// timers count the questions of one goroutine, so that those that read from one socket do not wait for one another.
type timers struct{ domain, ptr telemetry.Timer }

// of is the timer of a type of question.
func (t *timers) of(qtype uint16) *telemetry.Timer {
	if qtype == dns.TypePTR {
		return &t.ptr
	}
	return &t.domain
}

// figures are a server's timers. Those of the questions are by goroutine; the others count what is rare.
type figures struct {
	stale, failed, recursors, unanswered telemetry.Timer

	others timers // of all that is not the UDP loop
	mu     sync.Mutex
	loops  []*timers // guarded by mu
}

// loop returns the timers of one more reader. They stay when it ends: what was counted was counted.
func (f *figures) loop() *timers {
	t := new(timers)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loops = append(f.loops, t)
	return t
}

// Figures tells what has been counted.
func (s *Server) Figures() Figures {
	f := &s.figures
	domain, ptr := []*telemetry.Timer{&f.others.domain}, []*telemetry.Timer{&f.others.ptr}
	f.mu.Lock()
	for _, t := range f.loops {
		domain, ptr = append(domain, &t.domain), append(ptr, &t.ptr)
	}
	f.mu.Unlock()
	return Figures{
		Domain: telemetry.SampleOf(domain...), PTR: telemetry.SampleOf(ptr...), Stale: f.stale.Sample(), Failed: f.failed.Sample(),
		Recursors: f.recursors.Sample(), Unanswered: f.unanswered.Sample(),
	}
}

// countStale counts an answer from what is known while the watch of some of it is lost.
func (s *Server) countStale(deps []from) {
	for i := range deps {
		if v := deps[i].view; v != nil && v.lost.Load() != 0 {
			s.figures.stale.ObserveSince(telemetry.Now())
			return
		}
	}
}
