package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/archive"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// save returns an archive.
func save(t *testing.T, s verb.Snapshots, mode verb.Mode) []byte {
	t.Helper()
	var b bytes.Buffer
	err := s.Save(t.Context(), verb.Options{Mode: mode}, func(verb.Saved) (io.Writer, error) { return &b, nil })
	if err != nil {
		t.Fatalf("save: %v", err)
	}
	return b.Bytes()
}

func restore(ctx context.Context, s verb.Snapshots, data []byte) error {
	return s.Restore(ctx, verb.Options{}, func() (io.Reader, error) { return bytes.NewReader(data), nil })
}

func put(t *testing.T, a applier, key, value string) {
	t.Helper()
	do[bool](t, a, kv.Put{Key: key, Value: []byte(value)})
}

// pairs is what an archive has of keys.
func pairs(t *testing.T, data []byte) (m archive.Meta, keys map[string]string, highest uint64) {
	t.Helper()
	keys = map[string]string{}
	m, err := archive.Read(bytes.NewReader(data), func(_ archive.Meta, r io.Reader) error {
		s, _, err := state.Load(r)
		if err != nil {
			return err
		}
		for p := range state.Keys(s.Read(), "") {
			keys[p.Key], highest = string(p.Value), max(highest, p.ModifyIndex)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, keys, highest
}

// keysAt is what a server has, as text.
func keysAt(h *host) string {
	var out []string
	for p := range state.Keys(h.Store().Read(), "") {
		out = append(out, p.Key+"="+string(p.Value))
	}
	return strings.Join(out, " ")
}

func TestRestoreReplacesTheStateEverywhere(t *testing.T) {
	for _, by := range []string{"leader", "follower", "client agent"} {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.three()
				agent := l.agent("10.0.0.100:1")
				put(t, agent, "a", "1")
				put(t, agent, "b", "1")
				held := session(t, agent, "10s", 0)
				acquire(t, agent, "lock", held)
				from := map[string]verb.Snapshots{"leader": l.leads(), "follower": l.follower(), "client agent": agent}[by]
				data := save(t, from, verb.Default)
				if m, keys, _ := pairs(t, data); len(keys) != 3 || keys["a"] != "1" || m.Datacenter != "dc1" || m.Index == 0 {
					t.Fatalf("%+v, %v", m, keys)
				}
				time.Sleep(15 * time.Second)
				do[bool](t, agent, kv.Delete{Key: "a"})
				put(t, agent, "b", "2")
				put(t, agent, "c", "1")
				do[bool](t, agent, kv.DestroySession{ID: held})
				time.Sleep(time.Second) // followers have it, too

				// Who waits, wherever and for whatever, sees what was put back, at an index above all that it has seen.
				type waiter struct {
					what string
					c    verb.Client
					mode verb.Mode
					q    verb.Query
				}
				waiters := []waiter{
					{"all keys at the leader", l.leads(), verb.Default, kv.List{}},
					{"all keys at a follower", l.follower(), verb.Default, kv.List{}},
					{"all keys at any server", l.follower(), verb.Stale, kv.List{}},
					{"all keys at an agent", agent, verb.Default, kv.List{}},
					{"all keys at an agent, stale", agent, verb.Stale, kv.List{}},
					{"what is there again", agent, verb.Default, kv.Get{Key: "a"}},
					{"what has changed", l.follower(), verb.Default, kv.Get{Key: "b"}},
					{"what is gone", agent, verb.Default, kv.Get{Key: "c"}},
				}
				var waiting sync.WaitGroup
				for _, w := range waiters {
					a, err := w.c.Query(t.Context(), verb.Options{Mode: w.mode}, w.q)
					if err != nil {
						t.Fatal(err)
					}
					waiting.Go(func() {
						b, err := w.c.Query(t.Context(), verb.Options{Mode: w.mode, MinIndex: a.Index, Wait: time.Minute}, w.q)
						if err != nil || b.Index <= a.Index {
							t.Errorf("%s: index %d after %d, %v", w.what, b.Index, a.Index, err)
						}
						for _, p := range verb.Values[*api.KVPair](b) {
							if p.Key == "c" || string(p.Value) == "2" {
								t.Errorf("%s: %+v", w.what, p)
							}
						}
					})
				}
				synctest.Wait()
				if err := restore(t.Context(), from, data); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				waiting.Wait()
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("those who wait heard of it after %v", took)
				}
				for name, h := range l.up {
					l.eventually(name+" has it", func() bool { return keysAt(h) == "a=1 b=1 lock=" })
				}
				// A session that was put back has its whole time from then on, and the leader still looks after it.
				if !lives(l.leads(), held) {
					t.Error("the session is not there")
				}
				l.eventually("it ends", func() bool { return !lives(l.leads(), held) })
				near(t, "the end of the session", time.Since(began), 20*time.Second)
				put(t, agent, "d", "1")
				if p := state.Key(l.leads().Store().Read(), "lock"); p.Session != "" {
					t.Errorf("%+v", p)
				}
				// The saved one can be used again and again.
				if err := restore(t.Context(), from, data); err != nil {
					t.Error(err)
				}
				l.eventually("once more", func() bool { return keysAt(l.follower()) == "a=1 b=1 lock=" })
			})
		})
	}
}

// TestIndexStaysAfterRestart restores, and starts the server anew from its disk.
func TestIndexStaysAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := newLab(t), t.TempDir()
		m := member("s0", "10.0.0.1:8300", 1)
		h := l.start(m, dir)
		l.leads()
		put(t, h, "a", "1")
		data := save(t, h, verb.Default)
		for i := range 100 {
			put(t, h, "b", fmt.Sprint(i))
		}
		if err := restore(t.Context(), h, data); err != nil {
			t.Fatal(err)
		}
		index := func() map[string]uint64 {
			out := map[string]uint64{}
			for name, q := range map[string]verb.Query{"a": kv.Get{Key: "a"}, "b": kv.Get{Key: "b"}, "never": kv.Get{Key: "never"}, "nodes": catalog.Nodes{}, "roots": ca.Roots{}} {
				a, err := h.Query(t.Context(), verb.Options{}, q)
				if err != nil {
					t.Fatal(err)
				}
				out[name] = a.Index
			}
			return out
		}
		before := index()
		if before["b"] < 100 {
			t.Errorf("the index went back: %v", before)
		}
		h.stop()
		h = l.start(m, dir)
		l.leads()
		if keysAt(h) != "a=1" {
			t.Errorf("%s", keysAt(h))
		}
		for name, after := range index() {
			if after < before[name] {
				t.Errorf("%s: index %d after %d", name, after, before[name])
			}
		}
		again := save(t, h, verb.Stale)
		if m, _, _ := pairs(t, again); m.Index < before["a"] {
			t.Errorf("%+v", m)
		}
	})
}

// TestSaveUnderWrites saves while two keys are always changed together, by several writers.
func TestSaveUnderWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		agent := l.agent("10.0.0.100:1")
		ctx, stop := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		for n := range 3 {
			writing.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					time.Sleep(time.Duration(n+1) * 100 * time.Microsecond)
					value := []byte(fmt.Sprint(n, " ", i))
					set := func(key string) api.TxnOp {
						return api.TxnOp{KV: &api.KVOp{Verb: "set", Key: fmt.Sprint(n, key), Value: value}}
					}
					if _, err := agent.Apply(ctx, verb.Options{}, kv.Txn{Ops: []api.TxnOp{set("x"), set("y")}}); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		last := uint64(0)
		for i := range 20 {
			time.Sleep(10 * time.Millisecond)
			from := []verb.Snapshots{l.leads(), l.follower(), agent}[i%3]
			m, keys, highest := pairs(t, save(t, from, verb.Default))
			for n := range 3 {
				if x, y := keys[fmt.Sprint(n, "x")], keys[fmt.Sprint(n, "y")]; x != y {
					t.Errorf("%q and %q are of two moments", x, y)
				}
			}
			if highest > m.Index || m.Index < last {
				t.Errorf("a row of index %d in a snapshot of %d, after one of %d", highest, m.Index, last)
			}
			last = m.Index
		}
		stop()
		writing.Wait()
	})
}

func TestDamagedSnapshotChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		l.leads()
		agent := l.agent("10.0.0.100:1")
		put(t, h, "a", "1")
		good := save(t, h, verb.Default)
		put(t, h, "a", "2")
		before := h.Store()
		refused := func(what string, data []byte) {
			t.Helper()
			for name, s := range map[string]verb.Snapshots{"server": h, "agent": agent} {
				err := restore(t.Context(), s, data)
				if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
					t.Errorf("%s at a %s: %v", what, name, err)
				}
			}
		}
		for i := 0; i < len(good); i += 7 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			refused(fmt.Sprint("bit flipped in byte ", i), bad)
		}
		for n := 0; n < len(good); n += 101 {
			refused(fmt.Sprint("cut after ", n), good[:n])
		}
		refused("appended to", append(bytes.Clone(good), 0))
		newer := archive.Meta{}
		newer.Identify()
		plan, err := archive.Prepare(&newer, func(w io.Writer) error {
			_, err := w.Write([]byte{0x81, 0xa5, 'M', 'a', 'g', 'i', 'c', 0xa1, 'x'})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := plan.Write(&b); err != nil {
			t.Fatal(err)
		}
		refused("state of another kind", b.Bytes())
		if h.Store() != before || keysAt(h) != "a=2" || !h.Ready() {
			t.Errorf("it changed something: %s", keysAt(h))
		}
		put(t, h, "b", "1")
	})
}

// torn ends in an error.
type torn struct {
	io.Reader
	err error
}

func (r *torn) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = r.err
	}
	return n, err
}

// TestBrokenOffUpload breaks off behind the last byte, and stops in the midst.
func TestBrokenOffUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		agent := l.agent("10.0.0.100:1")
		put(t, agent, "a", "1")
		data := save(t, agent, verb.Default)
		put(t, agent, "a", "2")
		for name, s := range map[string]verb.Snapshots{"leader": l.leads(), "follower": l.follower(), "agent": agent} {
			err := s.Restore(t.Context(), verb.Options{}, func() (io.Reader, error) {
				return &torn{bytes.NewReader(data), errors.New("the client went away")}, nil
			})
			if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("%s: %v", name, err)
			}
			// A client that stops for good is cancelled by who serves it.
			ctx, cancel := context.WithCancel(t.Context())
			pr, pw := io.Pipe()
			context.AfterFunc(ctx, func() { _ = pr.CloseWithError(ctx.Err()) })
			done := make(chan error)
			go func() { done <- s.Restore(ctx, verb.Options{}, func() (io.Reader, error) { return pr, nil }) }()
			_, _ = pw.Write(data[:100])
			synctest.Wait()
			cancel()
			if err := <-done; err == nil {
				t.Errorf("%s: no error", name)
			}
			_ = pw.Close()
		}
		for _, h := range l.up {
			l.eventually("nothing has changed", func() bool { return keysAt(h) == "a=2" })
		}
		put(t, agent, "a", "3")
	})
}

// TestSaveStopsWithItsReader lets the one who saves go away.
func TestSaveStopsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		agent := l.agent("10.0.0.100:1")
		for name, s := range map[string]verb.Snapshots{"leader": l.leads(), "follower": l.follower(), "agent": agent} {
			full := errors.New("no space left")
			err := s.Save(t.Context(), verb.Options{}, func(verb.Saved) (io.Writer, error) { return failing{full}, nil })
			if !errors.Is(err, full) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestSnapshotOfAnotherCluster restores into a new cluster, which then is that cluster, and takes servers in as before.
func TestSnapshotOfAnotherCluster(t *testing.T) {
	var data []byte
	var domain string
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		l.leads()
		put(t, h, "from", "elsewhere")
		data, domain = save(t, h, verb.Default), cluster(h.Store().Read())
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.three()
		if err := restore(t.Context(), l.follower(), data); err != nil {
			t.Fatal(err)
		}
		l.eventually("all belong to the cluster of the snapshot", func() bool {
			for _, m := range l.pool.Members() {
				if m.Cluster != domain {
					return false
				}
			}
			return true
		})
		h := l.start(member("s3", "10.0.0.4:8300", 0), "")
		l.eventually("another server replicates", func() bool { return keysAt(h) == "from=elsewhere" })
		for i, h := range slices.Collect(maps.Values(l.up)) {
			put(t, h, fmt.Sprint("after", i), "x")
		}
		a, err := l.follower().Query(t.Context(), verb.Options{}, ca.Roots{})
		if roots := only[*api.CARoots](t, a, err); !strings.HasPrefix(roots.TrustDomain, domain) {
			t.Errorf("%s, want %s", roots.TrustDomain, domain)
		}
	})
}
