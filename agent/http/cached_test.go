package http_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// breakable is a client whose servers can go away.
type breakable struct {
	agenthttp.Client
	down    atomic.Bool
	queries atomic.Int64
	cut     chan struct{} // closed when the watches end
}

var errDown = errors.New("no server answers")

func (b *breakable) Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error) {
	b.queries.Add(1)
	if b.down.Load() {
		return verb.Answer{}, errDown
	}
	return b.Client.Query(ctx, o, q)
}

func (b *breakable) Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error) {
	if b.down.Load() {
		return nil, errDown
	}
	r, err := b.Client.Watch(ctx, o, q)
	return &breakableReader{r, b}, err
}

type breakableReader struct {
	verb.Reader
	b *breakable
}

func (r *breakableReader) Next(ctx context.Context) (verb.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.b.cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.Reader.Next(ctx)
}

func startBreakable(t *testing.T) (*agent, *breakable) {
	b := &breakable{cut: make(chan struct{})}
	a := start(t, func(o *agenthttp.Options) { b.Client, o.Client = o.Client, b })
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "Service": {"ID": "w", "Service": "web", "Port": 1}}`)
	return a, b
}

// hit reads until the answer comes from the live view.
func (a *agent) hit(t *testing.T, path string, headers ...string) (got answer) {
	t.Helper()
	waitFor(t, func() bool {
		got = a.do("GET", path, append([]string{""}, headers...)...)
		return got.header.Get("X-Cache") == "HIT"
	})
	return got
}

func TestCachedIsALiveView(t *testing.T) {
	a, b := startBreakable(t)
	for _, path := range []string{"/v1/health/service/web?cached", "/v1/health/connect/web?cached", "/v1/catalog/service/web?cached"} {
		first := a.do("GET", path).has("X-Cache", "MISS").has("Age", "")
		asked := b.queries.Load
		got := a.hit(t, path).has("Age", "0").has("X-Consul-KnownLeader", "true").has("X-Consul-Effective-Consistency", "leader")
		if got.body != first.body || got.index() != first.index() {
			t.Errorf("%s: %s at %d after %s at %d", path, got.body, got.index(), first.body, first.index())
		}
		before := asked()
		a.do("GET", path).has("X-Cache", "HIT")
		if asked() != before {
			t.Errorf("%s: a hit asked the servers", path)
		}
	}
	// A change reaches the view, also a reader who waits for it.
	const path = "/v1/health/service/web?cached"
	index := a.hit(t, path).index()
	waiting := a.later(fmt.Sprintf("%s&index=%d&wait=10s", path, index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.register(`{"Node": "n2", "Address": "10.0.0.2", "Service": {"ID": "w", "Service": "web", "Port": 2}}`)
	if got := (<-waiting).is(200, "n2").has("X-Cache", "HIT"); got.index() <= index {
		t.Errorf("index %d after %d", got.index(), index)
	}
	got := a.hit(t, path)
	began := time.Now()
	a.do("GET", fmt.Sprintf("%s&index=%d&wait=20ms", path, got.index())).has("X-Cache", "HIT")
	if time.Since(began) < 20*time.Millisecond {
		t.Error("a reader who knows everything did not wait")
	}
	// Filters choose from the view, and another token has a view of its own.
	a.hit(t, path+"&filter=Service.Port==2").is(200, "n2")
	a.do("GET", path, "", "X-Consul-Token: root").has("X-Cache", "MISS")
	// What the client wants to know from the servers is asked there.
	a.do("GET", path, "", "Cache-Control: must-revalidate").is(200, "n2").has("X-Cache", "MISS")
	a.do("GET", path+"&stale").is(200, "n2").has("X-Cache", "")
	a.do("GET", path+"&consistent").is(400, "conflicting")
	a.do("GET", "/v1/catalog/nodes?cached").is(200, "n2").has("X-Cache", "")
	a.do("GET", path, "", "Cache-Control: max-age=x").is(400, "max-age")
}

func TestCachedOutlivesTheServers(t *testing.T) {
	a, b := startBreakable(t)
	const path = "/v1/health/service/web?cached"
	a.hit(t, path)
	b.down.Store(true)
	close(b.cut)
	waitFor(t, func() bool { return a.do("GET", path).header.Get("X-Consul-KnownLeader") == "false" })
	a.do("GET", path).is(200, "n1").has("X-Cache", "HIT")
	a.do("GET", path, "", "Cache-Control: max-age=60").is(200, "n1").has("X-Cache", "HIT")
	waitFor(t, func() bool { return a.do("GET", path).is(200, "n1").header.Get("Age") == "1" })
	a.do("GET", path, "", "Cache-Control: max-age=0").is(500, "no server answers").has("X-Cache", "")
	a.do("GET", path, "", "Cache-Control: max-age=0, stale-if-error=60").is(200, "n1").has("X-Cache", "HIT")
	a.do("GET", path, "", "Cache-Control: must-revalidate, stale-if-error=0").is(500, "no server answers")
	a.do("GET", "/v1/health/service/other?cached", "", "Cache-Control: stale-if-error=60").is(500, "no server answers")
}

func TestAuthorizeWithoutServers(t *testing.T) {
	a, b := startBreakable(t)
	a.installCA()
	a.setDefault(true)
	var roots api.CARoots
	a.do("GET", "/v1/connect/ca/roots").json(&roots)
	body := `{"Target": "db", "ClientCertURI": "spiffe://` + roots.TrustDomain + `/ns/default/dc/dc1/svc/web"}`
	ask := func() answer { return a.do("POST", "/v1/agent/connect/authorize", body) }
	ask().is(200, `"Authorized":true`).has("X-Cache", "MISS").has("Age", "")
	// A denial that was acknowledged holds at once.
	a.do("PUT", intentions+"/exact?source=web&destination=db", `{"Action": "deny"}`).is(200, "true")
	ask().is(200, `"Authorized":false`).has("X-Cache", "MISS")
	waitFor(t, func() bool {
		b.down.Store(true)
		defer b.down.Store(false)
		got := ask()
		return got.status == 200 && strings.Contains(got.body, `"Authorized":false`)
	})
	b.down.Store(true)
	if got := ask().is(200, `"Authorized":false`).has("X-Cache", "HIT"); got.header.Get("Age") == "" {
		t.Error("no Age")
	}
	a.do("POST", "/v1/agent/connect/authorize", strings.Replace(body, "svc/web", "svc/other", 1)).is(500, "no server answers")
}
