package gossip

import (
	"io"
	"log"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/parleymesh/parley/api"
)

// startSerf runs another program's agent.
func (l *lab) startSerf(host string, tags map[string]string) *serf.Serf {
	l.Helper()
	tr, err := l.net.Listen(host, l.addr(host))
	if err != nil {
		l.Fatal(err)
	}
	c := serf.DefaultConfig()
	c.NodeName, c.Tags = host, tags
	c.Logger = log.New(io.Discard, "", 0)
	c.MemberlistConfig.Logger = c.Logger
	c.MemberlistConfig.Transport = tr
	s, err := serf.Create(c)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			l.Error(err)
		}
	})
	return s
}

func TestOtherProgramsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tags  map[string]string
		words string
	}{
		"Consul":       {map[string]string{"role": "consul", "dc": "dc1", "id": id(9)}, `agent "other" at 10.0.0.3:8301 belongs to a Consul pool`},
		"a program":    {map[string]string{"version": "1"}, `agent "other" at 10.0.0.3:8301 is not a Parley agent`},
		"without tags": {nil, "is not a Parley agent"},
		"a later Parley": {
			map[string]string{"product": "parley", "proto": "3", "proto_min": "2", "id": id(9), "dc": "dc1"},
			"speaks versions 2 to 3 of our gossip and this agent 1 to 1",
		},
		"without an id": {map[string]string{"product": "parley", "proto": "1", "proto_min": "1", "dc": "dc1"}, "has no node id"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				pools := l.cluster(2)
				other := l.startSerf("other", c.tags)
				_, err := pools[0].Join(l.Context(), []string{l.addr("other")})
				wantRefused(t, err, c.words)
				// It asks to join, too: it may take what we know, we do not take it.
				_, _ = other.Join([]string{l.addr("s2")}, true)
				time.Sleep(time.Minute)
				for _, p := range pools {
					if len(p.Members()) != 2 || count(p, api.MemberAlive) != 2 {
						t.Errorf("%s knows %s", p.opts.NodeName, statuses(p))
					}
				}
				if n := l.said("at=s2", "level=WARN", "node=other", "addr="+l.addr("other")); n < 1 || n > 2 {
					t.Errorf("s2 says so in %d lines", n)
				}
			})
		})
	}
}

// What gossip tells of agents one by one is judged by who is there already.
func TestDouble(t *testing.T) {
	node := func(name string, n int, addr string, s serf.MemberStatus) serf.Member {
		a := mustAddrPort(addr)
		return serf.Member{Name: name, Addr: a.Addr().AsSlice(), Port: a.Port(), Status: s, Tags: map[string]string{tagID: id(n)}}
	}
	var v atomic.Pointer[view]
	a := &admission{
		kind: kinds[LAN], name: "self", id: id(1), datacenter: "dc1", addr: mustAddrPort("10.0.0.1:8301"), view: &v, limit: newLimiter(),
		log: silent(),
	}
	if err := a.double(candidate{"a", id(2), mustAddrPort("10.0.0.2:8301")}); err != nil {
		t.Errorf("before anybody is known: %s", err)
	}
	v.Store(newView(nil).next([]serf.Member{
		node("self", 1, "10.0.0.1:8301", serf.StatusAlive),
		node("a", 2, "10.0.0.2:8301", serf.StatusAlive),
		node("failed", 3, "10.0.0.3:8301", serf.StatusFailed),
		node("left", 4, "10.0.0.4:8301", serf.StatusLeft),
	}))
	for _, c := range []struct {
		what string
		candidate
		why string // in the refusal
	}{
		{"a newcomer", candidate{"new", id(5), mustAddrPort("10.0.0.5:8301")}, ""},
		{"a member", candidate{"a", id(2), mustAddrPort("10.0.0.2:8301")}, ""},
		{"one that moved", candidate{"a", id(2), mustAddrPort("10.0.0.9:8301")}, ""},
		{"one with a new id", candidate{"a", id(9), mustAddrPort("10.0.0.2:8301")}, ""},
		{"a renamed one", candidate{"b", id(2), mustAddrPort("10.0.0.2:8301")}, ""},
		{"a taken name", candidate{"a", id(9), mustAddrPort("10.0.0.9:8301")}, `the node name "a" is taken by node ` + id(2) + " at 10.0.0.2:8301"},
		{"a taken name in capitals", candidate{"A", id(9), mustAddrPort("10.0.0.9:8301")}, `the node name "A" is taken`},
		{"a taken id", candidate{"b", id(2), mustAddrPort("10.0.0.9:8301")}, `the node id ` + id(2) + ` is taken by "a"`},
		{"the name of one that failed", candidate{"failed", id(9), mustAddrPort("10.0.0.9:8301")}, ""},
		{"the id of one that left", candidate{"b", id(4), mustAddrPort("10.0.0.9:8301")}, ""},
		{"our id", candidate{"b", id(1), mustAddrPort("10.0.0.9:8301")}, "this agent's"},
		{"our name in capitals", candidate{"SELF", id(9), mustAddrPort("10.0.0.9:8301")}, "this agent's"},
		{"we, renamed", candidate{"before", id(1), mustAddrPort("10.0.0.1:8301")}, ""},
	} {
		err := a.double(c.candidate)
		if (c.why == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: want %q, got %v", c.what, c.why, err)
		}
	}
}

func TestNamesFromTheNetwork(t *testing.T) {
	a := &admission{kind: kinds[LAN], name: "self", id: id(1), datacenter: "dc1", limit: newLimiter(), log: silent()}
	meta := encodeMeta(map[string]string{"product": "parley", "proto": "1", "proto_min": "1", "dc": "dc1", "id": id(2)})
	for name, ok := range map[string]bool{
		"web-1": true, "web_1.example.org": true, "": false, "a b": false, "a/b": false, "a\nalive: b 10.0.0.1:1": false,
		"a\x1b[2J": false, strings.Repeat("x", 256): false,
	} {
		if _, err := a.stranger(&memberlist.Node{Name: name, Addr: []byte{10, 0, 0, 2}, Meta: meta}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := a.stranger(&memberlist.Node{Name: "a", Addr: []byte{10}, Meta: meta}); err == nil {
		t.Error("an address of one byte")
	}
}
