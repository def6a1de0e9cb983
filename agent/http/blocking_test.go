package http_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
)

// later sends a request from a goroutine.
func (a *agent) later(path string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		got, err := a.try(context.Background(), "GET", path)
		if err != nil {
			a.t.Errorf("%s: %v", path, err)
		}
		out <- got
	}()
	return out
}

func (a *agent) register(body string) {
	a.t.Helper()
	a.do("PUT", "/v1/catalog/register", body).is(200, "true")
}

func TestBlocking(t *testing.T) {
	a := start(t)
	a.register(`{"Node": "n1", "Address": "10.0.0.1", "Service": {"ID": "w", "Service": "web", "Port": 1}}`)
	for i, c := range []struct{ path, change string }{
		{"/v1/catalog/nodes", `{"Node": "n2", "Address": "10.0.0.2"}`},
		{"/v1/health/service/web", `{"Node": "n2", "Address": "10.0.0.2", "Service": {"ID": "w", "Service": "web", "Port": 2}}`},
		{"/v1/health/service/none", `{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "none"}}`},
		{"/v1/catalog/services", `{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "db"}}`},
		{"/v1/health/state/critical", `{"Node": "n1", "Address": "10.0.0.1", "Check": {"CheckID": "c"}}`},
		{"/v1/catalog/node/n9", `{"Node": "n9", "Address": "10.0.0.1"}`},
	} {
		index := a.do("GET", c.path).index()
		began := time.Now()
		same := a.do("GET", fmt.Sprintf("%s?index=%d&wait=50ms", c.path, index))
		if took := time.Since(began); took < 50*time.Millisecond || same.index() != index {
			t.Errorf("%s: waited %v, index %d after %d", c.path, took, same.index(), index)
		}
		woken := a.later(fmt.Sprintf("%s?index=%d&wait=10s", c.path, index))
		a.register(c.change)
		if got := <-woken; got.index() <= index {
			t.Errorf("%d %s: index %d after %d", i, c.path, got.index(), index)
		}
	}
	// An index from the future, as after a restore, does not wait for ever.
	if got := a.do("GET", "/v1/catalog/nodes?index=100000&wait=10ms"); got.index() >= 100000 {
		t.Errorf("index %d", got.index())
	}
}

func TestClientGoesAway(t *testing.T) {
	a := start(t)
	a.register(`{"Node": "n1", "Address": "10.0.0.1"}`)
	index := a.do("GET", "/v1/catalog/nodes").index()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := a.try(ctx, "GET", fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=5m", index)); err == nil {
			t.Error("answered")
		}
	}()
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	cancel()
	<-done
	waitFor(t, func() bool { return a.api.Waiting() == 0 })
}

func TestTooManyBlocking(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxBlocking = 1 })
	index := a.do("GET", "/v1/catalog/nodes").index()
	first := a.later(fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=10s", index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("GET", fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=10s", index)).is(429, "too many blocking queries")
	a.do("GET", "/v1/catalog/nodes").is(200, "")
	a.register(`{"Node": "n1", "Address": "10.0.0.1"}`)
	(<-first).is(200, "n1")
}

func TestCloseEndsBlocking(t *testing.T) {
	a := start(t)
	index := a.do("GET", "/v1/catalog/nodes").index()
	waiting := a.later(fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=5m", index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.api.Close(ctx); err != nil {
		t.Error(err)
	}
	(<-waiting).is(503, "shutting down")
}

// waitFor waits for something that another goroutine does.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
	}
}
