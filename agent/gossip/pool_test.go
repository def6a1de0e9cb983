package gossip

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestCrashedMemberFailsAndComesBack(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(5)
		if err := pools[4].Close(); err != nil {
			t.Fatal(err)
		}
		for _, p := range pools[:4] {
			took := l.until(p, 20*time.Second, "s5 has failed", func() bool { return status(p, "s5") == api.MemberFailed })
			t.Logf("seen to fail after %s", took)
		}
		if n := l.said("level=WARN", "member failed", "node=s5", "addr="+l.addr("s5")); n != 4 {
			t.Errorf("%d lines tell of the failure, want one of each who saw it", n)
		}
		if got := pools[0].Servers(); len(got) != 4 {
			t.Errorf("servers are %v", got)
		}
		back := l.start("s5", server)
		l.join(back, "s2")
		for _, p := range pools[:4] {
			l.until(p, 5*time.Second, "s5 is back", func() bool { return status(p, "s5") == api.MemberAlive })
		}
		if n := l.said("member is back", "node=s5"); n != 4 {
			t.Errorf("%d lines tell of the return", n)
		}
	})
}

// A crashed agent that comes back without a word to anybody is found by those who know where it was.
func TestSilentReturnIsFound(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		pools[2].Close()
		l.until(pools[0], 20*time.Second, "s3 has failed", func() bool { return status(pools[0], "s3") == api.MemberFailed })
		l.start("s3", server)
		l.until(pools[0], 5*time.Minute, "s3 is back", func() bool { return status(pools[0], "s3") == api.MemberAlive })
	})
}

func TestLeavingMemberHasLeft(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(5)
		began := time.Now()
		if err := pools[4].Leave(l.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("leaving took %s", took)
		}
		for _, p := range pools[:4] {
			if s := status(p, "s5"); s != api.MemberLeft {
				t.Errorf("%s sees s5 as %s when it has left", p.opts.NodeName, s)
			}
		}
		if s := pools[4].Local().Status; s != api.MemberLeft {
			t.Errorf("it sees itself as %s", s)
		}
		if err := pools[4].Leave(l.Context()); err != nil {
			t.Errorf("leaving again: %s", err)
		}
		pools[4].Close()
		time.Sleep(time.Minute)
		if s := status(pools[0], "s5"); s != api.MemberLeft {
			t.Errorf("a minute later it is %s", s)
		}
		if n := l.said("member failed"); n != 0 {
			t.Errorf("%d lines tell of a failure", n)
		}
		// It may come back.
		l.join(l.start("s5", server), "s1")
		l.until(pools[3], 5*time.Second, "s5 is back", func() bool { return status(pools[3], "s5") == api.MemberAlive })
	})
}

func TestLeavingIsBounded(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(2)
		l.net.Cut("s1", "s2")
		ctx, cancel := context.WithTimeout(l.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := pools[0].Leave(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("leave: %v", err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the caller waited %s", took)
		}
		if err := pools[0].Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing took %s", took)
		}
		if err := pools[0].ForceLeave("s2", false); !errors.Is(err, ErrClosed) {
			t.Errorf("after closing: %v", err)
		}
		if err := pools[0].Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAloneLeavesAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		p := l.start("s1")
		began := time.Now()
		if err := p.Leave(l.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("leaving took %s: %v", time.Since(began), err)
		}
	})
}

func TestForceLeave(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(4)
		err := pools[0].ForceLeave("nothing", false)
		if err == nil || err.Error() != "agent: No node found with name 'nothing'" || api.StatusOf(err) != 500 {
			t.Errorf("an unknown name: %v", err)
		}
		if err := pools[0].ForceLeave("s4", true); err == nil {
			t.Error("a live member was forgotten")
		}
		pools[3].Close()
		l.until(pools[0], 20*time.Second, "s4 has failed", func() bool { return status(pools[0], "s4") == api.MemberFailed })
		l.until(pools[1], 20*time.Second, "s4 has failed", func() bool { return status(pools[1], "s4") == api.MemberFailed })
		if err := pools[0].ForceLeave("s4", false); err != nil {
			t.Fatal(err)
		}
		if s := status(pools[0], "s4"); s != api.MemberLeft {
			t.Errorf("s4 is %s where it was made to leave", s)
		}
		l.until(pools[1], 5*time.Second, "s4 has left", func() bool { return status(pools[1], "s4") == api.MemberLeft })
		if err := pools[1].ForceLeave("s4", true); err != nil {
			t.Fatal(err)
		}
		for _, p := range pools[:3] {
			l.until(p, 5*time.Second, "s4 is forgotten", func() bool { return len(p.Members()) == 3 })
		}
	})
}

func TestPartitionAndHeal(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(5)
		for _, a := range []string{"s1", "s2"} {
			for _, b := range []string{"s3", "s4", "s5"} {
				l.net.Cut(a, b)
			}
		}
		l.until(pools[0], time.Minute, "three have failed", func() bool { return count(pools[0], api.MemberFailed) == 3 })
		l.until(pools[4], time.Minute, "two have failed", func() bool { return count(pools[4], api.MemberFailed) == 2 })
		l.net.Heal()
		for _, p := range pools {
			l.until(p, 5*time.Minute, "all are alive", func() bool { return count(p, api.MemberAlive) == 5 })
		}
	})
}

// One way only is not enough for a member to count as failed: others reach it.
func TestOneWayCutIsNoFailure(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(4)
		l.net.CutOneWay("s1", "s2")
		time.Sleep(2 * time.Minute)
		for _, p := range pools {
			if count(p, api.MemberAlive) != 4 {
				t.Errorf("%s sees %s", p.opts.NodeName, statuses(p))
			}
		}
	})
}

func TestFoundedSpreads(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		for _, m := range pools[0].Members() {
			if m.Expect != 3 || !m.Server {
				t.Errorf("%s expects %d", m.Name, m.Expect)
			}
		}
		changed := pools[2].Changed()
		pools[0].Founded()
		if m := pools[0].Local(); m.Expect != 0 {
			t.Errorf("it still expects %d itself", m.Expect)
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Second):
			t.Fatal("nobody is woken")
		}
		expects := func(p *Pool, name string) int {
			m, _ := p.view.Load().find(name)
			return m.Expect
		}
		l.until(pools[2], time.Second, "s1 expects nobody", func() bool { return expects(pools[2], "s1") == 0 })
		if n := expects(pools[2], "s2"); n != 3 {
			t.Errorf("s2 expects %d", n)
		}
		changed = pools[0].Changed()
		pools[0].Founded()
		select {
		case <-changed:
			t.Error("saying it again changes something")
		default:
		}
		if err := pools[0].UpdateTags(map[string]string{tagID: "x"}); err == nil {
			t.Error("the id was changed")
		}
	})
}

func TestChangedWakesOnceForEachChange(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(2)
		time.Sleep(time.Minute)
		changed := pools[0].Changed()
		time.Sleep(time.Minute)
		select {
		case <-changed:
			t.Error("woken by nothing")
		default:
		}
		p := l.start("s3")
		l.join(p, "s2")
		<-changed
		if names := pools[0].Members(); len(names) != 3 || names[2].Name != "s3" || names[2].Server {
			t.Errorf("members are %s", statuses(pools[0]))
		}
	})
}

func TestMembersAsTheAPIShowsThem(t *testing.T) {
	inLab(t, func(l *lab) {
		s := l.start("s1", server, func(o *Options) {
			o.Ports = Ports{GRPC: 8502, WAN: 8302}
			o.Meta = map[string]string{"rack": "7"}
		})
		c := l.start("c1", func(o *Options) { o.ACLs = true })
		l.join(c, "s1")
		got := c.APIMembers()
		want := []api.Member{{
			Name: "c1", Addr: "10.0.0.2", Port: 8301, Status: api.MemberAlive,
			Tags: map[string]string{
				"acls": "1", "build": "1.21.4:", "dc": "dc1", "id": id(2), "role": "node", "segment": "",
				"vsn": "2", "vsn_min": "2", "vsn_max": "3",
			},
		}, {
			Name: "s1", Addr: "10.0.0.1", Port: 8301, Status: api.MemberAlive,
			Tags: map[string]string{
				"acls": "0", "build": "1.21.4:", "dc": "dc1", "id": id(1), "role": "consul", "segment": "", "port": "8300",
				"expect": "3", "raft_vsn": "3", "ft_fs": "1", "ft_si": "1", "grpc_port": "8502", "wan_join_port": "8302",
				"vsn": "2", "vsn_min": "2", "vsn_max": "3",
			},
		}}
		for i := range want {
			want[i].ProtocolMin, want[i].ProtocolMax, want[i].ProtocolCur = 1, 5, 2
			want[i].DelegateMin, want[i].DelegateMax, want[i].DelegateCur = 2, 5, 4
			diff(t, got[i], want[i])
		}
		if m := s.Local(); m.Meta["rack"] != "7" || m.RPCAddr != "10.0.0.1:8300" || m.Version != "0.1.0" {
			t.Errorf("the local member is %+v", m)
		}
		if got := c.Coordinate(); got == nil || len(got.Vec) == 0 {
			t.Errorf("the coordinate is %v", got)
		}
		if got := l.start("c2", func(o *Options) { o.DisableCoordinates = true }).Coordinate(); got != nil {
			t.Errorf("there is a coordinate: %v", got)
		}
		if got := c.Servers(); !slices.Equal(got, []string{"10.0.0.1:8300"}) {
			t.Errorf("servers are %v", got)
		}
	})
}

// A server that comes back with another address is reached there, as soon as nobody answers at the old one.
func TestServerMoves(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		pools[2].Close()
		moved := l.start("elsewhere", server, func(o *Options) { o.NodeName, o.NodeID = "s3", id(3) })
		if err := moved.RetryJoin(l.Context(), []string{l.addr("s1")}, time.Second, 0, nil); err != nil {
			t.Fatal(err)
		}
		want := mustAddrPort(l.addr("elsewhere"))
		for _, p := range pools[:2] {
			l.until(p, 10*time.Second, "s3 has moved", func() bool {
				m, _ := p.view.Load().find("s3")
				return m.Status == api.MemberAlive && m.Addr == want && m.RPCAddr == want.Addr().String()+":8300"
			})
		}
	})
}

func TestSnapshotFindsTheOthersAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(2)
		file := t.TempDir() + "/serf/local.snapshot"
		keep := func(o *Options) { server(o); o.SnapshotPath = file }
		p := l.start("s3", keep)
		l.join(p, "s1")
		time.Sleep(5 * time.Second)
		p.Close()
		l.until(pools[0], 20*time.Second, "s3 has failed", func() bool { return status(pools[0], "s3") == api.MemberFailed })
		p = l.start("s3", keep)
		l.until(p, 5*time.Second, "all are alive", func() bool { return count(p, api.MemberAlive) == 3 })

		// Who has left stays away.
		if err := p.Leave(l.Context()); err != nil {
			t.Fatal(err)
		}
		p.Close()
		p = l.start("s3", keep)
		time.Sleep(10 * time.Second)
		if len(p.Members()) != 1 {
			t.Errorf("it went back: %s", statuses(p))
		}
	})
}
