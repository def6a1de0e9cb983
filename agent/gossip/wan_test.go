package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// wan makes an agent one of the WAN pool, a server of a datacenter.
func wan(node, dc string) func(*Options) {
	return func(o *Options) {
		server(o)
		o.Pool, o.NodeName, o.Datacenter, o.Timing = WAN, node, dc, Timing{}
	}
}

func TestServersOfAllDatacenters(t *testing.T) {
	inLab(t, func(l *lab) {
		a := l.start("a", wan("s1", "dc1"))
		b := l.start("b", wan("s1", "dc2")) // of the same name elsewhere
		c := l.start("c", wan("s2", "dc2"))
		l.join(b, "a")
		l.join(c, "b")
		for _, p := range []*Pool{a, b, c} {
			l.until(p, 10*time.Second, "three are alive", func() bool { return count(p, api.MemberAlive) == 3 })
		}
		if got := a.Datacenters(); !slices.Equal(got, []string{"dc1", "dc2"}) {
			t.Errorf("datacenters are %v", got)
		}
		alive, failed := a.ServersOf("dc2")
		if len(alive) != 2 || len(failed) != 0 {
			t.Errorf("servers of dc2: %v, %v", alive, failed)
		}
		m, _ := a.view.Load().find("s1.dc2")
		if m.Node() != "s1" || m.Datacenter != "dc2" {
			t.Errorf("%+v", m)
		}
		if shown := m.apiMember(); shown.Name != "s1.dc2" || shown.Tags["dc"] != "dc2" || shown.Tags["role"] != "consul" {
			t.Errorf("%+v", shown)
		}
		b.Close()
		l.until(a, 5*time.Minute, "one has failed", func() bool { return status(a, "s1.dc2") == api.MemberFailed })
		if alive, failed := a.ServersOf("dc2"); len(alive) != 1 || len(failed) != 1 {
			t.Errorf("servers of dc2: %v, %v", alive, failed)
		}
		time.Sleep(time.Minute)
		if p := a.Place("s2.dc2"); !p.Valid() {
			t.Errorf("s2.dc2 is at %v", p)
		}
		if _, ok := a.Coordinate().Distance(a.Place("s2.dc2")); !ok || a.Place("nobody") != nil {
			t.Error("no distance")
		}
	})
}

// What belongs into one pool is refused by the other, with the port that is meant.
func TestPoolsAreKeptApart(t *testing.T) {
	for name, c := range map[string]struct {
		there, here func(*Options)
		words       []string
	}{
		"a server of another datacenter into the LAN pool": {
			server, func(o *Options) { server(o); o.Datacenter = "dc2" },
			[]string{`agent "there" at 10.0.0.1:8301 is of datacenter "dc1" and this agent of "dc2"`, "retry_join_wan"},
		},
		"the LAN port of another datacenter into the WAN pool": {
			server, wan("here", "dc2"),
			[]string{`agent "there" at 10.0.0.1:8301 answers for the agents of datacenter "dc1" alone`, "8302 unless ports.serf_wan is set"},
		},
		"a client into the WAN pool": {
			func(*Options) {}, wan("here", "dc2"),
			[]string{`agent "there" at 10.0.0.1:8301 of datacenter "dc1" is no server`},
		},
		"the WAN port into the LAN pool": {
			wan("there", "dc1"), server,
			[]string{`agent "there.dc1" at 10.0.0.1:8301 answers for the servers of all datacenters`, "8301 unless ports.serf_lan is set"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				there, here := l.start("there", c.there), l.start("here", c.here)
				_, err := here.Join(l.Context(), []string{l.addr("there")})
				wantRefused(t, err, c.words...)
				time.Sleep(time.Minute)
				if len(there.Members()) != 1 || len(here.Members()) != 1 {
					t.Errorf("there: %s, here: %s", statuses(there), statuses(here))
				}
			})
		})
	}
	inLab(t, func(l *lab) {
		if _, err := l.try("c", func(o *Options) { o.Pool = WAN }); err == nil || !strings.Contains(err.Error(), "only servers are in the WAN pool") {
			t.Errorf("a client in the WAN pool: %v", err)
		}
	})
}

// Two clusters that were founded apart are not made one, in neither pool.
func TestTwoClustersStayApart(t *testing.T) {
	for _, pool := range []string{LAN, WAN} {
		t.Run(pool, func(t *testing.T) {
			inLab(t, func(l *lab) {
				node := func(name string) *Pool { return l.start(name, wan(name, "dc1"), func(o *Options) { o.Pool = pool }) }
				a, b, c, d := node("a"), node("b"), node("c"), node("d")
				a.Belongs("one")
				c.Belongs("two")
				b.Belongs(NoCluster)
				l.join(b, "a") // a server without a cluster may come to any
				l.join(d, "c") // and so may one that has not said yet
				_, err := d.Join(l.Context(), []string{l.addr("b")})
				wantRefused(t, err, "two clusters of one datacenter do not become one", "cluster one", "cluster two", "data directories")
				_, err = a.Join(l.Context(), []string{l.addr("c")})
				wantRefused(t, err, "two clusters")
				time.Sleep(time.Minute)
				for _, p := range []*Pool{a, b, c, d} {
					if len(p.Members()) != 2 {
						t.Errorf("%s knows %s", p.opts.NodeName, statuses(p))
					}
				}
			})
		})
	}
}

// A member that was away when the state of another cluster was restored is known again.
func TestMemberComesBackToARestoredCluster(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		for _, p := range pools {
			p.Belongs("before")
		}
		pools[2].Close()
		l.until(pools[0], time.Minute, "s3 has failed", func() bool { return status(pools[0], "s3") == api.MemberFailed })
		for _, p := range pools[:2] {
			p.Belongs("restored")
		}
		back := l.start("s3", server)
		back.Belongs("before")
		l.join(back, "s2")
		for _, p := range append(pools[:2:2], back) {
			l.until(p, 10*time.Second, "three are alive", func() bool { return count(p, api.MemberAlive) == 3 })
		}
	})
}

// An agent without a cluster of its own is of the one whose servers it knows.
func TestClientBringsNoTwoClustersTogether(t *testing.T) {
	inLab(t, func(l *lab) {
		a, b := l.start("a", server), l.start("b", server)
		a.Belongs("one")
		b.Belongs("two")
		c := l.start("c")
		n, err := c.Join(l.Context(), []string{l.addr("a"), l.addr("b")})
		if err != nil || n != 1 {
			t.Errorf("joined %d: %v", n, err)
		}
		time.Sleep(time.Minute)
		if got := fmt.Sprint(statuses(a), " ", statuses(c), " ", statuses(b)); strings.Count(got, "b@") != 1 {
			t.Error(got)
		}
		if l.said("at=c", "two clusters") == 0 {
			t.Error("c does not say why")
		}
	})
}
