package gossip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestForeignersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		words  []string
	}{
		"another datacenter": {
			func(o *Options) { o.Datacenter = "dc2" },
			[]string{`agent "s`, ` at 10.0.0.`, `:8301 is of datacenter "dc1" and this agent of "dc2"`},
		},
		"a copied name": {
			func(o *Options) { o.NodeName = "S1" },
			[]string{`the node name "s1" is taken by node ` + id(1) + ` at 10.0.0.1:8301`, "node_name"},
		},
		"a copied id": {
			func(o *Options) { o.NodeID = id(1) },
			[]string{"the node id " + id(1) + ` is taken by "s1" at 10.0.0.1:8301`, "data directory"},
		},
		"a copy": {
			func(o *Options) { o.NodeName, o.NodeID = "s1", id(1) },
			[]string{`"s1" with node id ` + id(1) + " runs at 10.0.0.1:8301 already"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				pools := l.cluster(3)
				p := l.start("x", c.change)
				_, err := p.Join(l.Context(), []string{l.addr("s2")})
				wantRefused(t, err, append(c.words, "Failed to join 10.0.0.2:8301: ")...)
				time.Sleep(time.Minute)
				for _, q := range append(pools, p) {
					want := 3
					if q == p {
						want = 1
					}
					if len(q.Members()) != want || count(q, api.MemberAlive) != want {
						t.Errorf("%s knows %s", q.opts.NodeName, statuses(q))
					}
				}
				if n := l.said("at=s2", "level=WARN", l.addr("x")); n != 1 {
					t.Errorf("s2 says so in %d lines", n)
				}
			})
		})
	}
}

// A second agent of a name gets it once the first one has failed, and keeps it.
func TestNameOfAFailedMemberIsFree(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		second := func(o *Options) { o.NodeName = "s3" }
		x := l.start("x", second)
		if _, err := x.Join(l.Context(), []string{l.addr("s1")}); err == nil {
			t.Fatal("two agents of one name")
		}
		pools[2].Close()
		if err := x.RetryJoin(l.Context(), []string{l.addr("s1")}, 5*time.Second, 0, nil); err != nil {
			t.Fatal(err)
		}
		for _, p := range pools[:2] {
			l.until(p, time.Minute, "s3 is the second one", func() bool {
				m, _ := p.view.Load().find("s3")
				return m.Status == api.MemberAlive && m.Addr == mustAddrPort(l.addr("x")) && m.ID == id(4)
			})
		}
	})
}

// A renamed agent finds the way back, since where it was before is where it is.
func TestRenamedAgent(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(3)
		pools[2].Close()
		p := l.start("s3", func(o *Options) { o.NodeName = "renamed" })
		l.join(p, "s1")
		l.until(pools[1], 5*time.Second, "it is known", func() bool { return status(pools[1], "renamed") == api.MemberAlive })
		l.until(pools[1], time.Minute, "the old name has failed", func() bool { return status(pools[1], "s3") == api.MemberFailed })
	})
}

func TestEncryption(t *testing.T) {
	key, other := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	with := func(keys ...[]byte) func(*Options) { return func(o *Options) { o.EncryptKeys = keys } }
	for name, c := range map[string]struct {
		there, here func(*Options)
		words       string
	}{
		"the same key":   {with(key), with(key), ""},
		"an old key too": {with(key, other), with(key), ""},
		"another key":    {with(key), with(other), "its encryption key is another"},
		"only there":     {with(key), with(), "this agent has no key"},
		"only here":      {with(), with(key), "that one does not"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				a, b := l.start("a", c.there), l.start("b", c.here)
				_, err := b.Join(l.Context(), []string{l.addr("a")})
				if c.words == "" {
					if err != nil {
						t.Fatal(err)
					}
					l.until(a, 5*time.Second, "b is alive", func() bool { return status(a, "b") == api.MemberAlive })
					return
				}
				wantRefused(t, err, c.words)
				time.Sleep(time.Minute)
				if len(a.Members()) != 1 || len(b.Members()) != 1 {
					t.Errorf("a knows %s, b knows %s", statuses(a), statuses(b))
				}
				if n := l.said("at=a", "level=WARN", "its encryption"); n != 1 {
					t.Errorf("a says so in %d lines", n)
				}
			})
		})
	}
}

func TestAllowedNetworks(t *testing.T) {
	inLab(t, func(l *lab) {
		only := func(nets ...string) func(*Options) {
			return func(o *Options) {
				for _, n := range nets {
					o.AllowedCIDRs = append(o.AllowedCIDRs, netip.MustParsePrefix(n))
				}
			}
		}
		a := l.start("a", only("10.0.0.1/32"))
		b := l.start("b")
		_, err := b.Join(l.Context(), []string{l.addr("a")})
		wantRefused(t, err, "does not allow this host (serf_lan_allowed_cidrs)")
		// The other way round it joins, and still does not believe it.
		if _, err := a.Join(l.Context(), []string{l.addr("b")}); err != nil || len(a.Members()) > 1 {
			t.Errorf("a knows %s: %v", statuses(a), err)
		}
		if _, err := l.try("c", only("192.168.0.0/16")); err == nil || !strings.Contains(err.Error(), "serf_lan_allowed_cidrs") {
			t.Errorf("its own address is not allowed: %v", err)
		}
	})
}
