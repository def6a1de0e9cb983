package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// put writes a key. It fails after its write when asked to.
type put struct {
	Key, Value  string
	FailAfter   bool
	StampedTime string
	Deep        any
}

func (put) CommandType() string { return "test.put" }

func (p put) Validate() error {
	if p.Key == "" {
		return api.Errorf(400, "Key must not be empty")
	}
	return nil
}

func (p put) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "key", Name: p.Key, Access: api.Write}}
}

func (p put) Stamp(s verb.Stamp) verb.Command {
	p.StampedTime = s.Time.Format(time.RFC3339)
	return p
}

func (p put) Apply(tx *state.Tx) (any, error) {
	n := 1
	if old := state.Key(tx, p.Key); old != nil {
		n = len(old.Value) + 1
	}
	state.PutKey(tx, api.KVPair{Key: p.Key, Value: []byte(strings.Repeat("x", n))})
	if p.FailAfter {
		return nil, api.Errorf(409, "asked to fail")
	}
	return n, nil
}

// list reads the keys under a prefix.
type list struct{ Prefix string }

func (list) QueryType() string       { return "test.list" }
func (list) Validate() error         { return nil }
func (list) Needs() []api.Permission { return nil }
func (list) NewValue() any           { return new(api.KVPair) }
func (l list) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	for p := range state.Keys(tx, l.Prefix) {
		rows = append(rows, &verb.Row{Key: p.Key, Version: p.ModifyIndex, Value: p,
			Needs: []api.Permission{{Resource: "key", Name: p.Key, Access: api.Read}}})
	}
	return rows, nil
}

// guard is an authorizer that hides keys that begin with "secret" from who has no token.
type guard struct{}

func (guard) Judge(_ *state.Tx, token string) (Judge, error) { return guardJudge(token), nil }

type guardJudge string

func (g guardJudge) Unlimited() bool { return g != "" }
func (g guardJudge) Decide(p api.Permission) api.Decision {
	if g == "" && (strings.HasPrefix(p.Name, "secret") || p.Resource == "acl") {
		return api.Decision{Why: "no token"}
	}
	return api.Decision{Allowed: true}
}

// cluster is cores joined by transports in memory.
type cluster struct {
	t          *testing.T
	cores      map[raft.ServerAddress]*Core
	transports map[raft.ServerAddress]*raft.InmemTransport
}

// others hands a forwarded request to whoever leads.
type others struct{ c *cluster }

func (o others) leader() (*Core, error) {
	for _, c := range o.c.cores {
		if c.Ready() {
			return c, nil
		}
	}
	return nil, verb.ErrNoLeader
}

func (o others) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	c, err := o.leader()
	if err != nil {
		return verb.Result{}, err
	}
	e.Forwarded = true
	return c.ApplyEnvelope(ctx, e)
}

func (o others) QueryEnvelope(ctx context.Context, e verb.Envelope, q verb.Options) (verb.Answer, error) {
	c, err := o.leader()
	if err != nil {
		return verb.Answer{}, err
	}
	e.Forwarded = true
	return c.QueryEnvelope(ctx, e, q)
}

func (o others) WatchEnvelope(ctx context.Context, e verb.Envelope, q verb.Options) (verb.Reader, error) {
	c, err := o.leader()
	if err != nil {
		return nil, err
	}
	e.Forwarded = true
	return c.WatchEnvelope(ctx, e, q)
}

func newCluster(t *testing.T, n int, loops ...Loop) *cluster {
	t.Helper()
	return newClusterOf(t, n, func(o *Options) { o.Loops = loops })
}

// newClusterOf is newCluster of servers that are set up in another way.
func newClusterOf(t *testing.T, n int, setUp func(*Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, cores: map[raft.ServerAddress]*Core{}, transports: map[raft.ServerAddress]*raft.InmemTransport{}}
	var servers []raft.Server
	for i := range n {
		addr, tr := raft.NewInmemTransportWithTimeout(raft.ServerAddress(fmt.Sprint("s", i)), time.Second)
		for other, o := range c.transports {
			tr.Connect(other, o)
			o.Connect(addr, tr)
		}
		c.transports[addr] = tr
		servers = append(servers, raft.Server{ID: raft.ServerID(addr), Address: addr})
	}
	for _, s := range servers {
		cfg := raft.DefaultConfig()
		cfg.LocalID = s.ID
		cfg.Logger = hclog.NewNullLogger()
		cfg.BatchApplyCh = true // as servers have it
		store, snaps := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(cfg, store, store, snaps, c.transports[s.Address], raft.Configuration{Servers: servers}); err != nil {
			t.Fatal(err)
		}
		o := Options{
			Datacenter: "dc1", Types: NewTypes([]verb.Command{put{}, tell{}, poke{}}, []verb.Query{list{}}), Authorizer: guard{},
			Raft: cfg, Logs: store, Stable: store, Snapshots: snaps, Transport: c.transports[s.Address], Logger: slog.New(slog.DiscardHandler),
		}
		if n > 1 {
			o.Leader = others{c}
		}
		setUp(&o)
		core, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		c.cores[s.Address] = core
	}
	t.Cleanup(c.close)
	return c
}

func (c *cluster) close() {
	for a, core := range c.cores {
		if err := core.Close(); err != nil {
			c.t.Error(err)
		}
		delete(c.cores, a)
	}
}

// leader waits until one server leads.
func (c *cluster) leader() *Core {
	c.t.Helper()
	for range 1000 {
		if l, err := (others{c}).leader(); err == nil {
			return l
		}
		time.Sleep(10 * time.Millisecond) // simulated
	}
	c.t.Fatal("nobody leads after ten seconds")
	return nil
}

// follower returns a server that does not lead.
func (c *cluster) follower() *Core {
	l := c.leader()
	for _, core := range c.cores {
		if core != l {
			return core
		}
	}
	c.t.Fatal("no follower")
	return nil
}

func (c *Core) mustPut(t *testing.T, key string) uint64 {
	t.Helper()
	r, err := c.Apply(t.Context(), verb.Options{}, put{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return r.Index
}

func keysOf(a verb.Answer) string {
	var out []string
	for _, p := range verb.Values[*api.KVPair](a) {
		out = append(out, p.Key)
	}
	return strings.Join(out, " ")
}

func TestFollowerForwardsWritesAndReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		f := c.follower()
		f.mustPut(t, "b")
		f.mustPut(t, "a")
		for _, mode := range []verb.Mode{verb.Default, verb.Consistent} {
			a, err := f.Query(t.Context(), verb.Options{Mode: mode}, list{})
			if err != nil || keysOf(a) != "a b" || !a.KnownLeader {
				t.Errorf("mode %d: %q, %+v, %v", mode, keysOf(a), a, err)
			}
		}
		time.Sleep(time.Second)
		a, err := f.Query(t.Context(), verb.Options{Mode: verb.Stale}, list{})
		if err != nil || keysOf(a) != "a b" {
			t.Errorf("stale: %q, %v", keysOf(a), err)
		}
		c.close()
	})
}

func TestRepeatedEnvelopeActsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		e, err := verb.Wrap(verb.Options{}, "test.put", put{Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		var first, second int
		r1, err := l.ApplyEnvelope(t.Context(), e)
		if err != nil || r1.Decode(&first) != nil {
			t.Fatal(err)
		}
		r2, err := l.ApplyEnvelope(t.Context(), e)
		if err != nil || r2.Decode(&second) != nil {
			t.Fatal(err)
		}
		if first != 1 || second != 1 || r1.Index != r2.Index {
			t.Errorf("the write acted again: %d at %d, then %d at %d", first, r1.Index, second, r2.Index)
		}
		c.close()
	})
}

func TestFailureAfterWriteChangesNothingAndItsNeighboursStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		errs := make(chan error, 3)
		for i, fail := range []bool{false, true, false} {
			go func() {
				_, err := l.Apply(t.Context(), verb.Options{}, put{Key: fmt.Sprint("k", i), FailAfter: fail})
				errs <- err
			}()
		}
		failed := 0
		for range 3 {
			if err := <-errs; err != nil {
				failed++
				if api.StatusOf(err) != 409 {
					t.Errorf("status %d: %v", api.StatusOf(err), err)
				}
			}
		}
		a, err := l.Query(t.Context(), verb.Options{}, list{})
		if err != nil || failed != 1 || keysOf(a) != "k0 k2" {
			t.Errorf("%d failed, keys %q, %v", failed, keysOf(a), err)
		}
		c.close()
	})
}

func TestBlockingQueryWakesForItsOwnChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		at := l.mustPut(t, "a/1")
		type done struct {
			a    verb.Answer
			took time.Duration
		}
		out := make(chan done, 1)
		began := time.Now()
		go func() {
			a, err := l.Query(t.Context(), verb.Options{MinIndex: at, Wait: time.Minute}, list{"a/"})
			if err != nil {
				t.Error(err)
			}
			out <- done{a, time.Since(began)}
		}()
		time.Sleep(time.Second)
		l.mustPut(t, "b/1")
		time.Sleep(time.Second)
		l.mustPut(t, "a/2")
		d := <-out
		if keysOf(d.a) != "a/1 a/2" || d.took != 2*time.Second || d.a.Index <= at {
			t.Errorf("after %v: %q at %d", d.took, keysOf(d.a), d.a.Index)
		}
		a, err := l.Query(t.Context(), verb.Options{MinIndex: d.a.Index, Wait: time.Second}, list{"a/"})
		if err != nil || a.Index != d.a.Index {
			t.Errorf("timed out at index %d, want %d, %v", a.Index, d.a.Index, err)
		}
		c.close()
	})
}

func TestAbsentNameIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		f := c.follower()
		a, err := f.Query(t.Context(), verb.Options{}, list{"none/"})
		if err != nil || a.Index == 0 || len(a.Rows) != 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		go func() {
			time.Sleep(time.Second)
			f.mustPut(t, "none/1")
		}()
		a, err = f.Query(t.Context(), verb.Options{MinIndex: a.Index}, list{"none/"})
		if err != nil || keysOf(a) != "none/1" {
			t.Errorf("%q, %v", keysOf(a), err)
		}
		c.close()
	})
}

func TestWatchGoesOnFromAnotherLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		old := c.leader()
		r, err := old.Watch(t.Context(), verb.Options{}, list{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := old.Raft().LeadershipTransfer().Error(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(t.Context()); !errors.Is(err, verb.ErrNotLeader) {
			t.Errorf("a watch at a server that does not lead any more: %v", err)
		}
		old.mustPut(t, "k")
		c.close()
	})
}

func TestWriteWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		old := c.leader()
		f := c.follower()
		for addr, tr := range c.transports {
			if c.cores[addr] == old {
				tr.DisconnectAll()
			} else {
				for a, o := range c.cores {
					if o == old {
						tr.Disconnect(a)
					}
				}
			}
		}
		f.mustPut(t, "k")
		if l := c.leader(); l == old {
			t.Error("the server that was cut off leads")
		}
		c.close()
	})
}

func TestRowsAreHiddenAndWritesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		if _, err := l.Apply(t.Context(), verb.Options{}, put{Key: "secret/1"}); api.StatusOf(err) != 403 || !strings.Contains(err.Error(), "no token") {
			t.Errorf("write without a token: %v", err)
		}
		if _, err := l.Apply(t.Context(), verb.Options{Token: "t"}, put{Key: "secret/1"}); err != nil {
			t.Fatal(err)
		}
		l.mustPut(t, "open/1")
		a, err := l.Query(t.Context(), verb.Options{}, list{})
		if err != nil || keysOf(a) != "open/1" || !a.Filtered {
			t.Errorf("%q filtered %v, %v", keysOf(a), a.Filtered, err)
		}
		c.close()
	})
}

func TestLoopsBeginAndEndWithLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := make(chan int, 10)
		loop := Loop{
			Name: "test",
			Prepare: func(ctx context.Context, term *Term) error {
				_, err := term.Apply(ctx, put{Key: "prepared"})
				return err
			},
			Run: func(ctx context.Context, _ *Term) {
				running <- 1
				<-ctx.Done()
				running <- -1
			},
		}
		c := newCluster(t, 3, loop)
		l := c.leader()
		a, err := l.Query(t.Context(), verb.Options{}, list{})
		if err != nil || keysOf(a) != "prepared" {
			t.Errorf("%q, %v", keysOf(a), err)
		}
		if err := l.Raft().LeadershipTransfer().Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		c.leader()
		c.close()
		close(running)
		n := 0
		for d := range running {
			n += d
		}
		if n != 0 {
			t.Errorf("%d loops go on", n)
		}
	})
}

func TestUnknownTypeStopsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		e, _ := verb.Wrap(verb.Options{}, "test.tomorrow", put{Key: "k"})
		if _, err := l.replicate(e, put{Key: "k"}); err == nil {
			t.Error("an entry of an unknown type was accepted")
		}
		data, err := codec.Encode(e) // as a leader of another release appends it
		if err != nil {
			t.Fatal(err)
		}
		if f := l.raft.Apply(data, time.Second); f.Error() != nil || f.Response().(outcome).err == nil {
			t.Error("an entry of an unknown type was applied")
		}
		if err := <-l.Failed(); !strings.Contains(err.Error(), `"test.tomorrow"`) {
			t.Errorf("the reason does not name the type: %v", err)
		}
		if _, err := l.Apply(t.Context(), verb.Options{}, put{Key: "k"}); err == nil {
			t.Error("the state went on after an entry it skipped")
		}
		c.close()
	})
}

func TestWhatCannotBeReadAgainIsNotAppended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		var deep any = 1
		for range 2000 {
			deep = map[string]any{"a": deep}
		}
		_, err := l.Apply(t.Context(), verb.Options{}, put{Key: "k", Deep: deep})
		if api.StatusOf(err) != 400 || !strings.Contains(err.Error(), "depth") {
			t.Errorf("a command that no server could read again: %v, want it refused", err)
		}
		l.mustPut(t, "k")
		c.close()
	})
}

func TestSnapshotRestoresAllAndRefusesDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		for i := range 600 {
			l.mustPut(t, fmt.Sprint("k", i))
		}
		var whole strings.Builder
		if err := l.Store().Read().Dump(&whole, 700); err != nil {
			t.Fatal(err)
		}
		s, index, err := state.Load(strings.NewReader(whole.String()))
		if err != nil || index != 700 {
			t.Fatal(index, err)
		}
		n := 0
		for range state.Keys(s.Read(), "k") {
			n++
		}
		if n != 600 {
			t.Errorf("%d keys of 600", n)
		}
		if _, _, err := state.Load(strings.NewReader(whole.String()[:whole.Len()-3])); err == nil {
			t.Error("a torn snapshot was taken for a whole one")
		}
		c.close()
	})
}

// Raft forgets what waits in its queue when it stops: whoever waits for it would do so for ever.
func TestCloseAnswersWritesUnderWay(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 1)
			l := c.leader()
			var writers sync.WaitGroup
			for i := range 20 {
				writers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					for ctx.Err() == nil {
						if _, err := l.Apply(ctx, verb.Options{}, put{Key: fmt.Sprint(i)}); err != nil {
							if !verb.Retriable(err) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			runtime.Gosched()
			c.close()
			writers.Wait()
		})
	}
}
