package watcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is an API in memory with one view, which is waited for by its index.
type agent struct {
	mu      sync.Mutex
	index   uint64
	status  int
	body    string
	fail    error
	changed chan struct{}
	asked   []string
}

func newAgent(index uint64, body string) *agent {
	return &agent{index: index, status: 200, body: body, changed: make(chan struct{})}
}

// set changes the view.
func (a *agent) set(index uint64, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index, a.body = index, body
	close(a.changed)
	a.changed = make(chan struct{})
}

// break ends what waits with an error, as all that follows.
func (a *agent) breaks(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *agent) questions() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// RoundTrip implements http.RoundTripper. It waits while the index is the one it is given, or a lower one as servers do.
func (a *agent) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.RequestURI())
	wait := time.After(5 * time.Minute)
	var index uint64
	_, _ = fmt.Sscan(r.URL.Query().Get("index"), &index)
	for expired := false; !expired && a.fail == nil && index != 0 && a.index <= index; {
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-wait:
			expired = true
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if a.fail != nil {
		return nil, a.fail
	}
	header := http.Header{"X-Consul-Index": {fmt.Sprint(a.index)}}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (a *agent) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.New(api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP().Transport = a
	return c
}

// recorder is a handler that takes its time.
type recorder struct {
	mu      sync.Mutex
	changes []Change
	running int
	takes   time.Duration
	err     error
	overlap bool
}

func (h *recorder) Handle(ctx context.Context, c Change) error {
	h.mu.Lock()
	h.changes = append(h.changes, c)
	h.running++
	h.overlap = h.overlap || h.running > 1
	h.mu.Unlock()
	sleep(ctx, h.takes)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	return h.err
}

func (h *recorder) all() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

func (h *recorder) seen() string {
	var out []string
	for _, c := range h.all() {
		out = append(out, fmt.Sprintf("%d:%s", c.Index, c.JSON))
	}
	return strings.Join(out, " ")
}

// follow runs a watch in simulated time.
func follow(t *testing.T, parameters map[string]any, a *agent, h *recorder, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.changed = make(chan struct{}) // of this bubble
		w, err := Parse(parameters)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx, a.client(t), h, slog.New(slog.DiscardHandler))
		}()
		synctest.Wait()
		test(t)
		cancel()
		<-done
	})
}

var watchNodes = map[string]any{"type": "nodes"}

func TestHandsOnChanges(t *testing.T) {
	a, h := newAgent(5, `["a"]`), &recorder{}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		a.set(6, `["b"]`)
		synctest.Wait()
		a.set(7, `["b"]`) // the index alone
		synctest.Wait()
		time.Sleep(time.Hour) // waits that end with nothing
		a.set(8, `["c"]`)
		synctest.Wait()
		if got := h.seen(); got != `5:["a"] 6:["b"] 8:["c"]` {
			t.Errorf("handed on %s", got)
		}
		if n := len(a.questions()); n > 20 {
			t.Errorf("asked %d times in an hour", n)
		}
	})
}

// A slow handler sees the last state, and never runs beside itself.
func TestHandlerDoesNotOverlap(t *testing.T) {
	a, h := newAgent(1, `[]`), &recorder{takes: time.Minute}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		for i := range uint64(10) {
			a.set(2+i, fmt.Sprintf("[%d]", i))
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		if got := h.seen(); got != `1:[] 11:[9]` || h.overlap {
			t.Errorf("handed on %s, overlap %v", got, h.overlap)
		}
	})
}

// A server that was set up anew counts from the beginning. What it has besides is handed on, and only that.
func TestIndexGoesBack(t *testing.T) {
	a, h := newAgent(100, `["a"]`), &recorder{}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		a.breaks(errors.New("down"))
		synctest.Wait()
		a.breaks(nil)
		a.set(3, `["a"]`)
		time.Sleep(time.Minute)
		if got := h.seen(); got != `100:["a"]` {
			t.Errorf("the same as before was handed on: %s", got)
		}
		a.set(4, `["b"]`)
		synctest.Wait()
		if got := h.seen(); got != `100:["a"] 4:["b"]` {
			t.Errorf("handed on %s", got)
		}
	})
}

// An answer with a lower index must not be waited by.
func TestIndexGoesBackInAnAnswer(t *testing.T) {
	a, h := newAgent(100, `["a"]`), &recorder{}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		a.set(3, `["b"]`)
		time.Sleep(6 * time.Minute) // the wait for more than 100 ends
		asked := a.questions()
		if got := h.seen(); got != `100:["a"] 3:["b"]` || !slices.Contains(asked, "/v1/catalog/nodes") || asked[len(asked)-1] != "/v1/catalog/nodes?index=3" {
			t.Errorf("handed on %s, asked %v", got, asked)
		}
	})
}

func TestFailuresAreRetriedMoreAndMoreSeldom(t *testing.T) {
	a, h := newAgent(1, `[]`), &recorder{}
	a.fail = errors.New("down")
	follow(t, watchNodes, a, h, func(t *testing.T) {
		time.Sleep(10 * time.Minute)
		if n := len(a.questions()); n < 10 || n > 40 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		a.breaks(nil)
		time.Sleep(retryMost)
		if got := h.seen(); got != `1:[]` {
			t.Errorf("handed on %s", got)
		}
	})
}

// A view that cannot be waited for is asked for in moderation.
func TestAnswersThatDoNotWait(t *testing.T) {
	a, h := newAgent(0, `[]`), &recorder{}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		time.Sleep(time.Minute)
		if n := len(a.questions()); n > 65 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestFailedHandlerIsCalledAtTheNextChange(t *testing.T) {
	a, h := newAgent(1, `[1]`), &recorder{err: errors.New("no")}
	follow(t, watchNodes, a, h, func(t *testing.T) {
		a.set(2, `[2]`)
		synctest.Wait()
		if got := h.seen(); got != `1:[1] 2:[2]` {
			t.Errorf("handed on %s", got)
		}
	})
}

// Of events, the new ones are handed on; their index goes up and down.
func TestEvents(t *testing.T) {
	list := func(names ...string) string {
		var all []api.UserEvent
		for _, n := range names {
			all = append(all, api.UserEvent{ID: n, Name: n})
		}
		data, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	a, h := newAgent(50, list("a", "b")), &recorder{}
	follow(t, map[string]any{"type": "event", "name": "x"}, a, h, func(t *testing.T) {
		a.set(60, list("a", "b", "c", "d"))
		synctest.Wait()
		a.breaks(errors.New("down"))
		synctest.Wait()
		a.breaks(nil)
		a.set(10, list("y", "z")) // another agent's life
		time.Sleep(time.Minute)
		var got []string
		for _, c := range h.all() {
			var events []api.UserEvent
			if err := json.Unmarshal(c.JSON, &events); err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				got = append(got, e.Name)
			}
			got = append(got, "|")
		}
		if strings.Join(got, "") != "ab|cd|yz|" {
			t.Errorf("handed on %v", got)
		}
		if asked := a.questions(); asked[1] != "/v1/event/list?index=50&name=x" {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestOnce(t *testing.T) {
	for _, c := range []struct {
		parameters map[string]any
		status     int
		body, want string
	}{
		{map[string]any{"type": "key", "key": "a/b"}, 200, ` [{"Key":"a/b"}] `, `{"Key":"a/b"}`},
		{map[string]any{"type": "key", "key": "a/b"}, 404, ``, `null`},
		{map[string]any{"type": "key", "key": "a/b"}, 200, `null`, `null`},
		{map[string]any{"type": "keyprefix", "prefix": "a"}, 404, ``, `null`},
		{map[string]any{"type": "keyprefix", "prefix": "a"}, 200, `[1,2]`, `[1,2]`},
		{map[string]any{"type": "event"}, 200, `[]`, `[]`},
		{map[string]any{"type": "service", "service": "x"}, 500, `no`, ``},
		{map[string]any{"type": "key", "key": "a/b"}, 200, `{`, ``},
	} {
		a := newAgent(7, c.body)
		a.status = c.status
		w, err := Parse(c.parameters)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Once(t.Context(), a.client(t))
		if (err != nil) != (c.want == "") || string(got.JSON) != c.want {
			t.Errorf("%v of %d %q: %s, %v", c.parameters, c.status, c.body, got.JSON, err)
		}
	}
}

func TestAgentServiceWaitsByHash(t *testing.T) {
	w, err := Parse(map[string]any{"type": "agent_service", "service_id": "web/1"})
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	client, err := api.New(api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	client.HTTP().Transport = roundTrip(func(r *http.Request) *http.Response {
		asked = append(asked, r.URL.RequestURI())
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Consul-Contenthash": {"h1"}}, Body: io.NopCloser(bytes.NewBufferString("{}"))}
	})
	f := &follower{watch: w, client: client}
	if c, err := f.next(t.Context()); err != nil || c.Hash != "h1" || c.Index != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := f.next(t.Context()); c != nil || err != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if asked[0] != "/v1/agent/service/web%2F1" || asked[1] != "/v1/agent/service/web%2F1?hash=h1" {
		t.Errorf("asked %v", asked)
	}
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestGroup replaces watches: what stays is left alone, what goes has ended.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(1, "[]")
		g := NewGroup(a.client(t), func() string { return "default" }, slog.New(slog.DiscardHandler))
		handlers := map[string]*recorder{}
		var watches []*Watch
		for _, name := range []string{"a", "b", "b"} {
			w, err := Parse(map[string]any{"type": "service", "service": name})
			if err != nil {
				t.Fatal(err)
			}
			h := &recorder{takes: time.Hour}
			w.Handler, handlers[fmt.Sprint(name, len(watches))] = h, h
			watches = append(watches, w)
		}
		g.Set(watches)
		synctest.Wait()
		for name, h := range handlers {
			if h.seen() != "1:[]" {
				t.Errorf("%s saw %q", name, h.seen())
			}
		}
		again, err := Parse(map[string]any{"service": "a", "type": "service"})
		if err != nil {
			t.Fatal(err)
		}
		other := &recorder{}
		again.Handler = other
		g.Set([]*Watch{again})
		if n := handlers["b1"].running + handlers["b2"].running; n != 0 {
			t.Errorf("%d handlers of watches that are gone are at work", n)
		}
		if handlers["a0"].running != 1 || other.seen() != "" {
			t.Error("a watch that stayed was begun anew")
		}
		g.Close()
		if handlers["a0"].running != 0 {
			t.Error("a handler is at work after the end")
		}
		g.Close()
	})
}
