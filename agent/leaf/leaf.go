// Package leaf holds the certificates of this host's services: it makes their keys, which never leave the host, has them signed
// by the servers, and replaces each in good time, or at once when another root signs. Who may have which certificate is judged
// where it is signed; what it is used for is left to the proxies.
package leaf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/verb"
)

// Client carries out queries: the local server, or the RPC client of an agent without one.
type Client interface {
	Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error)
	Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error)
}

// Options is what a Cache is made of.
type Options struct {
	Client     Client
	Datacenter string
	Logger     *slog.Logger
}

// How a certificate that could not be renewed is tried again, and over what time those are spread that are to be replaced
// because another root signs.
const (
	retryFirst = time.Second
	retryMost  = time.Minute
	spread     = time.Second
)

// Cache keeps one certificate for each service and token that asks. It is safe for concurrent use.
type Cache struct {
	opts   Options
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	entries map[key]*entry
	index   uint64        // of the last certificate: it grows with each
	root    string        // the id of the active root
	rooted  chan struct{} // closed and replaced when that changes
}

// key is whose certificate it is, and by whose leave. One token is not served with what another was given.
type key struct{ service, token string }

// entry is one certificate. Its fields are guarded by Cache.mu.
type entry struct {
	leaf    api.Leaf
	root    string // the active root when it was signed
	ready   bool
	asked   bool          // since the leaf was signed
	changed chan struct{} // closed when another leaf replaces it
	// signing is closed when the first signing has ended, with err.
	signing chan struct{}
	err     error
}

// New returns an empty cache. It is to be closed.
func New(o Options) *Cache {
	c := &Cache{opts: o, log: o.Logger.With("component", "leaf"), entries: map[key]*entry{}, rooted: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.done.Go(c.followRoots)
	return c
}

// Close ends all renewing and waits for it.
func (c *Cache) Close() error {
	c.cancel()
	c.done.Wait()
	return nil
}

// Leaf returns a service's current certificate with its key, and a channel that is closed when another has replaced it. The first
// call has it signed. A certificate for which nobody has asked again by the time of its renewal is forgotten.
func (c *Cache) Leaf(ctx context.Context, service, token string) (api.Leaf, <-chan struct{}, error) {
	if service == "" {
		return api.Leaf{}, nil, api.Errorf(400, "a certificate needs the name of a service")
	}
	k := key{service, token}
	e, err := c.entry(k)
	if err != nil {
		return api.Leaf{}, nil, err
	}
	select {
	case <-e.signing:
	case <-ctx.Done():
		return api.Leaf{}, nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.ready {
		return api.Leaf{}, nil, e.err
	}
	e.asked = true
	return e.leaf, e.changed, nil
}

// entry returns the entry of a key, and begins with it if there is none.
func (c *Cache) entry(k key) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, errors.New("this agent is stopping")
	}
	e := c.entries[k]
	if e == nil {
		e = &entry{changed: make(chan struct{}), signing: make(chan struct{})}
		c.entries[k] = e
		c.done.Go(func() { c.keep(k, e) })
	}
	return e, nil
}

// keep has a certificate signed, and renews it for as long as somebody asks for it.
func (c *Cache) keep(k key, e *entry) {
	if err := c.renew(k, e); err != nil {
		c.mu.Lock()
		e.err = err
		delete(c.entries, k)
		c.mu.Unlock()
		close(e.signing)
		return
	}
	close(e.signing)
	for c.wait(e) {
		if c.forget(k, e) {
			return
		}
		c.replace(k, e)
	}
}

// wait returns when the certificate is to be replaced. It reports false when the cache is closed first.
func (c *Cache) wait(e *entry) bool {
	c.mu.Lock()
	at := ca.RenewAt(e.leaf.ValidAfter, e.leaf.ValidBefore, rand.Float64())
	c.mu.Unlock()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	for {
		c.mu.Lock()
		rooted, outdated := c.rooted, c.root != "" && c.root != e.root
		c.mu.Unlock()
		if outdated {
			return c.sleep(rand.N(spread))
		}
		select {
		case <-timer.C:
			return true
		case <-rooted:
		case <-c.ctx.Done():
			return false
		}
	}
}

// sleep reports false when the cache is closed first.
func (c *Cache) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// forget drops a certificate for which nobody has asked since it was signed: whoever holds one asks again each time it
// changes.
func (c *Cache) forget(k key, e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.asked {
		return false
	}
	delete(c.entries, k)
	return true
}

// replace renews a certificate, which stays in force until that succeeds.
func (c *Cache) replace(k key, e *entry) {
	said := ""
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := c.renew(k, e)
		if err == nil {
			if said != "" {
				c.log.Info("certificate renewed after all", "service", k.service)
			}
			return
		}
		if c.ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("certificate not renewed, it is tried again", "service", k.service, "valid_until", e.leaf.ValidBefore, "err", err)
		}
		if !c.sleep(pause/2 + rand.N(pause/2)) {
			return
		}
	}
}

// renew makes a key, has it signed, and puts the certificate in place.
func (c *Cache) renew(k key, e *entry) error {
	leaf, root, err := c.sign(k)
	if err != nil {
		return fmt.Errorf("certificate of service %q: %w", k.service, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = max(c.index+1, leaf.ModifyIndex)
	leaf.ModifyIndex = c.index
	leaf.CreateIndex = c.index
	if e.ready {
		leaf.CreateIndex = e.leaf.CreateIndex
	}
	e.leaf, e.root, e.ready, e.asked = leaf, root, true, false
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

func (c *Cache) sign(k key) (leaf api.Leaf, root string, err error) {
	roots, err := one[api.CARoots](c.ctx, c.opts.Client, verb.Options{Token: k.token}, ca.Roots{})
	if err != nil {
		return leaf, "", err
	}
	if roots.ActiveRootID == "" {
		return leaf, "", errors.New("the servers have no certificate authority yet")
	}
	csr, private, err := ca.NewCSR(ca.ServiceID(roots.TrustDomain, c.opts.Datacenter, k.service))
	if err != nil {
		return leaf, "", err
	}
	signed, err := one[api.Leaf](c.ctx, c.opts.Client, verb.Options{Token: k.token}, ca.Sign{CSR: csr})
	if err != nil {
		return leaf, "", err
	}
	leaf = *signed
	leaf.PrivateKeyPEM = private
	return leaf, roots.ActiveRootID, nil
}

// one carries out a query of one row.
func one[T any](ctx context.Context, c Client, o verb.Options, q verb.Query) (*T, error) {
	a, err := c.Query(ctx, o, q)
	if err != nil {
		return nil, err
	}
	if len(a.Rows) != 1 {
		return nil, fmt.Errorf("%s: %d rows, want one", q.QueryType(), len(a.Rows))
	}
	return a.Rows[0].Value.(*T), nil
}

// followRoots learns when another root begins to sign.
func (c *Cache) followRoots() {
	for pause := retryFirst; c.ctx.Err() == nil; pause = min(2*pause, retryMost) {
		if c.readRoots() {
			pause = retryFirst
		}
		c.sleep(pause/2 + rand.N(pause/2))
	}
}

// readRoots follows the roots until the servers cannot be asked. It reports whether they could.
func (c *Cache) readRoots() (read bool) {
	r, err := c.opts.Client.Watch(c.ctx, verb.Options{}, ca.Roots{})
	if err != nil {
		return false
	}
	defer r.Close()
	for {
		a, err := r.Next(c.ctx)
		if err != nil {
			return read
		}
		if len(a.Rows) == 0 {
			continue
		}
		read = true
		c.setRoot(a.Rows[0].Value.(*api.CARoots).ActiveRootID)
	}
}

func (c *Cache) setRoot(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root == id {
		return
	}
	c.root = id
	close(c.rooted)
	c.rooted = make(chan struct{})
}
