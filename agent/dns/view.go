package dns

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

// source names the rows that an answer is made from.
type source struct {
	kind sourceKind
	dc   string // empty: ours
	name string // in lower case
}

type sourceKind uint8

const (
	serviceRows sourceKind = iota
	meshRows
	nodeRows
	queryRows
	virtualRows
	ownerRows // of a virtual address, by that
	allNodes
	allInstances
	allServices // their names
)

// query is the source's question. Node is ours: some queries find what is near.
func (s source) query(node string) verb.Query {
	switch s.kind {
	case serviceRows:
		return catalog.Health{Service: s.name}
	case meshRows:
		return catalog.Health{Service: s.name, Mesh: true}
	case nodeRows:
		return catalog.Node{Name: s.name}
	case queryRows:
		return query.Execute{Query: s.name, Agent: node}
	case virtualRows:
		return catalog.Virtual{Service: s.name}
	case ownerRows:
		return catalog.Virtual{Address: s.name}
	case allNodes:
		return catalog.Nodes{}
	case allServices:
		return catalog.Services{}
	}
	return catalog.Instances{}
}

// named tells whether the source is about one name, which may not exist.
func (s source) named() bool { return s.kind < allNodes }

// vain tells whether rows say that there is nothing to be found under the source's name. A prepared query may answer for any
// name, and tells about itself in the first row.
func (s source) vain(rows []*verb.Row) bool {
	return s.named() && (len(rows) == 0 || s.kind == queryRows && len(rows) == 1)
}

// facts are the rows of a source at one moment.
type facts struct {
	rows      []*verb.Row
	byAddress func() map[netip.Addr][]*verb.Row // made at the first call
	names     func() map[string]bool            // in lower case; likewise
}

func newFacts(rows []*verb.Row) *facts {
	return &facts{
		rows:      rows,
		byAddress: sync.OnceValue(func() map[netip.Addr][]*verb.Row { return byAddress(rows) }),
		names:     sync.OnceValue(func() map[string]bool { return names(rows) }),
	}
}

// same tells whether other rows would say what is known already.
func (f *facts) same(rows []*verb.Row) bool {
	if f == nil || len(f.rows) != len(rows) {
		return false
	}
	for i, r := range rows {
		if f.rows[i].Key != r.Key || f.rows[i].Version != r.Version {
			return false
		}
	}
	return true
}

// view keeps the rows of one source current.
type view struct {
	source source
	cancel context.CancelFunc
	absent bool                  // it was opened for a name that did not exist
	facts  atomic.Pointer[facts] // nil once the view is closed
	used   atomic.Int64          // the tick at which it was last asked
	lost   atomic.Int64          // Unix nanoseconds at which the watch was lost; 0 while it stands
}

// terms are how rows may be read.
type terms struct {
	allowStale bool
	maxStale   time.Duration
}

func (t terms) options(dc string) verb.Options {
	o := verb.Options{Datacenter: dc}
	if t.allowStale {
		o.Mode, o.MaxStale = verb.Stale, t.maxStale
	}
	return o
}

// at returns the facts, or nil when they are not to be told: the watch is lost, and has been for too long.
func (v *view) at(t terms) *facts {
	if lost := v.lost.Load(); lost != 0 {
		if !t.allowStale || t.maxStale > 0 && time.Since(time.Unix(0, lost)) > t.maxStale {
			return nil
		}
	}
	return v.facts.Load()
}

// How long to wait before a lost watch is opened again: at first, and at the most.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// run follows the source until ctx ends.
func (v *view) run(ctx context.Context, c Client, node string, t terms) {
	retry := firstRetry
	for {
		if v.follow(ctx, c, node, t) {
			retry = firstRetry
		}
		if ctx.Err() != nil {
			return
		}
		v.lost.CompareAndSwap(0, time.Now().UnixNano())
		select {
		case <-time.After(retry + rand.N(retry)):
		case <-ctx.Done():
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// follow follows one watch to its end. It reports whether there was anything to see.
func (v *view) follow(ctx context.Context, c Client, node string, t terms) (seen bool) {
	r, err := c.Watch(ctx, t.options(v.source.dc), v.source.query(node))
	if err != nil {
		return false
	}
	defer r.Close()
	for {
		a, err := r.Next(ctx)
		if err != nil {
			return seen
		}
		seen = true
		if old := v.facts.Load(); !old.same(a.Rows) {
			// Not after the view was closed.
			if old == nil || !v.facts.CompareAndSwap(old, newFacts(a.Rows)) {
				return seen
			}
		}
		v.lost.Store(0)
	}
}

// close lets the view go. Whoever holds its facts sees that they are no longer current.
func (v *view) close() {
	v.facts.Store(nil)
	v.cancel()
}
