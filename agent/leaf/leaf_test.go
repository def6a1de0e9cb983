package leaf

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// servers signs as the real ones do, from a state of its own.
type servers struct {
	mu     sync.Mutex
	store  *state.Store
	index  uint64
	signed int
	down   error
	// leaderless: only stale queries are answered.
	leaderless bool
	watch      chan struct{} // closed and replaced when the state changes
}

func newServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{store: state.New(), watch: make(chan struct{})}
	first, err := ca.First(s.store.Read(), "consul", "dc1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.apply(t, first)
	return s
}

func (s *servers) apply(t *testing.T, c verb.Command) {
	t.Helper()
	s.change(func(tx *state.Tx) {
		if _, err := c.Apply(tx); err != nil {
			t.Error(err)
		}
	})
}

func (s *servers) change(do func(*state.Tx)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	tx := s.store.Write()
	tx.At(api.Tenant{}, s.index)
	do(tx)
	tx.Commit()
	close(s.watch)
	s.watch = make(chan struct{})
}

// newRoot puts another root in the place of the active one.
func (s *servers) newRoot(t *testing.T) {
	t.Helper()
	root, err := ca.NewRoot(ca.RootOptions{ClusterID: "11111111-2222-3333-4444-555555555555", Domain: "consul", Serial: 9, Validity: 10 * 365 * 24 * time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s.change(func(tx *state.Tx) {
		var old []state.Root
		for r := range state.Roots(tx) {
			old = append(old, *r)
		}
		for _, r := range old {
			r.Public.Active = false
			state.PutRoot(tx, r)
		}
		root.Public.Active = true
		state.PutRoot(tx, root)
	})
}

func (s *servers) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *servers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed
}

// Query implements Client.
func (s *servers) Query(_ context.Context, o verb.Options, q verb.Query) (verb.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return verb.Answer{}, s.down
	}
	if s.leaderless && o.Mode != verb.Stale {
		return verb.Answer{}, verb.ErrNoLeader
	}
	if _, ok := q.(ca.Sign); ok {
		if o.Token == "denied" {
			return verb.Answer{}, api.Errorf(403, "Permission denied")
		}
		s.signed++
	}
	tx := s.store.Read()
	tx.At(api.Tenant{}, s.index)
	rows, err := q.Read(tx)
	return verb.Answer{Rows: rows, Index: s.index}, err
}

// Watch implements Client.
func (s *servers) Watch(context.Context, verb.Options, verb.Query) (verb.Reader, error) {
	return &reader{s: s}, nil
}

type reader struct {
	s    *servers
	seen uint64
}

// Next implements verb.Reader.
func (r *reader) Next(ctx context.Context) (verb.Answer, error) {
	for {
		r.s.mu.Lock()
		index, changed := r.s.index, r.s.watch
		r.s.mu.Unlock()
		if index != r.seen {
			r.seen = index
			return r.s.Query(ctx, verb.Options{}, ca.Roots{})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return verb.Answer{}, ctx.Err()
		}
	}
}

// Close implements verb.Reader.
func (r *reader) Close() {}

func open(t *testing.T, s *servers) *Cache {
	c := New(Options{Client: s, Datacenter: "dc1", Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func get(t *testing.T, c *Cache, service, token string) (api.Leaf, <-chan struct{}) {
	t.Helper()
	leaf, changed, err := c.Leaf(t.Context(), service, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM)); err != nil {
		t.Errorf("certificate and key do not fit: %v", err)
	}
	return leaf, changed
}

func TestSharedAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { get(t, c, "web", "") })
		}
		all.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("signed %d times for one service", n)
		}
		for range 5 {
			old, changed := get(t, c, "web", "")
			life := old.ValidBefore.Sub(old.ValidAfter)
			<-changed
			if left := time.Until(old.ValidBefore); left < life/10 || left > life/2+time.Minute {
				t.Errorf("renewed with %v of %v left", left, life)
			}
			next, _ := get(t, c, "web", "")
			if next.SerialNumber == old.SerialNumber || next.ModifyIndex <= old.ModifyIndex || next.CreateIndex != old.CreateIndex {
				t.Errorf("not replaced: %v, was %v", next.ModifyIndex, old.ModifyIndex)
			}
		}
	})
}

func TestForgottenWhenNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		leaf, changed := get(t, c, "web", "")
		<-changed // somebody had asked, so it is renewed once
		time.Sleep(3 * leaf.ValidBefore.Sub(leaf.ValidAfter))
		if n := s.count(); n != 2 {
			t.Errorf("signed %d times", n)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.entries) != 0 {
			t.Errorf("%d entries are kept", len(c.entries))
		}
	})
}

func TestNewRootReplacesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		_, changed := get(t, c, "web", "")
		synctest.Wait()
		began := time.Now()
		s.newRoot(t)
		<-changed
		if took := time.Since(began); took > spread {
			t.Errorf("replaced after %v", took)
		}
	})
}

func TestServersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		leaf, changed := get(t, c, "web", "")
		s.fail(errors.New("no server"))
		if _, _, err := c.Leaf(t.Context(), "db", ""); err == nil {
			t.Error("a certificate without servers")
		}
		time.Sleep(leaf.ValidBefore.Sub(leaf.ValidAfter) * 95 / 100)
		if same, _ := get(t, c, "web", ""); same.SerialNumber != leaf.SerialNumber {
			t.Error("the certificate has changed without servers")
		}
		s.fail(nil)
		back := time.Now()
		<-changed
		if took := time.Since(back); took > retryMost {
			t.Errorf("renewed %v after the servers came back", took)
		}
		get(t, c, "db", "") // a failure is not remembered
	})
}

func TestTokensAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		get(t, c, "web", "good")
		if _, _, err := c.Leaf(t.Context(), "web", "denied"); api.StatusOf(err) != 403 {
			t.Errorf("got %v, want a refusal", err)
		}
		if _, _, err := c.Leaf(t.Context(), "", ""); api.StatusOf(err) != 400 {
			t.Errorf("no name: %v", err)
		}
	})
}

func TestRevokedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		_, changed := get(t, c, "web", "good")
		s.fail(api.Errorf(403, "Permission denied"))
		<-changed // by the time of its renewal
		if _, _, err := c.Leaf(t.Context(), "web", "good"); api.StatusOf(err) != 403 {
			t.Errorf("got %v, want a refusal", err)
		}
		s.fail(nil)
		get(t, c, "web", "good")
	})
}

func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		s.leaderless = true
		c := open(t, s)
		get(t, c, "web", "")
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t)
		c := open(t, s)
		if _, _, err := c.Leaf(t.Context(), "a b", ""); api.StatusOf(err) != 400 {
			t.Errorf("a name with a blank: %v", err)
		}
		for i := range maxEntries {
			c.entries[key{strconv.Itoa(i), ""}] = &entry{}
		}
		if _, _, err := c.Leaf(t.Context(), "web", ""); api.StatusOf(err) != 429 {
			t.Errorf("one too many: %v", err)
		}
		clear(c.entries)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Leaf(t.Context(), "web", ""); api.StatusOf(err) != 503 {
			t.Errorf("after Close: %v", err)
		}
	})
}
