package meshcases

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// Cases is everything that a data plane must do.
var Cases = []Case{
	{"a call passes", callPasses},
	{"a denied caller is sent nothing, even by a service that speaks first", deniedHearsNothing},
	{"who is not of the mesh is refused", strangersAreRefused},
	{"rules are followed in their order", rulesInOrder},
	{"an allowed caller is heard without a restart", allowedAtOnce},
	{"an intention that is deleted cuts open connections and refuses new ones", revoked},
	{"a resumed TLS session is judged like a new one", resumedIsJudged},
	{"what allows more touches no connection", allowingMoreTouchesNothing},
	{"an instance that is removed is not called", removedIsNotCalled},
	{"an instance that is critical is not called, even if all are", criticalIsNotCalled},
	{"an instance that is somebody else is not called", impostorIsNotCalled},
	{"leaf certificates rotate under load", leavesRotate},
	{"root certificates rotate under load", rootsRotate},
	{"an upstream that is added works from its first connection", upstreamAdded},
	{"an upstream that moves to another target loses no call", upstreamMoves},
	{"an upstream that is removed leaves the others alone", upstreamRemoved},
	{"a sidecar that moves is found at its new address", sidecarMoves},
	{"a half-closed connection keeps its other half", halfClose},
}

// slack is what a change may take on its way, on a busy machine.
const slack = 3 * time.Second

func callPasses(w *World) {
	w.Running()
	open := w.Open()
	for range 20 {
		if err := errors.Join(w.Call(), open.Exchange()); err != nil {
			w.T.Fatal(err)
		}
	}
}

func deniedHearsNothing(w *World) {
	w.DB = NewApp(w.T, "welcome, whoever you are\n")
	w.Change(DBProxy, func(s *snapshot.Snapshot) {
		s.LocalApp = address(w.DB.Addr.Port)
		s.Policy.Rules = []snapshot.Rule{Allow("other")}
	})
	w.Start()
	other := w.Authority.Leaf(w.T, "other")
	w.Eventually("a caller that is allowed to be greeted", func() error {
		got, _, err := w.Direct(&other, nil, 200*time.Millisecond)
		if len(got) == 0 {
			return fmt.Errorf("received nothing: %v", err)
		}
		return nil
	})
	greeted := w.DB.Accepted.Load()
	web := w.Authority.Leaf(w.T, "web")
	for range 5 {
		got, _, err := w.Direct(&web, nil, 2*time.Second)
		if len(got) > 0 || err == nil {
			w.T.Errorf("a denied caller received %q (%v), want nothing and an error", got, err)
		}
		c, err := dial(w.Upstream)
		if err != nil {
			w.T.Fatal(err)
		}
		if err := c.Ends(callTimeout); err != nil {
			w.T.Error(err)
		}
		_ = c.Close()
	}
	early, ok := w.Dataplane.(interface{ ConnectsEarly() bool })
	if n := w.DB.Accepted.Load(); n != greeted && !(ok && early.ConnectsEarly()) {
		w.T.Errorf("the service was bothered with %d denied callers", n-greeted)
	}
}

func strangersAreRefused(w *World) {
	w.Running()
	foreign := NewAuthority(w.T).Leaf(w.T, "web")
	forged := newAuthority(w.T, w.Authority.clusterID, 99).Leaf(w.T, "web") // the right trust domain, signed by nobody we know
	for name, leaf := range map[string]*api.Leaf{"no certificate": nil, "another trust domain": &foreign, "a forged one": &forged} {
		if got, _, err := w.Direct(leaf, nil, 2*time.Second); len(got) > 0 || err == nil || timedOut(err) {
			w.T.Errorf("%s: received %q (%v), want nothing and a refusal", name, got, err)
		}
	}
	c, err := dial(w.Public)
	if err != nil {
		w.T.Fatal(err)
	}
	defer c.Close()
	if err := c.Exchange(); err == nil {
		w.T.Error("plain text was answered")
	}
}

func rulesInOrder(w *World) {
	w.Change(DBProxy, func(s *snapshot.Snapshot) {
		s.Policy.DefaultAllow = true
		s.Policy.Rules = []snapshot.Rule{Deny("web2"), Allow("web"), {ID: "https", Source: "we", Allow: true, HTTP: true}}
	})
	w.Running()
	for service, want := range map[string]bool{
		"web": true, "web2": false, "we": false, "w": true, "web22": true, "a.b": true, "web-2": true,
	} {
		if got := w.mayCall(service); got != want {
			w.T.Errorf("%s may call: %t, want %t", service, got, want)
		}
	}
	w.Rules(Allow("web"), Deny("*"))
	w.Eventually("the rest to be denied", func() error {
		if w.mayCall("w") {
			return errors.New("w may call")
		}
		return nil
	})
	if !w.mayCall("web") {
		w.T.Error("web may not call any more")
	}
}

// mayCall tells whether a service gets through to db.
func (w *World) mayCall(service string) bool {
	leaf := w.Authority.Leaf(w.T, service)
	_, _, err := w.Direct(&leaf, nil, 300*time.Millisecond)
	return timedOut(err) // db waits for the first line
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func allowedAtOnce(w *World) {
	w.Rules()
	w.Start()
	if err := w.Call(); err == nil {
		w.T.Fatal("a call passed that no rule allows")
	}
	w.Rules(Allow("web"))
	w.Within(slack, "a call to pass", w.Call)
}

func revoked(w *World) {
	w.Running()
	idle, busy := w.Open(), w.Open()
	for range 5 { // what a pool keeps is open now
		if err := w.Call(); err != nil {
			w.T.Fatal(err)
		}
	}
	w.Rules()
	began := time.Now()
	w.Within(slack, "new calls to be denied", func() error {
		if w.Call() == nil {
			return errors.New("a call passed")
		}
		return nil
	})
	for range 10 {
		if w.Call() == nil {
			w.T.Error("a call passed after one was denied")
		}
	}
	left := w.Dataplane.Drain() + slack - time.Since(began)
	w.Within(left, "the busy connection to be cut", func() error {
		if busy.Exchange() == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	if err := idle.Ends(max(w.Dataplane.Drain()+slack-time.Since(began), time.Millisecond)); err != nil {
		w.T.Errorf("the idle connection was not cut: %v", err)
	}
	w.T.Logf("cut after %s", time.Since(began).Round(time.Millisecond))
	w.Rules(Allow("web"))
	w.Within(slack, "a call to pass once it is allowed again", w.Call)
}

func resumedIsJudged(w *World) {
	w.Running()
	web, sessions := w.Authority.Leaf(w.T, "web"), tls.NewLRUClientSessionCache(8)
	for range 2 {
		if _, _, err := w.Direct(&web, sessions, 200*time.Millisecond); !timedOut(err) {
			w.T.Fatalf("an allowed caller failed: %v", err)
		}
	}
	w.Rules()
	w.Within(slack, "a session that goes on to be refused", func() error {
		if _, _, err := w.Direct(&web, sessions, 200*time.Millisecond); err == nil || timedOut(err) {
			return fmt.Errorf("it was let in: %v", err)
		}
		return nil
	})
}

func allowingMoreTouchesNothing(w *World) {
	w.Running()
	open := w.Open()
	w.Rules(Allow("web"), Allow("other"))
	w.Eventually("the other to be let in", func() error {
		if !w.mayCall("other") {
			return errors.New("it is refused")
		}
		return nil
	})
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Policy.DefaultAllow = true })
	w.Eventually("anybody to be let in", func() error {
		if !w.mayCall("anybody") {
			return errors.New("it is refused")
		}
		return nil
	})
	w.stays(open)
}

// stays wants a connection to live on for longer than it takes to drain one.
func (w *World) stays(c *Conn) {
	w.T.Helper()
	for end := time.Now().Add(w.Dataplane.Drain() + 500*time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := c.Exchange(); err != nil {
			w.T.Fatalf("an open connection was cut: %v", err)
		}
	}
}

func removedIsNotCalled(w *World) {
	w.Running()
	other, decoy := w.DBInstance(), NewApp(w.T, "this is no TLS\n")
	other.ID, other.Address = "decoy", address(decoy.Addr.Port)
	open := w.Open()
	w.Instances(w.DBInstance(), other)
	w.Eventually("the other instance to be called", func() error {
		_ = w.Call()
		if decoy.Accepted.Load() == 0 {
			return errors.New("it was not")
		}
		return nil
	})
	w.Instances(w.DBInstance())
	quiet := func() error {
		before := decoy.Accepted.Load()
		for range 20 {
			if err := w.Call(); err != nil {
				return err
			}
		}
		if n := decoy.Accepted.Load(); n != before {
			return fmt.Errorf("it was called %d times", n-before)
		}
		return nil
	}
	w.Within(slack, "the removed instance to be left alone", quiet)
	if err := quiet(); err != nil {
		w.T.Error(err)
	}
	w.stays(open)
}

func criticalIsNotCalled(w *World) {
	w.Running()
	i := w.DBInstance()
	i.Health, i.Weight = api.Critical, 0
	w.Instances(i)
	w.Within(slack, "calls to fail", func() error {
		if w.Call() == nil {
			return errors.New("a call passed")
		}
		return nil
	})
	if w.Call() == nil {
		w.T.Error("a call passed")
	}
	i.Health, i.Weight = api.Warning, 1
	w.Instances(i)
	w.Within(slack, "calls to pass again", w.Call)
}

func impostorIsNotCalled(w *World) {
	w.Running()
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Leaf = w.Authority.Leaf(w.T, "impostor") })
	w.Within(slack, "calls to fail", func() error {
		if w.Call() == nil {
			return errors.New("a call passed")
		}
		return nil
	})
}

// rotate gives both sidecars certificates of an authority and waits until they show them.
func (w *World) rotate(a *Authority) {
	w.T.Helper()
	for proxy, service := range map[string]string{WebProxy: "web", DBProxy: "db"} {
		leaf := a.Leaf(w.T, service)
		w.Change(proxy, func(s *snapshot.Snapshot) { s.Leaf = leaf })
	}
	want := w.snapshots[DBProxy].Leaf.SerialNumber
	caller := w.Authority.Leaf(w.T, "web")
	w.Within(slack, "the new certificate to be shown", func() error {
		_, cert, err := w.Direct(&caller, nil, 50*time.Millisecond)
		if cert == nil {
			return fmt.Errorf("none is: %v", err)
		}
		if got := colonHex(cert); got != want {
			return fmt.Errorf("%s is, want %s", got, want)
		}
		return nil
	})
}

func colonHex(c *x509.Certificate) string {
	text := ""
	for i, b := range c.SerialNumber.Bytes() {
		if i > 0 {
			text += ":"
		}
		text += fmt.Sprintf("%02x", b)
	}
	return text
}

func leavesRotate(w *World) {
	w.Running()
	load := w.StartLoad()
	for range 5 {
		w.rotate(w.Authority)
		w.More(load)
	}
	load.NoneFailed(w.T)
}

func rootsRotate(w *World) {
	w.Running()
	load := w.StartLoad()
	next := w.Authority.Next(w.T)
	for _, roots := range []string{w.Authority.Root + next.Root, next.Root} {
		for _, proxy := range []string{WebProxy, DBProxy} {
			w.Change(proxy, func(s *snapshot.Snapshot) { s.Roots = roots })
		}
		if roots == next.Root {
			break
		}
		w.Eventually("certificates of the new root to be trusted", func() error {
			leaf := next.Leaf(w.T, "web")
			if _, _, err := w.Direct(&leaf, nil, 50*time.Millisecond); !timedOut(err) {
				return err
			}
			return nil
		})
		w.More(load) // web's sidecar has it by now, too
		w.rotate(next)
		w.More(load)
	}
	w.Eventually("certificates of the old root to be refused", func() error {
		leaf := w.Authority.Leaf(w.T, "web")
		if _, _, err := w.Direct(&leaf, nil, 50*time.Millisecond); timedOut(err) {
			return errors.New("one was taken")
		}
		return nil
	})
	w.More(load)
	load.NoneFailed(w.T)
}

func upstreamAdded(w *World) {
	w.Running()
	open := w.Open()
	local := address(FreePorts(w.T, 1)[0])
	w.Change(WebProxy, func(s *snapshot.Snapshot) { AddUpstream(s, "db", "v2", local, w.DBInstance()) })
	var first *Conn
	w.Within(slack, "the upstream's address", func() (err error) {
		first, err = dial(local.String())
		return err
	})
	defer first.Close()
	if err := first.Exchange(); err != nil {
		w.T.Errorf("its first connection failed: %v", err)
	}
	w.stays(open)
}

func upstreamMoves(w *World) {
	w.Running()
	load := w.StartLoad()
	for _, subset := range []string{"v2", "v3", ""} {
		w.Change(WebProxy, func(s *snapshot.Snapshot) {
			t, instance := target("db", subset), w.DBInstance()
			clear(s.Endpoints)
			AddTarget(s, t, instance)
			s.Upstreams[0].Chain = plainChain("tcp", t)
			// Where it is found stays the same; only the name by which it is called changes.
			AddTarget(s, target("db", ""), instance)
		})
		w.More(load)
	}
	load.end()
	// A connection to a target that is not called any more may be drained; a new call must pass.
	if n := load.failed.Load(); n > 0 {
		w.T.Logf("%d exchanges on the open connection failed, the first: %v", n, load.first)
	}
	if n := load.newFailed.Load(); n > 0 {
		w.T.Errorf("%d new calls failed", n)
	}
}

func upstreamRemoved(w *World) {
	local := address(FreePorts(w.T, 1)[0])
	w.Change(WebProxy, func(s *snapshot.Snapshot) { AddUpstream(s, "db", "v2", local, w.DBInstance()) })
	w.Running()
	w.Listens(local.String())
	load := w.StartLoad()
	w.Change(WebProxy, func(s *snapshot.Snapshot) {
		s.Upstreams = s.Upstreams[:1]
		delete(s.Endpoints, target("db", "v2").ID)
	})
	w.Within(slack+w.Dataplane.Drain(), "its address to be free", func() error {
		if call(local.String()) == nil {
			return errors.New("a call passed")
		}
		return nil
	})
	w.More(load)
	load.NoneFailed(w.T)
}

func sidecarMoves(w *World) {
	w.Running()
	old, public := w.Public, address(FreePorts(w.T, 1)[0])
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Public = public })
	w.Public = public.String()
	w.Listens(w.Public)
	i := w.DBInstance()
	i.Address = public
	w.Instances(i)
	w.Within(slack, "a call to pass", w.Call)
	w.Within(slack+w.Dataplane.Drain(), "the old address to be free", func() error {
		c, err := net.DialTimeout("tcp", old, time.Second)
		if err == nil {
			_ = c.Close()
			return errors.New("something listens there")
		}
		return nil
	})
}

func halfClose(w *World) {
	farewell := bytes.Repeat([]byte("good bye "), 1<<17)
	w.DB.Farewell.Store(&farewell)
	w.Running()
	for range 5 {
		c := w.Open()
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			w.T.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(callTimeout))
		got, err := io.ReadAll(c.r)
		if err != nil || !bytes.Equal(got, farewell) {
			w.T.Fatalf("received %d of %d bytes after the caller had closed its half: %v", len(got), len(farewell), err)
		}
	}
}
