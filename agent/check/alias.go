package check

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// aliasRetry is how long to wait before asking again where a change is not announced.
const aliasRetry = 10 * time.Second

// Aliased tells the health of a service or of a node.
type Aliased interface {
	// Checks returns the checks of a service instance or, where service is empty, those of the node itself. An empty node is
	// this one. The channel is closed when the answer may have changed; nil when that cannot be told. It must not wait for ever.
	Checks(ctx context.Context, node, service string) (checks []api.Check, changed <-chan struct{}, err error)
}

// Alias is a check that repeats the health of another service or node, whenever that changes.
type Alias struct {
	id        string
	node      string
	service   string
	aliased   Aliased
	maxOutput int
	update    Update

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// NewAlias starts a check of kind alias. The caller calls Close.
func NewAlias(id string, def *api.CheckDefinition, o Options) *Alias {
	o = o.withDefaults()
	a := &Alias{
		id:        id,
		node:      def.AliasNode,
		service:   def.AliasService,
		aliased:   o.Aliased,
		maxOutput: o.outputMaxSize(def),
		update:    o.Update,
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.done.Go(func() { a.loop(ctx) })
	return a
}

func (a *Alias) loop(ctx context.Context) {
	for {
		runCtx, cancel := context.WithTimeout(ctx, defaultTimeout)
		checks, changed, err := a.aliased.Checks(runCtx, a.node, a.service)
		cancel()
		if ctx.Err() != nil {
			return
		}
		status, output := aliasStatus(a.id, checks, err)
		a.update(a.id, status, Bound(output, a.maxOutput))
		if !wait(ctx, changed) {
			return
		}
	}
}

// wait returns true when it is time to look again.
func wait(ctx context.Context, changed <-chan struct{}) bool {
	var retry <-chan time.Time
	if changed == nil {
		timer := time.NewTimer(aliasRetry)
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-retry:
	}
	return true
}

// aliasStatus is the worst of the checks, with the output of the first that is as bad.
func aliasStatus(self string, checks []api.Check, err error) (status, output string) {
	if err != nil {
		return api.Critical, fmt.Sprintf("Cannot tell the health of what is aliased: %s", err)
	}
	status, output = api.Passing, "No checks found."
	for i := range checks {
		c := &checks[i]
		if c.CheckID == self {
			continue // a check of the node that aliases its own node
		}
		switch {
		case status == api.Passing && c.Status == api.Passing:
			output = "All checks passing."
		case c.Status == api.Passing || status == api.Critical || status == c.Status:
		default:
			status, output = c.Status, fmt.Sprintf("Aliased check %q failing: %s", c.Name, c.Output)
		}
	}
	return status, output
}

// Close stops the check.
func (a *Alias) Close() {
	a.cancel()
	a.done.Wait()
}
