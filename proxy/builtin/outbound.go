package builtin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/quietlog"
)

// maxTries is how many instances are tried for one connection before the caller is told.
const maxTries = 3

// outbound serves one connection of the proxy's own service to an upstream.
func (p *proxy) outbound(upstream string, local net.Conn) {
	defer local.Close()
	p.open.add(local, "")
	defer p.open.remove(local)
	remote, err := p.dial(upstream)
	if err != nil {
		p.quiet.Say(slog.LevelWarn, quietlog.Key{Subject: upstream, Reason: err.Error()}, "upstream not reached", "upstream", upstream, "err", err)
		return
	}
	defer remote.Close()
	if received, err := join(local, remote); refused(received, err) {
		service := p.now.Load().Service
		p.quiet.Say(slog.LevelWarn, quietlog.Key{Subject: upstream, Reason: err.Error()}, "the upstream's sidecar refuses this caller", "upstream", upstream, "err", err,
			"hint", fmt.Sprintf("parley intention check %s %s", service, upstream))
	}
}

// dial connects to an instance of the upstream's target: another one when the first does not answer.
func (p *proxy) dial(upstream string) (net.Conn, error) {
	m := p.now.Load()
	u := m.upstream(upstream)
	if u == nil {
		return nil, errors.New("it is not registered any more")
	}
	target, timeout, err := u.Target()
	if err != nil {
		return nil, err
	}
	endpoints := m.Endpoints[target]
	if endpoints == nil {
		return nil, fmt.Errorf("nothing is known of the target %q", target)
	}
	candidates := shuffle(endpoints.Instances)
	if len(candidates) == 0 {
		return nil, fmt.Errorf("none of its %d instances is healthy: see /v1/health/connect/%s", len(endpoints.Instances), endpoints.Target.Service)
	}
	var errs []error
	for _, i := range candidates[:min(len(candidates), maxTries)] {
		conn, err := p.dialInstance(m, endpoints, i, timeout)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("instance %s on %s (%s): %w", i.ID, i.Node, i.Address, err))
	}
	return nil, errors.Join(errs...)
}

func (p *proxy) dialInstance(m *moment, e *snapshot.Endpoints, i snapshot.Instance, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.dialing, timeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", i.Address.String())
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, m.client(e))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// upstream returns the upstream of an id, or nil.
func (m *moment) upstream(id string) *snapshot.Upstream {
	for i := range m.Upstreams {
		if m.Upstreams[i].ID == id {
			return &m.Upstreams[i]
		}
	}
	return nil
}

// shuffle puts the instances that take calls in a random order in which the first is drawn by weight, and so on.
func shuffle(all []snapshot.Instance) []snapshot.Instance {
	var left []snapshot.Instance
	total := 0
	for _, i := range all {
		if i.Usable() {
			left = append(left, i)
			total += i.Weight
		}
	}
	for n := range left {
		at, r := n, rand.N(total)
		for r >= left[at].Weight {
			r -= left[at].Weight
			at++
		}
		total -= left[at].Weight
		left[n], left[at] = left[at], left[n]
	}
	return left
}
