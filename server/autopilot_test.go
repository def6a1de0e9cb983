package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

// given reads "a b! c? d- e-!": a voter that is there, one that failed a minute ago, one that gossip has not heard of for a
// minute, one without a vote, and one without that failed. A second mark makes it five seconds.
func given(now time.Time, text string) ([]raft.Server, []Member, *records) {
	var have []raft.Server
	var members []Member
	r := &records{of: map[raft.ServerID]record{}}
	for _, word := range strings.Fields(text) {
		name := word[:1]
		s := raft.Server{ID: raft.ServerID(nodeID(name)), Address: raft.ServerAddress(name)}
		m := member(name, name+":1", 0)
		if strings.Contains(word, "-") {
			s.Suffrage = raft.Nonvoter
		}
		gone := now.Add(-time.Minute)
		if strings.Contains(word, "!!") || strings.Contains(word, "??") {
			gone = now.Add(-5 * time.Second)
		}
		switch {
		case strings.Contains(word, "!"):
			m.Status = Failed
			r.of[s.ID] = record{goneSince: gone}
		case strings.Contains(word, "?"):
			r.of[s.ID] = record{goneSince: gone}
		default:
			r.of[s.ID] = record{healthySince: now.Add(-time.Minute)}
		}
		have = append(have, s)
		if !strings.Contains(word, "?") {
			members = append(members, m)
		}
	}
	return have, members, r
}

func TestCleanup(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		have string
		min  uint
		want string
	}{
		{have: "a", want: ""},
		{have: "a b c", want: ""},
		{have: "a b c!", want: ""}, // nothing is won, and it may come back
		{have: "a b c?", want: ""},
		{have: "a b c! d", want: "c"}, // d has taken its place
		{have: "a b c!! d", want: ""}, // not for long enough
		{have: "a b c? d", want: "c"},
		{have: "a b c?? d", want: ""},
		{have: "a b c! d", min: 4, want: ""},
		{have: "a b c d! e!", want: ""},
		{have: "a b c d! e! f", want: "d"}, // one for one
		{have: "a b c! d!", want: "c"},     // three are left, one of which may come back
		{have: "a b c d-!", want: "d"},     // it has no vote
		{have: "a b c! d-!", want: "d"},
		{have: "a! b", want: ""}, // the leader itself, as a gossip gone wrong has it
	} {
		have, members, r := given(now, c.have)
		settings := api.DefaultAutopilot()
		settings.MinQuorum = c.min
		var got []string
		for _, p := range cleanup(have, members, r, now, settings, raft.ServerID(nodeID("a"))) {
			if p.kind != remove || p.why == "" {
				t.Errorf("%q: %+v", c.have, p)
			}
			got = append(got, string(p.server.Address))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: gives up %q, want %q", c.have, got, c.want)
		}
		settings.CleanupDeadServers = false
		if got := cleanup(have, members, r, now, settings, ""); got != nil {
			t.Errorf("%q: it is switched off, and %v", c.have, got)
		}
	}
}

// TestAutopilotKeepsWhatItWasMadeFor replays random days and judges each decision by what an operator wants: as many voters as the
// cluster was made of, of which never fewer are alive than without autopilot, and in the end no dead one for which there was a replacement.
func TestAutopilotKeepsWhatItWasMadeFor(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		size := 3 + 2*rnd.IntN(2)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := api.DefaultAutopilot()
		r := &records{began: now}
		self := raft.ServerID(nodeID("n0"))
		var have []raft.Server
		members := map[string]Member{}
		born := 0
		add := func() Member {
			m := member(fmt.Sprint("n", born), fmt.Sprintf("n%d:1", born), 0)
			members[m.Node.ID] = m
			born++
			return m
		}
		for range size {
			m := add()
			have = append(have, raft.Server{ID: raft.ServerID(m.Node.ID), Address: raft.ServerAddress(m.RPCAddr)})
		}
		voters := func(alive bool) (n int) {
			for _, s := range have {
				if s.Suffrage == raft.Voter && (!alive || members[string(s.ID)].Status == Alive) {
					n++
				}
			}
			return n
		}
		step := func() {
			now = now.Add(overseeEvery)
			var list []Member
			for _, m := range members {
				list = append(list, m)
			}
			p := verb.Progress{LastTerm: 2, LastIndex: 10}
			var all []standing
			for _, s := range have {
				all = append(all, standing{server: s, member: members[string(s.ID)], leader: s.ID == self, progress: &p})
			}
			r.note(now, all, p, c)
			before := voters(true)
			changes := append(cleanup(have, list, r, now, c, self),
				paced(peerChanges(have, list, self, func(id raft.ServerID) bool { return r.ripe(id, now, c) }), have, r, c)...)
			for _, ch := range changes {
				have = slices.DeleteFunc(have, func(s raft.Server) bool { return s.ID == ch.server.ID })
				switch ch.kind {
				case remove:
					if m := members[string(ch.server.ID)]; m.Status == Alive {
						t.Fatalf("seed %d: one that is alive was given up", seed)
					}
					delete(members, string(ch.server.ID))
				case putNonVoter:
					ch.server.Suffrage = raft.Nonvoter
					have = append(have, ch.server)
				default:
					have = append(have, ch.server)
				}
			}
			if n := voters(false); n < size {
				t.Fatalf("seed %d: %d voters are left of %d", seed, n, size)
			}
			if voters(true) < before {
				t.Fatalf("seed %d: fewer voters are alive than without it", seed)
			}
		}
		dead := 0
		for range 40 {
			for range rnd.IntN(10) {
				step()
			}
			var up []string
			for _, s := range have {
				if id := string(s.ID); s.ID != self && s.Suffrage == raft.Voter && members[id].Status == Alive {
					up = append(up, id)
				}
			}
			slices.Sort(up)
			switch {
			case rnd.IntN(2) == 0 && voters(true)-1 > voters(false)/2 && len(up) > 0: // never the majority
				m := members[up[rnd.IntN(len(up))]]
				m.Status = Failed
				members[m.Node.ID] = m
				dead++
			case dead > 0:
				add()
				dead--
			}
		}
		for range dead {
			add()
		}
		for range 60 {
			step()
		}
		if voters(true) < size || voters(false) > voters(true)+1 {
			t.Errorf("seed %d: made of %d, in the end %d voters of which %d are alive", seed, size, voters(false), voters(true))
		}
	}
}

func TestHealth(t *testing.T) {
	leader, c := verb.Progress{LastTerm: 3, LastIndex: 1000}, api.DefaultAutopilot()
	for _, x := range []struct {
		change func(*standing)
		want   string
	}{
		{func(*standing) {}, ""},
		{func(s *standing) { s.leader, s.progress = true, &leader }, ""},
		{func(s *standing) { s.member.Status = Failed }, "it is failed"},
		{func(s *standing) { s.member = Member{} }, "it is unknown"},
		{func(s *standing) { s.progress = nil }, "it does not answer"},
		{func(s *standing) { s.progress.LastContact = time.Second }, "has not heard from the leader for 1s"},
		{func(s *standing) { s.progress.LastContact = -1 }, "has not heard"},
		{func(s *standing) { s.progress.LastTerm = 2 }, "is of term 2, the leader's of 3"},
		{func(s *standing) { s.progress.LastIndex = 749 }, "lacks 251 entries"},
		{func(s *standing) { s.progress.LastIndex = 750 }, ""},
	} {
		s := standing{member: member("s", "s:1", 0), progress: &verb.Progress{LastTerm: 3, LastIndex: 1000, LastContact: 50 * time.Millisecond}}
		x.change(&s)
		ok, why := s.healthy(leader, c)
		if ok != (x.want == "") || !strings.Contains(why, x.want) {
			t.Errorf("%v, %q; want %q", ok, why, x.want)
		}
	}
}

func TestNewServersProveThemselvesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		time.Sleep(20 * time.Second) // past the time in which a new leader is generous
		began := time.Now()
		l.start(member("s3", "10.0.0.4:8300", 0), "")
		l.eventually("it replicates", func() bool {
			c, err := l.leads().RaftConfiguration()
			return err == nil && len(c.Servers) == 4
		})
		l.eventually("it has a vote", func() bool { return l.leads().voters() == 4 })
		if took := time.Since(began); took < 10*time.Second || took > 16*time.Second {
			t.Errorf("it had its vote after %v", took)
		}
	})
}

func TestDeadServerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		dead := l.follower()
		dead.kill()
		time.Sleep(10 * time.Minute)
		c, err := l.leads().RaftConfiguration()
		if err != nil || len(c.Servers) != 3 {
			t.Fatalf("without a replacement: %+v, %v", c, err)
		}
		for _, s := range c.Servers {
			if failed := s.Node == dead.name; failed != (s.Status == "failed") || failed == (s.LastIndex > 0) {
				t.Errorf("%+v", s)
			}
		}
		state := only[*api.AutopilotState](t, must(l.leads().Query(t.Context(), verb.Options{}, operator.AutopilotState{})), nil)
		if state.Healthy || state.FailureTolerance != 0 || state.Leader != state.Voters[0] || len(state.Voters) != 3 || state.Servers[nodeID(dead.name)].Healthy {
			t.Errorf("%+v", state)
		}
		l.start(member("s3", "10.0.0.4:8300", 0), "")
		l.eventually("the new one is in the place of the dead one", func() bool {
			c, err := l.leads().RaftConfiguration()
			return err == nil && len(c.Servers) == 3 && l.leads().voters() == 3 &&
				!slices.ContainsFunc(c.Servers, func(s api.RaftServer) bool { return s.Node == dead.name || !s.Voter })
		})
		l.eventually("all is well", func() bool {
			s, err := l.leads().AutopilotState()
			return err == nil && s.Healthy && s.FailureTolerance == 1
		})
		for _, m := range l.pool.Members() {
			if m.Node.Node == dead.name && m.Status != Left {
				t.Errorf("gossip has it %s", m.Status)
			}
		}
	})
}

func must(a verb.Answer, err error) verb.Answer {
	if err != nil {
		panic(err)
	}
	return a
}

// TestShrinkingWouldHaveLostTheLeader is a bad day of others: a server fails, is given up, comes back, and is nobody when the leader goes.
func TestShrinkingWouldHaveLostTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		dirs := map[string]string{}
		for i := range 3 {
			name := fmt.Sprint("s", i)
			dirs[name] = t.TempDir()
			l.start(member(name, fmt.Sprintf("10.0.0.%d:8300", i+1), 3), dirs[name])
		}
		l.leads()
		f := l.follower()
		name, addr := f.name, f.in.Addr().String()
		f.kill()
		time.Sleep(time.Minute)
		l.start(member(name, addr, 0), dirs[name])
		time.Sleep(2 * time.Second)
		began := time.Now()
		l.leads().kill()
		l.leads()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("no leader for %v", took)
		}
	})
}

func TestAutopilotConfigurationIsTheFirstLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		c := l.agent("10.0.1.1:9")
		read := func() *api.AutopilotConfiguration {
			return only[*api.AutopilotConfiguration](t, must(c.Query(t.Context(), verb.Options{}, operator.Autopilot{})), nil)
		}
		first := read()
		if want := api.DefaultAutopilot(); first.MaxTrailingLogs != want.MaxTrailingLogs || !first.CleanupDeadServers || first.ModifyIndex == 0 {
			t.Fatalf("%+v", first)
		}
		set := func(cas uint64, want bool) {
			t.Helper()
			next := *first
			next.MinQuorum = 5
			r, err := c.Apply(t.Context(), verb.Options{}, operator.SetAutopilot{Config: next, CAS: &cas})
			var did bool
			if err != nil || r.Decode(&did) != nil || did != want {
				t.Errorf("cas %d: %v, %v", cas, did, err)
			}
		}
		set(first.ModifyIndex+1, false)
		set(first.ModifyIndex, true)
		l.leads().kill()
		l.leads()
		if now := read(); now.MinQuorum != 5 || now.CreateIndex != first.CreateIndex || now.ModifyIndex <= first.ModifyIndex {
			t.Errorf("after a change of leader: %+v", now)
		}
	})
}
