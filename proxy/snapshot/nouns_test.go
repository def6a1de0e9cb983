package snapshot

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// store is a Watcher that reads the true state through the nouns' own queries, with each row encoded and decoded as on its
// way from a server.
type store struct {
	t       *testing.T
	state   *state.Store
	index   uint64
	mu      sync.Mutex // guards changed
	changed chan struct{}
}

func (s *store) apply(c verb.Command) {
	s.t.Helper()
	if stamped, ok := c.(verb.Stamped); ok {
		c = stamped.Stamp(verb.Stamp{Time: time.Now().UTC(), NewID: func() string { return "8f246b77-f3e1-ff88-5b48-8ec93abf3e05" }})
	}
	if err := c.Validate(); err != nil {
		s.t.Fatal(err)
	}
	tx := s.state.Write()
	defer tx.Abort()
	s.index++
	tx.At(api.Tenant{}, s.index)
	if _, err := c.Apply(tx); err != nil {
		s.t.Fatal(err)
	}
	tx.Commit()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) Watch(_ context.Context, _ verb.Options, q verb.Query) (verb.Reader, error) {
	return &storeReader{s: s, q: q}, q.Validate()
}

type storeReader struct {
	s    *store
	q    verb.Query
	seen []uint64
}

func (*storeReader) Close() {}

func (r *storeReader) Next(ctx context.Context) (verb.Answer, error) {
	for {
		r.s.mu.Lock()
		changed := r.s.changed
		r.s.mu.Unlock()
		tx, _ := r.s.state.Watch()
		tx.At(api.Tenant{}, 0)
		rows, err := r.q.Read(tx)
		if err != nil {
			return verb.Answer{}, err
		}
		slices.SortFunc(rows, func(a, b *verb.Row) int { return cmp.Compare(a.Key, b.Key) })
		var a verb.Answer
		versions := []uint64{}
		for _, row := range rows {
			data, err := row.JSON()
			if err != nil {
				return verb.Answer{}, err
			}
			a.Rows, versions = append(a.Rows, verb.RemoteRow(row.Key, row.Version, data)), append(versions, row.Version)
		}
		if r.seen == nil || !slices.Equal(versions, r.seen) {
			r.seen = versions
			return a, a.Decode(r.q.NewValue)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return verb.Answer{}, ctx.Err()
		}
	}
}

func TestTheNounsAnswersMakeASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t, state: state.New(), changed: make(chan struct{})}
		h := newHost()
		a := NewAssembler(AssemblerOptions{Local: h, Leaves: h, Client: s, Datacenter: "dc1"})
		defer a.Close()
		w := &world{t: t, a: a, host: h}
		w.register(db())
		w.leaf("1")
		stream := w.subscribe("")
		w.none(stream) // there are no roots

		first, err := ca.First(s.state.Read(), "consul", "dc1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s.apply(first)
		if got := w.next(stream); got.Policy.DefaultAllow {
			t.Error("nobody has told the default, and all are let in")
		}
		s.apply(intention.SetDefault{Allow: false, Why: "nobody said otherwise"})
		got := w.next(stream)
		if got.Policy.DefaultAllow || !strings.Contains(got.Policy.DefaultWhy, "nobody said otherwise") || got.Protocol != "tcp" || len(got.Endpoints) != 1 {
			t.Errorf("got %+v", got.Policy)
		}

		s.apply(catalog.Register{Registration: api.Registration{Node: "n1", Address: "10.0.0.1", Service: &api.Service{
			Kind: api.KindConnectProxy, ID: "db-sidecar-proxy", Service: "db-sidecar-proxy", Port: 21001,
			Proxy: &api.Proxy{DestinationServiceName: "db"},
		}, Check: &api.Check{CheckID: "c", Status: api.Passing, ServiceID: "db-sidecar-proxy"}}})
		got = w.next(stream)
		for id, e := range got.Endpoints {
			if hosts(e) != "[10.0.0.1:21001 passing 1]" || e.SNI != "db.default.dc1.internal."+got.TrustDomain {
				t.Errorf("%s: %+v", id, e)
			}
			if target := got.Upstreams[0].Chain.Targets[id]; target.SNI != e.SNI {
				t.Errorf("the chain says %q, the endpoints say %q", target.SNI, e.SNI)
			}
		}

		s.apply(intention.Upsert{Intention: api.Intention{SourceName: "*", DestinationName: "web", Action: api.Allow}})
		s.apply(intention.Upsert{Intention: api.Intention{SourceName: "api", DestinationName: "*", Action: api.Allow}})
		s.apply(intention.Upsert{Intention: api.Intention{SourceName: "batch", DestinationName: "web", Action: api.Deny}})
		got = w.next(stream)
		for service, want := range map[string]bool{"batch": false, "other": true, "api": true} {
			caller := ca.ServiceID(got.TrustDomain, "dc1", service).String()
			if d := got.Authorize(caller); d.Allowed != want || d.Rule == "" {
				t.Errorf("%s: got %+v of %+v", caller, d, got.Policy)
			}
		}
		s.apply(intention.Delete{Source: "*", Destination: "web"})
		got = w.next(stream)
		if d := got.Authorize(ca.ServiceID(got.TrustDomain, "dc1", "other").String()); d.Allowed || !strings.Contains(d.Why, "nobody said otherwise") {
			t.Errorf("got %+v", d)
		}
	})
}
