// Package builtin is the embedded proxy: a sidecar for where Envoy is not installed. It obeys the same snapshot as Envoy does,
// and fails closed: what it has no snapshot for, it does not serve.
//
// It stays at layer 4. A caller is judged in the TLS handshake, so that one who is denied receives no byte, even from a service
// that speaks first; resumed sessions do not exist. When a snapshot denies what an earlier one allowed, exactly the
// connections that are no longer allowed are closed; no other change closes any. A half-closed connection keeps its other
// half. What the proxy cannot carry out (rules for HTTP requests, chains that split or fail over) it names and refuses.
package builtin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/quietlog"
)

// Options say which proxy to be.
type Options struct {
	Source  snapshot.Source
	ProxyID string // the id of the sidecar's registration
	Token   string // with service:write on the proxy's service
	Logger  *slog.Logger
	// Drain is how long open connections are left to end by themselves when the proxy stops; 0 is DefaultDrain.
	Drain time.Duration
	// Listen opens a listener; nil is net.Listen for TCP.
	Listen func(addr string) (net.Listener, error)
}

// DefaultDrain is as long as Envoy is given.
const DefaultDrain = 3 * time.Second

// Run is the proxy until ctx ends. It returns early only when it is refused its configuration.
func Run(ctx context.Context, o Options) error {
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.Listen == nil {
		o.Listen = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	in, err := o.Source.Subscribe(ctx, o.ProxyID, o.Token)
	if err != nil {
		return fmt.Errorf("configuration of proxy %q: %w", o.ProxyID, err)
	}
	defer in.Close()
	p := newProxy(o)
	defer p.close()
	for {
		s, err := in.Next(ctx)
		switch {
		case ctx.Err() != nil:
			p.log.Info("stopping", "open_connections", p.open.count())
			return nil
		case errors.Is(err, snapshot.ErrDenied), errors.Is(err, snapshot.ErrClosed):
			return fmt.Errorf("configuration of proxy %q: %w", o.ProxyID, err)
		case err != nil:
			// What was last known stays in force.
			p.quiet.Say(slog.LevelWarn, quietlog.Key{Reason: err.Error()}, "configuration not renewed, it is asked for again", "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		p.apply(s)
	}
}

// proxy is a running proxy. apply is called by one goroutine.
type proxy struct {
	opts  Options
	log   *slog.Logger
	quiet *quietlog.Log

	// now is what the proxy obeys.
	now atomic.Pointer[moment]

	public *door
	locals map[string]*door // by the upstream's id
	open   *connections
	// running is what doors accept with, and all that they serve.
	running sync.WaitGroup
	// dialing ends when the proxy stops.
	dialing context.Context
	stop    context.CancelFunc
}

func newProxy(o Options) *proxy {
	p := &proxy{opts: o, log: o.Logger.With("component", "proxy", "proxy", o.ProxyID), locals: map[string]*door{}, open: newConnections()}
	p.quiet = quietlog.New(p.log)
	p.dialing, p.stop = context.WithCancel(context.Background())
	return p
}

// apply obeys a snapshot.
func (p *proxy) apply(s *snapshot.Snapshot) {
	m, err := newMoment(s)
	if err != nil {
		// It cannot be made sense of: nobody new is let in, and what is open stays judged by the last that could.
		p.log.Error("configuration refused, the former one stays in force", "err", err)
		return
	}
	last := p.now.Swap(m)
	if last == nil {
		p.log.Info("configured", "service", s.Service, "public", s.Public.String(), "upstreams", len(s.Upstreams))
	}
	if closed := p.open.judge(s); closed > 0 {
		p.log.Info("connections closed that are no longer allowed", "connections", closed)
	}
	p.public = p.move(p.public, "public", s.Public.String(), p.inbound)
	wanted := map[string]bool{}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		if _, _, err := u.Target(); err != nil {
			if last == nil || last.refused[u.ID] != err.Error() {
				p.log.Error("upstream refused, nothing listens for it", "err", err)
			}
			m.refused[u.ID] = err.Error()
			continue
		}
		wanted[u.ID] = true
		id := u.ID
		p.locals[id] = p.move(p.locals[id], id, u.Local.String(), func(c net.Conn) { p.outbound(id, c) })
	}
	for id, d := range p.locals {
		if !wanted[id] {
			d.shut()
			delete(p.locals, id)
		}
	}
}

// move returns a door at the address: the one there is, or a new one in its place.
func (p *proxy) move(d *door, name, addr string, serve func(net.Conn)) *door {
	if d != nil && d.addr == addr {
		return d
	}
	if d != nil {
		d.shut() // what it serves goes on
	}
	return openDoor(&p.running, p.opts.Listen, p.log.With("listener", name), addr, serve)
}

// close stops listening, leaves open connections their time, and ends what is left.
func (p *proxy) close() {
	if p.public != nil {
		p.public.shut()
	}
	for _, d := range p.locals {
		d.shut()
	}
	p.stop()
	p.open.drain(p.opts.Drain)
	p.running.Wait()
}
