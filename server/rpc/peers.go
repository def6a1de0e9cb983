package rpc

import (
	"context"

	"github.com/parleymesh/parley/server/verb"
)

// Peers asks other servers what only each of them knows.
type Peers struct{ pool *pool }

// NewPeers returns a Peers, which is to be closed.
func NewPeers(d Dialer) *Peers { return &Peers{newPool(d)} }

// Ask has the server at the address answer a query itself, whether it leads or not.
func (p *Peers) Ask(ctx context.Context, addr string, q verb.Query) (verb.Answer, error) {
	o := verb.Options{Mode: verb.Stale}
	e, err := wrap(o, q)
	if err != nil {
		return verb.Answer{}, err
	}
	e.Forwarded = true
	to, err := p.pool.link(addr)
	if err != nil {
		return verb.Answer{}, err
	}
	a, err := to.query(ctx, e, o)
	if err != nil {
		return verb.Answer{}, err
	}
	return a, a.Decode(q.NewValue)
}

// Keep closes the connections to all other addresses.
func (p *Peers) Keep(addrs []string) { p.pool.keep(addrs) }

// Close ends everything that is under way.
func (p *Peers) Close() error {
	p.pool.close()
	return nil
}
