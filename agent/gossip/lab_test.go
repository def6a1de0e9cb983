package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/agent/gossip/memnet"
	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is some agents on a network in memory, in simulated time.
type lab struct {
	*testing.T
	net   *memnet.Network
	hosts map[string]int // name to the last byte of its address
	log   *logLines
	open  []*Pool
}

// inLab runs a test in simulated time.
func inLab(t *testing.T, test func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{T: t, net: &memnet.Network{}, hosts: map[string]int{}, log: &logLines{}}
		t.Cleanup(func() {
			for _, p := range l.open {
				if err := p.Close(); err != nil {
					t.Errorf("close: %s", err)
				}
			}
			time.Sleep(time.Minute) // for the probes that serf has under way
			if t.Failed() {
				t.Log("the log:\n" + l.log.String())
			}
		})
		test(l)
	})
}

// addr is the address of a host of the lab.
func (l *lab) addr(host string) string {
	if l.hosts[host] == 0 {
		l.hosts[host] = len(l.hosts) + 1
	}
	return fmt.Sprintf("10.0.0.%d:%d", l.hosts[host], DefaultPort)
}

func id(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

// try starts an agent, on a host of the same name unless change says otherwise.
func (l *lab) try(host string, change ...func(*Options)) (*Pool, error) {
	l.Helper()
	tr, err := l.net.Listen(host, l.addr(host))
	if err != nil {
		l.Fatal(err)
	}
	o := Default()
	o.NodeName, o.NodeID, o.Datacenter = host, id(l.hosts[host]), "dc1"
	o.Version, o.PeerVersion = "0.1.0", "1.21.4"
	o.Transport = tr
	o.Logger = slog.New(slog.NewTextHandler(l.log, nil)).With("at", host)
	for _, c := range change {
		c(&o)
	}
	p, err := New(o)
	if err == nil {
		l.open = append(l.open, p)
	}
	return p, err
}

func (l *lab) start(host string, change ...func(*Options)) *Pool {
	l.Helper()
	p, err := l.try(host, change...)
	if err != nil {
		l.Fatal(err)
	}
	return p
}

func server(o *Options) { o.Server, o.RPCPort, o.BootstrapExpect = true, 8300, 3 }

// cluster starts agents s1, s2 ... and joins them.
func (l *lab) cluster(n int) []*Pool {
	l.Helper()
	pools := make([]*Pool, n)
	for i := range pools {
		pools[i] = l.start(fmt.Sprintf("s%d", i+1), server)
		if i > 0 {
			l.join(pools[i], "s1")
		}
	}
	for _, p := range pools {
		l.until(p, 5*time.Second, "all are alive", func() bool { return count(p, api.MemberAlive) == n })
	}
	return pools
}

func (l *lab) join(p *Pool, hosts ...string) {
	l.Helper()
	addrs := make([]string, len(hosts))
	for i, h := range hosts {
		addrs[i] = l.addr(h)
	}
	if n, err := p.Join(l.Context(), addrs); err != nil || n != len(hosts) {
		l.Fatalf("joined %d of %d: %v", n, len(hosts), err)
	}
}

// until waits for a condition of a pool's members, woken by its changes alone, and returns how long that took.
func (l *lab) until(p *Pool, atMost time.Duration, what string, ok func() bool) time.Duration {
	l.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.Context(), atMost)
	defer cancel()
	for {
		changed := p.Changed()
		if ok() {
			return time.Since(began)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			l.Fatalf("%s: not within %s at %s: %s", what, atMost, p.opts.NodeName, statuses(p))
		}
	}
}

func status(p *Pool, name string) api.MemberStatus {
	m, _ := p.view.Load().find(name)
	return m.Status
}

func count(p *Pool, s api.MemberStatus) int {
	n := 0
	for _, m := range p.Members() {
		if m.Status == s {
			n++
		}
	}
	return n
}

func statuses(p *Pool) string {
	var out []string
	for _, m := range p.Members() {
		out = append(out, fmt.Sprintf("%s@%s=%s", m.Name, m.Addr, m.Status))
	}
	return strings.Join(out, " ")
}

// logLines collects what is logged.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// said is how many lines have all of the words, once everybody has said what there is to say.
func (l *lab) said(words ...string) int {
	synctest.Wait()
	n := 0
	for line := range strings.Lines(l.log.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// wantRefused looks for words in the error of a join.
func wantRefused(t testing.TB, err error, words ...string) {
	t.Helper()
	var failed *JoinError
	if !errors.As(err, &failed) {
		t.Fatalf("want a refused join, got %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("want %q in the error: %s", w, err)
		}
	}
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
