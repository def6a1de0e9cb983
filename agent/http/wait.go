package http

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
)

// What this agent knows by itself can be waited for, too: by the content's hash, or by its index.

// waitTime reads how long the client wants to wait; 0 when it does not say.
func (r *request) waitTime() (time.Duration, error) {
	text := r.param("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, api.Errorf(http.StatusBadRequest, "Invalid wait time")
	}
	return d, nil
}

// patience returns a context that ends when the client is gone or the server closes and, for a request that waits for a
// change, when it has waited long enough. As with queries, a little chance keeps those who came together from returning
// together.
func (r *request) patience(waits bool) (context.Context, func(), error) {
	d, err := r.waitTime()
	if err != nil {
		return nil, nil, err
	}
	if !waits {
		ctx, stop := r.s.untilClose(r.Context())
		return ctx, stop, nil
	}
	if d == 0 {
		d = r.s.opts.DefaultWait
	}
	d = min(d, r.s.opts.MaxWait)
	ctx, release, err := r.enter()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d+rand.N(d/16+1))
	return ctx, func() { cancel(); release() }, nil
}

// until waits for changed or for the end of ctx, and tells which. Closing is an error.
func (s *Server) until(ctx context.Context, changed <-chan struct{}) (again bool, err error) {
	select {
	case <-changed:
		return true, nil
	case <-ctx.Done():
		if s.closing.Err() != nil {
			return false, errClosing
		}
		return false, nil
	}
}
