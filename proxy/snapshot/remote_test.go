package snapshot

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
)

// agent serves a world's snapshots over HTTP as the agent does.
func (w *world) agent(t *testing.T) (remote *Remote, polls *atomic.Int64) {
	t.Helper()
	polls = &atomic.Int64{}
	publisher := Publisher{Source: w.a}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		polls.Add(1)
		wait, err := time.ParseDuration(r.FormValue("wait"))
		id, ok := strings.CutPrefix(r.URL.Path, "/v1/agent/connect/proxy/")
		if err != nil || !ok {
			http.Error(rw, "bad request", 400)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		body, hash, err := publisher.Snapshot(ctx, id, r.Header.Get("X-Consul-Token"), r.FormValue("hash"))
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			http.Error(rw, "not yet", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(rw, err.Error(), api.StatusOf(err))
		default:
			rw.Header().Set(HashHeader, hash)
			_, _ = rw.Write(body)
		}
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	remote, err := NewRemote(RemoteOptions{Agent: server.URL, HTTP: client, Wait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return remote, polls
}

func TestRemoteHandsOutWhatTheAgentHas(t *testing.T) {
	w := newWorld(t)
	defer w.a.Close()
	remote, polls := w.agent(t)
	s, err := remote.Subscribe(context.Background(), proxyID, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.fill()
	local := w.subscribe("")
	want, got := w.next(local), w.next(s)
	if got.Hash() != want.Hash() || got.Endpoints[dc1("db").ID].Instances[0].Address.Host != "10.0.0.1" {
		t.Errorf("got %+v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	before := polls.Load()
	if got, err := s.Next(ctx); err == nil {
		t.Errorf("got %+v", got)
	}
	if n := polls.Load() - before; n > 20 {
		t.Errorf("%d polls in 300 ms", n)
	}
	w.leaf("2")
	if got := w.next(s); got.Leaf.SerialNumber != "2" {
		t.Errorf("got %+v", got)
	}
}

func TestRemoteIsDenied(t *testing.T) {
	w := newWorld(t)
	defer w.a.Close()
	w.fill()
	w.host.denied["bad"] = true
	remote, _ := w.agent(t)
	s, err := remote.Subscribe(context.Background(), proxyID, "bad")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrDenied) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// answers is an agent that answers as it likes.
type answers func(r *http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestRemoteAsksAnAgentThatIsAwayUntilItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		remote, err := NewRemote(RemoteOptions{Agent: "http://agent.example.org", HTTP: &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			rec := httptest.NewRecorder()
			switch n++; n {
			case 1, 2, 3:
				return nil, errors.New("connection refused")
			case 4:
				rec.WriteHeader(503)
			case 5:
				_, _ = rec.WriteString("<html>some other program</html>")
			case 6:
				rec.Header().Set(HashHeader, "h")
				_, _ = rec.WriteString("{")
			case 7:
				rec.Header().Set(HashHeader, "h")
				_, _ = rec.WriteString(`{"ProxyID":"somebody else"}`)
			default:
				rec.Header().Set(HashHeader, "h")
				_, _ = rec.WriteString(`{"ProxyID":"web"}`)
			}
			return rec.Result(), nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := remote.Subscribe(context.Background(), "web", "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got, err := s.Next(context.Background()); err != nil || got.ProxyID != "web" || n != 8 {
			t.Errorf("got %+v, %v after %d polls", got, err, n)
		}
		// One that answers at once with nothing new is not asked without end.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || n > 60 {
			t.Errorf("got %v after %d polls", err, n)
		}
	})
}

func TestRemoteWantsAURL(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8500", "unix:///run/x", "http://"} {
		if _, err := NewRemote(RemoteOptions{Agent: bad}); err == nil || !strings.Contains(err.Error(), "want a URL") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
