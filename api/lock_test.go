package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// lockAgent is an agent of one key and any number of sessions, without a network. It knows no time: sessions end when a test
// says so.
type lockAgent struct {
	mu       sync.Mutex
	sessions map[string]bool
	pair     *KVPair
	index    uint64
	changed  chan struct{}
	down     bool // refuses connections
	broken   bool // cannot answer about the key
	stalled  bool // never answers
	renewals int
}

func newLockAgent() *lockAgent {
	return &lockAgent{sessions: map[string]bool{}, index: 1, changed: make(chan struct{})}
}

func (a *lockAgent) client() *Client {
	c, err := New(Config{Address: "127.0.0.1:8500"})
	if err != nil {
		panic(err)
	}
	c.http = &http.Client{Transport: a}
	return c
}

// set changes the agent.
func (a *lockAgent) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	a.index++
	close(a.changed)
	a.changed = make(chan struct{})
}

// look is for reading what requests change.
func (a *lockAgent) look(read func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	read()
}

// end ends all sessions, as servers do.
func (a *lockAgent) end() {
	a.set(func() {
		clear(a.sessions)
		if a.pair != nil {
			a.pair.Session = ""
		}
	})
}

// RoundTrip implements http.RoundTripper.
func (a *lockAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	down, stalled := a.down, a.stalled
	a.mu.Unlock()
	if stalled {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if down {
		return nil, syscall.ECONNREFUSED
	}
	if r.Method == http.MethodGet && r.URL.Query().Get("index") != "" {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-time.After(wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	status, v := a.answer(r)
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(string(data))), Header: http.Header{"X-Consul-Index": {json.Number(a.now()).String()}},
	}, nil
}

func (a *lockAgent) now() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, _ := json.Marshal(a.index)
	return string(data)
}

func (a *lockAgent) answer(r *http.Request) (int, any) {
	q := r.URL.Query()
	what := strings.TrimPrefix(r.URL.Path, "/v1/")
	var found any
	status := 200
	a.set(func() {
		id := what[strings.LastIndexByte(what, '/')+1:]
		switch {
		case what == "session/create":
			id := "session-" + string(rune('a'+len(a.sessions)))
			a.sessions[id] = true
			found = map[string]string{"ID": id}
		case strings.HasPrefix(what, "session/renew/"):
			if a.renewals++; !a.sessions[id] {
				status = 404
			}
			found = []Session{{ID: id, TTL: "15s"}}
		case strings.HasPrefix(what, "session/destroy/"):
			delete(a.sessions, id)
			if found = true; a.pair != nil && a.pair.Session == id {
				a.pair.Session = ""
			}
		case a.broken:
			status, found = 500, "No cluster leader"
		case q.Has("acquire"):
			if free := a.pair == nil || a.pair.Session == ""; free {
				a.pair = &KVPair{Key: "k", Flags: LockFlags, Session: q.Get("acquire")}
				found = true
			} else {
				found = false
			}
		case q.Has("release"):
			if found = a.pair != nil && a.pair.Session == q.Get("release"); found == true {
				a.pair.Session = ""
			}
		case r.Method == http.MethodDelete:
			a.pair, found = nil, true
		case a.pair == nil:
			status = 404
		default:
			found = []KVPair{*a.pair}
		}
	})
	return status, found
}

// lostAfter waits for a lock to be lost and tells how long that took.
func lostAfter(t *testing.T, h *HeldLock) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-h.Lost():
	case <-time.After(time.Hour):
		t.Fatal("it is not lost")
	}
	return time.Since(began)
}

var lockOptions = LockOptions{Key: "k", Retries: 3, RetryPause: time.Second}

// TestLockIsLost breaks what a lock depends on.
func TestLockIsLost(t *testing.T) {
	for _, c := range []struct {
		name           string
		breaks         func(*lockAgent)
		soonest, after time.Duration
	}{
		{"its session ends", (*lockAgent).end, 0, 0},
		{"somebody else has it", func(a *lockAgent) { a.set(func() { a.pair.Session = "other" }) }, 0, 0},
		{"its key is gone", func(a *lockAgent) { a.set(func() { a.pair = nil }) }, 0, 0},
		{"the agent is gone", func(a *lockAgent) { a.set(func() { a.down = true }) }, 3 * time.Second, 3 * time.Second},
		{"the agent cannot tell", func(a *lockAgent) { a.set(func() { a.broken = true }) }, 3 * time.Second, 3 * time.Second},
		// The session was renewed 7.5 seconds ago at the most, and lives for 15 from when that was asked.
		{"the agent is stopped", func(a *lockAgent) { a.set(func() { a.stalled = true }) }, 7500 * time.Millisecond, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newLockAgent()
				h, err := a.client().Lock(t.Context(), lockOptions)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Second)
				a.look(func() {
					if h.Why() != nil || a.renewals < 13 || a.renewals > 14 {
						t.Errorf("%v after %d renewals", h.Why(), a.renewals)
					}
				})
				c.breaks(a)
				if took := lostAfter(t, h); took < c.soonest || took > c.after {
					t.Errorf("it was lost after %s: %v", took, h.Why())
				}
				if h.Why() == nil {
					t.Error("nobody says why")
				}
				_ = h.Release(t.Context())
			})
		})
	}
}

// TestLockOutlives lets what goes by go by.
func TestLockOutlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newLockAgent()
		h, err := a.client().Lock(t.Context(), lockOptions)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(20 * time.Second)
			a.set(func() { a.down = true })
			time.Sleep(2500 * time.Millisecond)
			a.set(func() { a.down = false })
		}
		if time.Sleep(time.Minute); h.Why() != nil {
			t.Errorf("it was lost: %v", h.Why())
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		a.look(func() {
			if a.pair != nil || len(a.sessions) > 0 {
				t.Errorf("left: %+v, %v", a.pair, a.sessions)
			}
		})
	})
}

// TestLockWaits waits for another one to give the lock up, through a failure of the agent.
func TestLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newLockAgent()
		first, err := a.client().Lock(t.Context(), lockOptions)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *HeldLock)
		go func() {
			second, err := a.client().Lock(t.Context(), lockOptions)
			if err != nil {
				t.Error(err)
			}
			got <- second
		}()
		time.Sleep(time.Minute)
		a.set(func() { a.broken = true })
		time.Sleep(1500 * time.Millisecond)
		a.set(func() { a.broken = false })
		select {
		case <-got:
			t.Fatal("two hold the lock")
		case <-time.After(time.Minute):
		}
		if err := first.Release(t.Context()); err != nil {
			t.Error(err)
		}
		second := <-got
		a.look(func() {
			if a.pair.Session != second.Session() {
				t.Errorf("%+v", a.pair)
			}
		})
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
		// What is used for something else is left alone, and nothing stays of the attempt.
		a.set(func() { a.pair = &KVPair{Key: "k"} })
		if _, err := a.client().Lock(t.Context(), lockOptions); !errors.Is(err, ErrLockConflict) || len(a.sessions) > 0 {
			t.Errorf("%v, %v", err, a.sessions)
		}
	})
}
