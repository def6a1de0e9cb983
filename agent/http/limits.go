package http

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/parleymesh/parley/agent/telemetry"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/quietlog"
	"github.com/parleymesh/parley/server/verb"
)

// What a client may take is bounded, and it is told which bound it met: never a bare close.

// refuse counts a request that a limit refuses, by the limit, and names its client in the log.
func (s *Server) refuse(hr *http.Request, limit string, err error) error {
	gometrics.IncrCounterWithLabels([]string{"http", "refused"}, 1, []telemetry.Label{{Name: "reason", Value: limit}})
	source := hr.RemoteAddr
	if addr, ok := addrOf(source); ok {
		source = addr.String()
	}
	s.refused.Say(slog.LevelWarn, quietlog.Key{Subject: source, Reason: limit}, "request refused by a limit",
		"source", source, "limit", limit, "method", hr.Method, "path", hr.URL.Path, "err", err)
	return err
}

// maxRetryAfter is how many seconds a client that met a limit is asked to wait at the most. A little chance keeps those that came
// together from coming again together.
const maxRetryAfter = 5

func retryAfter() string { return strconv.Itoa(1 + rand.IntN(maxRetryAfter)) }

// waiters counts the requests that wait for a change, by client. All that come over Unix sockets are one client.
type waiters struct {
	max, maxPerClient int64

	mu  sync.Mutex
	all int64
	by  map[netip.Addr]int64

	dispersal dispersal
}

// enter takes a place among those that wait, if there is one; else it names the limit.
func (w *waiters) enter(remote string) (leave func(), limit string, err error) {
	client, _ := addrOf(remote)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.all >= w.max:
		return nil, "blocking", api.Errorf(http.StatusTooManyRequests, "too many blocking queries: %d wait at this agent, and no more are allowed", w.all)
	case w.by[client] >= w.maxPerClient:
		return nil, "blocking-per-client", api.Errorf(http.StatusTooManyRequests, "too many blocking queries: %d from this address wait at this agent, and no more are allowed; "+
			"share them among those who watch the same, or raise limits.http_max_blocking_per_client", w.by[client])
	}
	if w.by == nil {
		w.by = map[netip.Addr]int64{}
	}
	w.all++
	w.by[client]++
	w.dispersal.peak = max(w.dispersal.peak, w.all)
	return func() { w.leave(client) }, "", nil
}

func (w *waiters) leave(client netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.by[client]--; w.by[client] <= 0 {
		delete(w.by, client)
	}
	w.gone()
}

func (w *waiters) count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}

// hold gives a blocking query its place among those that wait, and ends it when the server closes.
func (r *request) hold(o verb.Options) (context.Context, func(), error) {
	if o.MinIndex == 0 {
		return r.Context(), func() {}, nil
	}
	return r.enter()
}

// enter takes a place among those that wait, if there is one.
func (r *request) enter() (context.Context, func(), error) {
	leave, limit, err := r.s.waiting.enter(r.RemoteAddr)
	if err != nil {
		return nil, nil, r.s.refuse(r.Request, limit, err)
	}
	ctx, stop := r.s.untilClose(r.Context())
	return ctx, func() { stop(); leave() }, nil
}

// headerSlack is how much more than allowed of a request's line and headers is read, so that the client can be told. What is
// longer the standard library refuses, with the same status.
const headerSlack = 64 << 10

// checkHeader refuses a request whose line and headers are too long.
func (s *Server) checkHeader(hr *http.Request) error {
	size := len(hr.Method) + len(hr.RequestURI) + len("  HTTP/1.1\r\n")
	for name, values := range hr.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size <= s.opts.MaxHeader {
		return nil
	}
	return s.refuse(hr, "header", api.Errorf(http.StatusRequestHeaderFieldsTooLarge,
		"the request's line and headers take %d bytes, and %d are allowed; shorten them, or raise http_config.max_header_bytes", size, s.opts.MaxHeader))
}
