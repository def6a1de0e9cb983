package snapshot

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/parleymesh/parley/api"
)

// assembly keeps the snapshot of one proxy current for one token.
type assembly struct {
	a      *Assembler
	key    subject
	ctx    context.Context
	cancel context.CancelFunc
	woken  chan struct{} // holds one wake-up; those that come before it is taken are joined

	// What follows is run's own.
	registered *api.Service // the last that was there
	plan       *plan        // the last that was complete
	uses       map[feeder]bool

	// What follows is guarded by Assembler.mu.
	readers  int
	timer    *time.Timer // set while there are no readers
	snapshot *Snapshot
	err      error // why the token may not have it
	seq      uint64
	changed  chan struct{} // closed and replaced at each change of the three above
}

func newAssembly(a *Assembler, key subject) *assembly {
	p := &assembly{a: a, key: key, woken: make(chan struct{}, 1), uses: map[feeder]bool{}, changed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(a.ctx)
	return p
}

func (p *assembly) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// run assembles until the assembly ends.
func (p *assembly) run() {
	defer p.dropAll()
	for {
		service, changed := p.a.o.Local.Service(p.key.proxyID)
		p.register(service)
		p.step()
		select {
		case <-changed:
		case <-p.woken:
		case <-p.ctx.Done():
			return
		}
		select {
		case <-time.After(holdOff):
		case <-p.ctx.Done():
			return
		}
	}
}

// register takes a registration in. One that is gone, or makes no sidecar, changes nothing: see Stream.
func (p *assembly) register(s *api.Service) {
	if s == nil || reflect.DeepEqual(s, p.registered) {
		return
	}
	if s.Kind != api.KindConnectProxy || s.Proxy == nil || s.Proxy.DestinationServiceName == "" {
		p.a.log.Warn("a proxy asks for its configuration, but its registration is not that of a sidecar: want kind connect-proxy and a destination service",
			"proxy", p.key.proxyID, "kind", s.Kind)
		return
	}
	p.registered = s
}

// step brings the snapshot up to date with what the feeds say.
func (p *assembly) step() {
	if p.registered == nil {
		return
	}
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	next := p.draft(p.registered)
	if next.err != nil {
		p.publish(p.snapshot, next.err)
		return
	}
	if next.complete {
		p.plan = next
	}
	for key := range p.uses {
		if !next.uses[key] && (p.plan == nil || !p.plan.uses[key]) {
			p.a.drop(key, p)
			delete(p.uses, key)
		}
	}
	// What is not complete waits; who may call, and where instances are, does not wait for it.
	if p.plan != nil {
		p.publish(p.fill(p.plan), nil)
	}
}

// publish is called with mu held.
func (p *assembly) publish(s *Snapshot, err error) {
	if errors.Is(err, p.err) && (s == p.snapshot || reflect.DeepEqual(s, p.snapshot)) {
		return
	}
	p.snapshot, p.err = s, err
	p.seq++
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *assembly) dropAll() {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	for key := range p.uses {
		p.a.drop(key, p)
	}
}
