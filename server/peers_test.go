package server

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

func TestPeerChanges(t *testing.T) {
	at := func(m Member, addr string) Member { m.RPCAddr = addr; return m }
	is := func(m Member, s Status) Member { m.Status = s; return m }
	silent := func(m Member) Member { m.NonVoter = true; return m }
	named := func(m Member, name string) Member { m.Node.Node = name; return m }
	s0, s1, s2 := member("s0", "a0:1", 0), member("s1", "a1:1", 0), member("s2", "a2:1", 0)
	voter := func(m Member, addr string) raft.Server {
		return raft.Server{ID: raft.ServerID(m.Node.ID), Address: raft.ServerAddress(addr)}
	}
	nonvoter := func(m Member, addr string) raft.Server {
		s := voter(m, addr)
		s.Suffrage = raft.Nonvoter
		return s
	}
	gone := raft.Server{ID: "gone", Address: "a1:1"}
	for _, c := range []struct {
		name    string
		have    []raft.Server
		members []Member
		want    []string
	}{
		{"nothing to do", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, s1, clientMember("c", "a9")}, nil},
		{"joined", []raft.Server{voter(s0, "a0:1")}, []Member{s0, s1, silent(s2)}, []string{"add non-voter s1 a1:1", "add non-voter s2 a2:1"}},
		{"failed", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, is(s1, Failed)}, nil},
		{"forgotten", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0}, nil},
		{"leaving", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, is(s1, Leaving)}, nil},
		{"failed before it joined", []raft.Server{voter(s0, "a0:1")}, []Member{s0, is(s1, Failed)}, nil},
		{"left", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, is(s1, Left)}, []string{"remove s1 a1:1"}},
		{"left long ago", []raft.Server{voter(s0, "a0:1")}, []Member{s0, is(s1, Left)}, nil},
		{"the leader leaves", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{is(s0, Left), s1}, nil},
		{"moved", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, at(s1, "b1:1")}, []string{"add voter s1 b1:1"}},
		{"the leader moved", []raft.Server{voter(s0, "a0:1")}, []Member{at(s0, "b0:1")}, []string{"add voter s0 b0:1"}},
		{"a non-voter moved", []raft.Server{voter(s0, "a0:1"), nonvoter(s1, "a1:1")}, []Member{s0, at(silent(s1), "b1:1")}, []string{"add non-voter s1 b1:1"}},
		{"wants a vote", []raft.Server{voter(s0, "a0:1"), nonvoter(s1, "a1:1")}, []Member{s0, s1}, []string{"add voter s1 a1:1"}},
		{"is not ripe", []raft.Server{voter(s0, "a0:1"), nonvoter(s2, "a2:1")}, []Member{s0, s2}, nil},
		{"moved before it was ripe", []raft.Server{voter(s0, "a0:1"), nonvoter(s2, "a2:1")}, []Member{s0, at(s2, "b2:1")}, []string{"add non-voter s2 b2:1"}},
		{"wants none", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")}, []Member{s0, silent(s1)}, []string{"take the vote from s1 a1:1"}},
		{"the leader wants none", []raft.Server{voter(s0, "a0:1")}, []Member{silent(s0)}, nil},
		{
			"renamed: left under one name, alive under another", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1")},
			[]Member{s0, named(is(s1, Left), "a-former"), s1, named(is(at(s1, "z:1"), Failed), "z-former")}, nil,
		},
		{
			"set up anew at the same address", []raft.Server{voter(s0, "a0:1"), gone},
			[]Member{s0, s1}, []string{"remove gone a1:1", "add non-voter s1 a1:1"},
		},
		{
			"two swapped their addresses", []raft.Server{voter(s0, "a0:1"), voter(s1, "a1:1"), voter(s2, "a2:1")},
			[]Member{s0, at(s1, "a2:1"), at(s2, "a1:1")}, nil,
		},
	} {
		var got []string
		for _, ch := range peerChanges(c.have, c.members, raft.ServerID(s0.Node.ID), func(id raft.ServerID) bool { return string(id) != s2.Node.ID }) {
			id := string(ch.server.ID)
			for _, m := range []Member{s0, s1, s2} {
				if m.Node.ID == id {
					id = m.Node.Node
				}
			}
			got = append(got, fmt.Sprint(ch.kind, " ", id, " ", ch.server.Address))
			if ch.why == "" {
				t.Errorf("%s: %s without a reason", c.name, got)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAddressOfAServerThatWasRenamed(t *testing.T) {
	p := &pool{members: map[string]Member{}, changed: make(chan struct{})}
	former := member("a-former", "a:1", 0)
	former.Status, former.Node.ID = Left, nodeID("s1")
	p.put(former)
	p.put(member("s1", "b:1", 0))
	if got, err := (addresses{seenBy{p, "s0"}}).ServerAddr(raft.ServerID(nodeID("s1"))); got != "b:1" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := (addresses{seenBy{p, "s0"}}).ServerAddr("unknown"); err == nil {
		t.Errorf("an address for an unknown server: %s", got)
	}
}
