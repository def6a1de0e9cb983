package core

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

func (o others) SaveEnvelope(ctx context.Context, e verb.Envelope, q verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	c, err := o.leader()
	if err != nil {
		return err
	}
	e.Forwarded = true
	return c.SaveEnvelope(ctx, e, q, begin)
}

func (o others) RestoreEnvelope(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	c, err := o.leader()
	if err != nil {
		return err
	}
	e.Forwarded = true
	return c.RestoreEnvelope(ctx, e, open)
}

func (c *Core) save(t *testing.T, o verb.Options) (verb.Saved, []byte) {
	t.Helper()
	var b bytes.Buffer
	var of verb.Saved
	if err := c.Save(t.Context(), o, func(s verb.Saved) (io.Writer, error) { of = s; return &b, nil }); err != nil {
		t.Fatal(err)
	}
	return of, b.Bytes()
}

var root = verb.Options{Token: "root"}

// A refusal comes before anything of the body is read or written, wherever it is asked.
func TestSnapshotsNeedPermission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		_, data := c.leader().save(t, root)
		for _, core := range []*Core{c.leader(), c.follower()} {
			for _, mode := range []verb.Mode{verb.Default, verb.Stale} {
				err := core.Save(t.Context(), verb.Options{Mode: mode}, func(verb.Saved) (io.Writer, error) { t.Error("begun"); return io.Discard, nil })
				if api.StatusOf(err) != 403 || !strings.Contains(err.Error(), "acl:write") {
					t.Errorf("save: %v", err)
				}
			}
			err := core.Restore(t.Context(), verb.Options{}, func() (io.Reader, error) { t.Error("opened"); return bytes.NewReader(data), nil })
			if api.StatusOf(err) != 403 {
				t.Errorf("restore: %v", err)
			}
			for _, err := range []error{
				core.Save(t.Context(), verb.Options{Token: "root", Datacenter: "dc9"}, nil), core.Restore(t.Context(), verb.Options{Token: "root", Datacenter: "dc9"}, nil),
			} {
				if !errors.Is(err, verb.ErrNoPath) {
					t.Error(err)
				}
			}
		}
		c.close()
	})
}

// The leader's loops begin anew with what was restored, after those of before have ended.
func TestRestoreBeginsANewTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var prepared, running atomic.Int64
		c := newCluster(t, 1, Loop{
			Name:    "test",
			Prepare: func(context.Context, *Term) error { prepared.Add(1); return nil },
			Run: func(ctx context.Context, _ *Term) {
				if running.Add(1) > 1 {
					t.Error("two terms at a time")
				}
				<-ctx.Done()
				running.Add(-1)
			},
		})
		l := c.leader()
		l.mustPut(t, "a")
		of, data := l.save(t, root)
		l.mustPut(t, "b")
		if err := l.Restore(t.Context(), root, func() (io.Reader, error) { return bytes.NewReader(data), nil }); err != nil {
			t.Fatal(err)
		}
		at := l.mustPut(t, "c") // waits for the new term
		a, err := l.Query(t.Context(), root, list{})
		if err != nil || keysOf(a) != "a c" || at <= of.Index+restoreGap {
			t.Errorf("%q, index %d, %v", keysOf(a), at, err)
		}
		synctest.Wait()
		if prepared.Load() != 2 || running.Load() != 1 {
			t.Errorf("prepared %d times, %d run", prepared.Load(), running.Load())
		}
		c.close()
	})
}

// A write whose answer was lost and that is sent again after a restore acts once on what was restored.
func TestRepeatedEnvelopeAfterRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		l := c.leader()
		e, err := verb.Wrap(root, "test.put", put{Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		_, before := l.save(t, root)
		if _, err := l.ApplyEnvelope(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		_, after := l.save(t, root)
		for what, data := range map[string][]byte{"saved before the write": before, "and after": after} {
			if err := l.Restore(t.Context(), root, func() (io.Reader, error) { return bytes.NewReader(data), nil }); err != nil {
				t.Fatal(err)
			}
			r, err := l.ApplyEnvelope(t.Context(), e)
			var n int
			if err != nil || r.Decode(&n) != nil || n != 1 {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		}
		c.close()
	})
}

// Without most of the servers nothing is restored, and who asks is told in time.
func TestNoRestoreWithoutMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		l := c.leader()
		l.mustPut(t, "a")
		_, data := l.save(t, root)
		for addr, tr := range c.transports {
			if c.cores[addr] == l {
				tr.DisconnectAll()
			} else {
				for other := range c.transports {
					if c.cores[other] == l {
						tr.Disconnect(other)
					}
				}
			}
		}
		began := time.Now()
		err := l.Restore(t.Context(), root, func() (io.Reader, error) { t.Error("opened"); return bytes.NewReader(data), nil })
		if err == nil || time.Since(began) > 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.close()
	})
}
