package dns_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/dns"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// TestFollows: once a name was asked for, changes show, and the servers are not asked again.
func TestFollows(t *testing.T) {
	r := start(t, usual(), node("n1", "192.0.2.1", &api.Service{Service: "web"}))
	has := func(n int) func(*mdns.Msg) bool {
		return func(m *mdns.Msg) bool { return len(m.Answer) == n }
	}
	r.eventually("web.service.consul", "A", has(1))
	before, _ := r.servers.counts()
	r.servers.apply(t, node("n2", "192.0.2.2", &api.Service{Service: "web"}))
	r.eventually("web.service.consul", "A", has(2))
	r.servers.apply(t, node("n2", "192.0.2.2", nil, check("web", api.Critical)))
	r.eventually("web.service.consul", "A", has(1))
	r.servers.apply(t, node("n1", "192.0.2.111", nil))
	r.eventually("web.service.consul", "A", func(m *mdns.Msg) bool {
		return len(m.Answer) == 1 && m.Answer[0].(*mdns.A).A.String() == "192.0.2.111"
	})
	if after, watches := r.servers.counts(); after != before || watches != 1 {
		t.Errorf("%d queries, and %d watches", after-before, watches)
	}
}

// simulated runs f on a server without sockets, in simulated time.
func simulated(t *testing.T, c dns.Config, f func(t *testing.T, s *servers, d *dns.Server)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		d := dns.New(dns.Options{Client: s, Node: "node-1", Datacenter: "dc1", Config: c})
		f(t, s, d)
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if _, watches := s.counts(); watches != 0 {
			t.Errorf("%d watches are left open", watches)
		}
	})
}

func rcode(t *testing.T, d *dns.Server, name string) int {
	t.Helper()
	m, err := d.Answer(t.Context(), question(name, mdns.TypeA))
	if err != nil {
		t.Fatal(err)
	}
	return m.Rcode
}

// TestServersAway: what is known is told on, what is not is a failure, and all is well when the servers are back.
func TestServersAway(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web"}), node("n1", "192.0.2.1", &api.Service{Service: "db"}))
		rcode(t, d, "web.service.consul")
		synctest.Wait()
		s.setAway(errAway)
		time.Sleep(time.Minute)
		if got := rcode(t, d, "web.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a known name: %d", got)
		}
		if got := rcode(t, d, "db.service.consul"); got != mdns.RcodeServerFailure {
			t.Errorf("an unknown name: %d", got)
		}
		s.setAway(nil)
		if got := rcode(t, d, "db.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("afterwards: %d", got)
		}
		s.apply(t, node("n1", "192.0.2.1", nil, check("web", api.Critical)))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := rcode(t, d, "web.service.consul"); got != mdns.RcodeNameError {
			t.Errorf("what changed afterwards does not show: %d", got)
		}
	})
}

// TestNotStale: who wants no stale answers gets none when the servers are away, or when they have been for too long.
func TestNotStale(t *testing.T) {
	fresh, minute := usual(), usual()
	fresh.AllowStale = false
	minute.MaxStale = time.Minute
	for _, c := range []struct {
		config dns.Config
		after  time.Duration
		want   int
	}{
		{fresh, time.Second, mdns.RcodeServerFailure},
		{minute, 30 * time.Second, mdns.RcodeSuccess},
		{minute, 2 * time.Minute, mdns.RcodeServerFailure},
	} {
		simulated(t, c.config, func(t *testing.T, s *servers, d *dns.Server) {
			s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web"}))
			rcode(t, d, "web.service.consul")
			synctest.Wait()
			s.setAway(errAway)
			time.Sleep(c.after)
			synctest.Wait()
			if got := rcode(t, d, "web.service.consul"); got != c.want {
				t.Errorf("%v after the servers went: %d, want %d", c.after, got, c.want)
			}
			s.setAway(nil)
			if got := rcode(t, d, "web.service.consul"); got != mdns.RcodeSuccess {
				t.Errorf("once they are back: %d", got)
			}
		})
	}
}

// TestRandomNames: names that do not exist leave nothing behind, and so many that they are a flood cost the servers nothing
// more; what is registered meanwhile is found.
func TestRandomNames(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web", Tags: []string{"v1"}}))
		for i := range 10_000 {
			if got := rcode(t, d, fmt.Sprintf("random-%d.service.consul", i)); got != mdns.RcodeNameError {
				t.Fatal(got)
			}
			rcode(t, d, fmt.Sprintf("random-%d.web.service.consul", i))
		}
		synctest.Wait()
		if queries, watches := s.counts(); watches != 2 || queries > 2*dns.Flood {
			t.Errorf("%d watches are open after %d queries", watches, queries)
		}
		s.apply(t, node("n2", "192.0.2.2", &api.Service{Service: "Db"}))
		synctest.Wait()
		if got := rcode(t, d, "db.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a name that was registered meanwhile: %d", got)
		}
		before, _ := s.counts()
		time.Sleep(dns.IdleTime)
		rcode(t, d, "random-1.service.consul")
		if after, watches := s.counts(); after != before+1 || watches > 2 {
			t.Errorf("after the flood: %d queries, %d watches", after-before, watches)
		}
		if got := rcode(t, d, "v1.web.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a good name among them: %d", got)
		}
	})
}

// TestAskedInVain: a name that does not exist is found at once when it does; one that is asked for all the time
// is followed, as many are but no more than that.
func TestAskedInVain(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		rcode(t, d, "web.service.consul")
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web"}))
		if got := rcode(t, d, "web.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a name just registered: %d", got)
		}
		for range 1000 {
			rcode(t, d, "db.service.consul")
		}
		if queries, _ := s.counts(); queries > 2+dns.Often {
			t.Errorf("%d queries for one name", queries)
		}
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "db"}))
		synctest.Wait()
		if got := rcode(t, d, "db.service.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a name that was followed in vain: %d", got)
		}
		for i := range 2 * dns.MaxAbsentViews {
			for range 2 * dns.Often {
				rcode(t, d, fmt.Sprintf("absent-%d.service.consul", i))
			}
		}
		synctest.Wait()
		if _, watches := s.counts(); watches > dns.MaxAbsentViews+2 {
			t.Errorf("%d watches are open", watches)
		}
	})
}

// TestNoAnswer: a resolver is told in time that the servers do not answer.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dns.New(dns.Options{Client: slow{make(chan struct{}, 1)}, Config: usual()})
		begin := time.Now()
		if got := rcode(t, d, "web.service.consul"); got != mdns.RcodeServerFailure || time.Since(begin) > 4*time.Second {
			t.Errorf("%d after %v", got, time.Since(begin))
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestForgets: names are followed while they are asked for, and a bounded number of them.
func TestForgets(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		const names = dns.MaxViews + 10
		var nodes []verb.Command
		for i := range names {
			nodes = append(nodes, node(fmt.Sprintf("n%d", i), "192.0.2.1", nil))
		}
		s.apply(t, nodes...)
		for i := range names {
			if got := rcode(t, d, fmt.Sprintf("n%d.node.consul", i)); got != mdns.RcodeSuccess {
				t.Fatal(i, got)
			}
		}
		synctest.Wait()
		if _, watches := s.counts(); watches != dns.MaxViews {
			t.Errorf("%d watches are open", watches)
		}
		for range 3 {
			time.Sleep(dns.IdleTime / 2)
			rcode(t, d, "n9.node.consul")
		}
		synctest.Wait()
		if _, watches := s.counts(); watches != 1 {
			t.Errorf("%d watches are open, though one name is asked for", watches)
		}
	})
}

// TestReread: other terms of reading hold for names that are followed already.
func TestReread(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		s.apply(t, node("n1", "192.0.2.1", nil))
		rcode(t, d, "n1.node.consul")
		synctest.Wait()
		c := usual()
		c.AllowStale = false
		d.Configure(c)
		synctest.Wait()
		if _, watches := s.counts(); watches != 0 {
			t.Errorf("%d watches are open", watches)
		}
		if got := rcode(t, d, "n1.node.consul"); got != mdns.RcodeSuccess {
			t.Error(got)
		}
	})
}

// TestQueries: what a prepared query finds is followed, and a template for all names keeps nothing of those that lead nowhere.
func TestQueries(t *testing.T) {
	simulated(t, usual(), func(t *testing.T, s *servers, d *dns.Server) {
		s.apply(t, node("n1", "192.0.2.1", &api.Service{Service: "web"}), query.Create{PreparedQuery: api.PreparedQuery{
			Template: api.QueryTemplate{Type: api.QueryNamePrefixMatch}, Service: api.ServiceQuery{Service: "${name.full}"},
		}})
		if got := rcode(t, d, "web.query.consul"); got != mdns.RcodeSuccess {
			t.Errorf("a query: %d", got)
		}
		for i := range 1000 {
			if got := rcode(t, d, fmt.Sprintf("random-%d.query.consul", i)); got != mdns.RcodeNameError {
				t.Fatal(got)
			}
		}
		synctest.Wait()
		if _, watches := s.counts(); watches != 1 {
			t.Errorf("%d watches are open", watches)
		}
		s.apply(t, node("n1", "192.0.2.1", nil, check("web", api.Critical)))
		synctest.Wait()
		if got := rcode(t, d, "web.query.consul"); got != mdns.RcodeNameError {
			t.Errorf("without a healthy instance: %d", got)
		}
	})
}
