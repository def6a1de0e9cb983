package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// register is a command that writes a node with a service.
func register(node, service string) *catalog.Register {
	return &catalog.Register{Registration: api.Registration{Node: node, Address: "10.1.0.1", Service: &api.Service{Service: service}}}
}

// nodes are the names of all nodes of an answer.
func nodes(a verb.Answer) (out []string) {
	for _, n := range verb.Values[*api.Node](a) {
		out = append(out, n.Node)
	}
	return out
}

func TestThreeServersFoundOneCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		f := l.follower()
		// The servers themselves are in the catalog, healthy.
		l.eventually("three servers in the catalog", func() bool {
			a, err := f.Query(t.Context(), verb.Options{}, catalog.Health{Service: "consul"})
			return err == nil && len(a.Rows) == 3
		})
		for _, e := range mustQuery(t, f, catalog.Health{Service: "consul"}) {
			entry := e.Value.(*api.ServiceEntry)
			if entry.Service.Port != 8300 || api.WorstStatus(entry.Checks) != api.Passing || entry.Node.ID != nodeID(entry.Node.Node) {
				t.Errorf("%+v", entry)
			}
		}
		if _, err := f.Apply(t.Context(), verb.Options{}, register("n1", "web")); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []verb.Mode{verb.Default, verb.Consistent} {
			a, err := f.Query(t.Context(), verb.Options{Mode: mode}, catalog.Nodes{})
			if err != nil || !slices.Equal(nodes(a), []string{"n1", "s0", "s1", "s2"}) {
				t.Errorf("mode %d: %v, %v", mode, nodes(a), err)
			}
		}
		// Every server names the same leader, and the same three voters.
		want := l.leads().in.Addr().String()
		l.eventually("all name the leader", func() bool {
			for _, h := range l.up {
				if h.LeaderAddr() != want {
					return false
				}
			}
			return true
		})
		a, err := f.Query(t.Context(), verb.Options{}, operator.RaftConfiguration{})
		c := only[*api.RaftConfiguration](t, a, err)
		if len(c.Servers) != 3 {
			t.Errorf("%+v", c)
		}
		for _, s := range c.Servers {
			if !s.Voter || s.Leader != (s.Address == want) || s.Node == "(unknown)" {
				t.Errorf("%+v", s)
			}
		}
		l.eventually("nobody wants to found a cluster any more", func() bool {
			return !slices.ContainsFunc(l.pool.Members(), func(m Member) bool { return m.Expect != 0 })
		})
	})
}

func mustQuery(t *testing.T, h *host, q verb.Query) []*verb.Row {
	t.Helper()
	a, err := h.Query(t.Context(), verb.Options{}, q)
	if err != nil {
		t.Fatal(err)
	}
	return a.Rows
}

func TestTooFewServersFoundNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 3), "")
		l.start(member("s1", "10.0.0.2:8300", 3), "")
		time.Sleep(time.Minute)
		if h.LeaderAddr() != "" {
			t.Error("two of three lead")
		}
		began := time.Now()
		if _, err := h.Apply(t.Context(), verb.Options{}, register("n1", "web")); !errors.Is(err, verb.ErrNoLeader) || time.Since(began) > 8*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		a, err := h.Query(t.Context(), verb.Options{Mode: verb.Stale}, operator.Leader{})
		if err != nil || len(a.Rows) != 0 || a.KnownLeader {
			t.Errorf("%+v, %v", a, err)
		}
		l.start(member("s2", "10.0.0.3:8300", 3), "")
		l.leads()
	})
}

func TestFoundersAgree(t *testing.T) {
	for _, c := range []struct {
		change func(map[string]Member)
		why    string
	}{
		{func(all map[string]Member) { delete(all, "s2") }, "2 of 3"},
		{func(all map[string]Member) { m := all["s2"]; m.Status = Failed; all["s2"] = m }, "2 of 3"},
		{func(all map[string]Member) { m := all["s2"]; m.NonVoter = true; all["s2"] = m }, "2 of 3"},
		{func(all map[string]Member) { m := all["s2"]; m.Expect = 5; all["s2"] = m }, "bootstrap_expect = 5"},
		{func(all map[string]Member) { m := all["s2"]; m.Expect = 0; all["s2"] = m }, "belongs to a cluster"},
		{func(all map[string]Member) { m := all["s2"]; m.Server = false; all["s2"] = m }, "2 of 3"},
	} {
		p := &pool{members: map[string]Member{}, changed: make(chan struct{})}
		for i := range 3 {
			p.put(member(fmt.Sprint("s", i), fmt.Sprintf("10.0.0.%d:8300", i+1), 3))
		}
		s := &Server{opts: Options{BootstrapExpect: 3, Members: seenBy{p, "s0"}}}
		if got, why := s.founders(); len(got) != 3 || why != "" {
			t.Fatalf("%v, %s", got, why)
		}
		p.set(c.change)
		if got, why := s.founders(); got != nil || !strings.Contains(why, c.why) {
			t.Errorf("%v, %q, want %q", got, why, c.why)
		}
	}
}

func TestLeaderGoes(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*host)
		soon time.Duration
	}{
		{"killed", (*host).kill, 2 * time.Second},
		{"stopped", (*host).stop, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.three()
				client := l.agent("10.0.0.100:1")
				r, err := client.Watch(t.Context(), verb.Options{}, catalog.Nodes{})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				first, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				roots := only[*api.CARoots](t, verb.Answer{Rows: mustQuery(t, l.follower(), ca.Roots{})}, nil)
				e, err := verb.Wrap(verb.Options{}, "catalog.register", register("n1", "web"))
				if err != nil {
					t.Fatal(err)
				}
				leader := l.leads()
				done, err := leader.ApplyEnvelope(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				f := l.follower()
				blocked := make(chan error, 1)
				go func() {
					_, err := f.Query(t.Context(), verb.Options{MinIndex: done.Index}, catalog.Instances{Name: "later"})
					blocked <- err
				}()
				time.Sleep(20 * time.Second) // longer than a request is held
				began := time.Now()
				c.end(leader)
				// The next write is held until another leads.
				if _, err := f.Apply(t.Context(), verb.Options{}, register("n2", "later")); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > c.soon {
					t.Errorf("the next write took %s", took)
				}
				if _, err := client.Apply(t.Context(), verb.Options{}, register("n3", "web")); err != nil {
					t.Error(err)
				}
				if err := <-blocked; err != nil {
					t.Errorf("a query that waited since before: %v", err)
				}
				// Repeated, the first write is answered with its first result, by whoever leads now, through whoever is asked.
				for _, h := range l.up {
					again, err := h.ApplyEnvelope(t.Context(), e)
					if err != nil || again.Index != done.Index || string(again.Raw) != string(done.Raw) {
						t.Errorf("%+v after %+v, %v", again, done, err)
					}
				}
				// The watcher of a client agent has missed nothing.
				last := first.Index
				for {
					a, err := r.Next(t.Context())
					if err != nil || a.Index < last {
						t.Fatalf("%d after %d, %v", a.Index, last, err)
					}
					last = a.Index
					if got := nodes(a); slices.Contains(got, "n1") && slices.Contains(got, "n2") && slices.Contains(got, "n3") {
						break
					}
				}
				after := only[*api.CARoots](t, verb.Answer{Rows: mustQuery(t, l.leads(), ca.Roots{})}, nil)
				if after.ActiveRootID != roots.ActiveRootID || after.TrustDomain != roots.TrustDomain || len(after.Roots) != 1 {
					t.Errorf("another leader made other roots: %+v, before %+v", after, roots)
				}
			})
		})
	}
}

func TestMinorityKnowsThatItIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		leader := l.leads()
		if _, err := leader.Apply(t.Context(), verb.Options{}, register("n1", "web")); err != nil {
			t.Fatal(err)
		}
		for name := range l.up {
			if name != leader.name {
				l.net.Cut(leader.name, name)
			}
		}
		l.eventually("the one that is cut off leads no more", func() bool { return !leader.Ready() })
		var next *host
		l.eventually("another leads", func() bool {
			for _, h := range l.up {
				if h != leader && h.Ready() {
					next = h
					return true
				}
			}
			return false
		})
		if _, err := next.Apply(t.Context(), verb.Options{}, register("n2", "web")); err != nil {
			t.Fatal(err)
		}
		if _, err := leader.Apply(t.Context(), verb.Options{}, register("n3", "web")); err == nil {
			t.Error("a minority has acknowledged a write")
		}
		a, err := leader.Query(t.Context(), verb.Options{Mode: verb.Stale}, catalog.Nodes{})
		if err != nil || !slices.Contains(nodes(a), "n1") || slices.Contains(nodes(a), "n2") || a.LastContact < time.Second {
			t.Errorf("stale: %v, %s, %v", nodes(a), a.LastContact, err)
		}
		l.net.Heal()
		l.eventually("it has caught up", func() bool {
			a, err := leader.Query(t.Context(), verb.Options{Mode: verb.Stale}, catalog.Nodes{})
			return err == nil && slices.Contains(nodes(a), "n2")
		})
	})
}

func TestMembersComeFailAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.start(member("s0", "10.0.0.1:8300", 1), "")
		h := l.leads()
		health := func(node string) string {
			c := state.NodeCheck(h.Store().Read(), node, api.SerfHealth)
			if c == nil {
				return "none"
			}
			return c.Status
		}
		if health("s0") != api.Passing {
			t.Error("the leader is not in the catalog when it is named")
		}
		l.pool.put(clientMember("c1", "10.0.0.9"))
		l.eventually("a member that joins is in the catalog", func() bool { return health("c1") == api.Passing })
		if _, err := h.Apply(t.Context(), verb.Options{}, &catalog.Register{Registration: api.Registration{
			Node: "c1", ID: nodeID("c1"), Address: "10.0.0.9", NodeMeta: map[string]string{"rack": "7"}, Service: &api.Service{Service: "web"},
		}}); err != nil {
			t.Fatal(err)
		}
		l.pool.status("c1", Failed)
		l.eventually("one that fails is critical", func() bool { return health("c1") == api.Critical })
		l.pool.status("c1", Alive)
		l.eventually("one that comes back is healthy", func() bool { return health("c1") == api.Passing })
		l.pool.status("c1", Failed)
		l.eventually("one that fails is critical", func() bool { return health("c1") == api.Critical })
		l.pool.put(clientMember("c1", "10.0.0.10"))
		l.eventually("one that comes back elsewhere is there", func() bool {
			n := state.Node(h.Store().Read(), "c1")
			return n.Address == "10.0.0.10" && n.Meta["rack"] == "7" && health("c1") == api.Passing
		})
		if state.NodeInstance(h.Store().Read(), "c1", "web") == nil {
			t.Error("its services are gone")
		}
		// The host is set up anew under its name, before anybody has missed it.
		anew := clientMember("c1", "10.0.0.10")
		anew.Node.ID = nodeID("other")
		l.pool.put(anew)
		l.eventually("one that was set up anew has its name", func() bool {
			n := state.Node(h.Store().Read(), "c1")
			return n.ID == nodeID("other") && health("c1") == api.Passing
		})
		l.pool.status("c1", Left)
		l.eventually("one that leaves is gone", func() bool { return state.Node(h.Store().Read(), "c1") == nil })
		// One that gossip has forgotten altogether.
		l.pool.put(clientMember("c2", "10.0.0.11"))
		l.eventually("joined", func() bool { return health("c2") == api.Passing })
		l.pool.set(func(all map[string]Member) { delete(all, "c2") })
		l.eventually("one that gossip does not know is critical", func() bool { return health("c2") == api.Critical })
	})
}

// Nothing is written again and again for members as they are.
func TestReconciliationSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.start(member("s0", "10.0.0.1:8300", 1), "")
		h := l.leads()
		c1 := clientMember("c1", "10.0.0.9")
		l.pool.put(c1)
		// It was a server once.
		if _, err := h.Apply(t.Context(), verb.Options{}, register("c1", "consul")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if state.NodeInstance(h.Store().Read(), "c1", "consul") != nil {
			t.Error("a client agent's node is still shown as a server")
		}
		before := h.Raft().LastIndex()
		time.Sleep(10 * time.Minute)
		if after := h.Raft().LastIndex(); after != before {
			t.Errorf("%d entries for nothing", after-before)
		}
	})
}

func TestServersJoinMoveAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		fourth := l.start(member("s3", "10.0.0.4:8300", 0), "")
		l.eventually("a fourth has joined", func() bool { return fourth.LeaderAddr() != "" && fourth.voters() == 4 })
		replica := member("s4", "10.0.0.5:8300", 0)
		replica.NonVoter = true
		fifth := l.start(replica, "")
		l.eventually("a fifth replicates without a vote", func() bool {
			c, err := l.leads().RaftConfiguration()
			return err == nil && len(c.Servers) == 5 && l.leads().voters() == 4 && fifth.LeaderAddr() != ""
		})
		fourth.stop()
		l.pool.status("s3", Left)
		l.eventually("one that leaves is removed", func() bool { return l.leads().voters() == 3 })
		l.pool.status("s4", Failed)
		l.eventually("one without a vote that failed is given up", func() bool {
			c, err := l.leads().RaftConfiguration()
			return err == nil && len(c.Servers) == 3
		})
	})
}
