package dns_test

import (
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
)

// TestFigures counts questions by what they cost and how they ended.
func TestFigures(t *testing.T) {
	e, dead := newElsewhere(t, zone(t, "www.example.org. 60 A 203.0.113.9")), newElsewhere(t, silent)
	c := withRecursors(dead, e)
	c.RecursorTimeout = 100 * time.Millisecond
	r := start(t, c, node("n1", "192.0.2.1", &api.Service{Service: "web"}))
	for range 3 {
		r.ask("web.service.consul.", "A")
	}
	r.exchange("tcp", question("web.service.consul.", mdns.TypeSRV))
	r.ask("1.2.0.192.in-addr.arpa.", "PTR")
	r.ask("www.example.org.", "A")
	// A question is counted once it is answered, which its asker hears first.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f := r.Figures()
		if f.Domain.Count == 5 && f.PTR.Count == 1 && f.Recursors.Count == 1 && f.Unanswered.Count == 1 && f.Failed.Count+f.Stale.Count == 0 &&
			f.Domain.Sum > 100 && f.Unanswered.Sum >= 100 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted %+v", f)
		}
	}
}

// TestStaleIsCounted: what is answered while the servers are away is counted, and what is not answered too.
func TestStaleIsCounted(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web"}))
		rcode(t, d, "web.service.consul")
		synctest.Wait()
		s.setAway(errAway)
		time.Sleep(time.Minute)
		for range 3 {
			rcode(t, d, "web.service.consul")
		}
		rcode(t, d, "db.service.consul")
		if f := d.Figures(); f.Stale.Count != 3 || f.Failed.Count != 1 {
			t.Errorf("%d stale, %d failed; want 3 and 1", f.Stale.Count, f.Failed.Count)
		}
	})
}
