// Package leaf holds the certificates of this host's services: it makes their keys, which never leave the host, has them signed
// by the servers, and replaces each in good time, or at once when another root signs. Who may have which certificate is judged
// where it is signed; what it is used for is left to the proxies.
package leaf

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
	Logger     *slog.Logger // nil: none
}

const (
	// maxEntries bounds how many certificates one host keeps: who asks for names at random is refused in the end.
	maxEntries = 4096
	// clockCheck is how often the clock on the wall is looked at, by which certificates end and which may be set forward.
	clockCheck = 5 * time.Minute
)

// errClosed is what a cache answers that is closed.
var errClosed = &api.Error{Status: http.StatusServiceUnavailable, Message: "this agent is stopping"}

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
	log := cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("component", "leaf")
	c := &Cache{opts: o, log: log, entries: map[key]*entry{}, rooted: make(chan struct{})}
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
	if err := api.CheckName("service name", service); err != nil {
		return api.Leaf{}, nil, err
	}
	e, err := c.entry(key{service, token})
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
		return nil, errClosed
	}
	e := c.entries[k]
	if e == nil && len(c.entries) >= maxEntries {
		return nil, api.Errorf(http.StatusTooManyRequests,
			"this agent keeps %d certificates and makes no more, none for %q; ask the agent of the host that it runs on", maxEntries, k.service)
	}
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
		if c.forget(k, e) || !c.replace(k, e) {
			return
		}
	}
}

// wait returns when the certificate is to be replaced. It reports false when the cache is closed first.
func (c *Cache) wait(e *entry) bool {
	// Only keep, which calls this, writes to the leaf.
	at := ca.RenewAt(e.leaf.ValidAfter, e.leaf.ValidBefore, rand.Float64())
	for {
		c.mu.Lock()
		rooted, outdated := c.rooted, c.root != "" && c.root != e.root
		c.mu.Unlock()
		if outdated {
			return c.sleep(rand.N(spread))
		}
		// Round drops the monotonic reading.
		left := at.Sub(time.Now().Round(0))
		if left <= 0 {
			return c.ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, clockCheck))
		select {
		case <-timer.C:
		case <-rooted:
		case <-c.ctx.Done():
		}
		timer.Stop()
		if c.ctx.Err() != nil {
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

// replace renews a certificate, which stays in force until that succeeds. It reports false when there will be no other: the servers
// refuse it, and whoever asks again is told why.
func (c *Cache) replace(k key, e *entry) bool {
	said := ""
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := c.renew(k, e)
		if err == nil {
			if said != "" {
				c.log.Info("certificate renewed after all", "service", k.service)
			}
			return true
		}
		if c.ctx.Err() != nil {
			return false
		}
		if refused(err) {
			c.log.Warn("certificate not renewed, the servers refuse it", "service", k.service, "valid_until", e.leaf.ValidBefore, "err", err)
			c.drop(k, e)
			return false
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("certificate not renewed, it is tried again", "service", k.service, "valid_until", e.leaf.ValidBefore, "err", err)
		}
		if !c.sleep(pause/2 + rand.N(pause/2)) {
			return false
		}
	}
}

// refused tells an answer that would be the same the next time.
func refused(err error) bool {
	switch api.StatusOf(err) {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// drop forgets a certificate and wakes those who hold it.
func (c *Cache) drop(k key, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, k)
	close(e.changed)
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
		return leaf, "", api.Errorf(http.StatusServiceUnavailable, "the servers have no certificate authority yet; ask again in a moment")
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
	if _, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(private)); err != nil {
		return leaf, "", fmt.Errorf("the servers certified something else: %w", err)
	}
	return leaf, roots.ActiveRootID, nil
}

// one carries out a query of one row. While there is no leader, any server answers it: no certificate is to end for want of one.
func one[T any](ctx context.Context, c Client, o verb.Options, q verb.Query) (*T, error) {
	a, err := c.Query(ctx, o, q)
	if err != nil && verb.Retriable(err) {
		o.Mode = verb.Stale
		a, err = c.Query(ctx, o, q)
	}
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
