package watcher

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScript(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	s := &Script{Args: []string{"sh", "-c", `(cat; echo "$CONSUL_INDEX") > "$0"; echo said`, out}}
	var said string
	s.Said = func(text string) { said = text }
	if err := s.Handle(t.Context(), Change{JSON: []byte(`{"a":1}`), Index: 7}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil || string(data) != "{\"a\":1}\n7\n" || said != "said\n" {
		t.Errorf("%q, %q, %v", data, said, err)
	}
}

func TestScriptNeedNotRead(t *testing.T) {
	if err := (&Script{Args: []string{"true"}}).Handle(t.Context(), Change{JSON: make([]byte, 1<<20)}); err != nil {
		t.Error(err)
	}
}

func TestScriptFails(t *testing.T) {
	t.Setenv("SHELL", "")
	err := Shell(`echo first; head -c 100000 /dev/zero | tr '\0' x; echo the reason; exit 3`).Handle(t.Context(), Change{JSON: []byte("[]")})
	var failed *ScriptError
	if !errors.As(err, &failed) || !strings.HasPrefix(failed.Output, "... ") || !strings.HasSuffix(failed.Output, "the reason\n") {
		t.Fatalf("%v", err)
	}
	if len(failed.Output) > keptOutput+10 || !strings.Contains(err.Error(), "exit status 3") || failed.Args[0] != "/bin/sh" {
		t.Errorf("%d bytes: %.100s", len(failed.Output), err)
	}
	if err := (&Script{Args: []string{"/nonexistent"}}).Handle(t.Context(), Change{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What is killed is gone with its children: nobody holds its output any more.
func TestScriptIsKilledWithItsChildren(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := Shell("sleep 1000 & echo started; wait")
	s.Stdout, s.Stderr = w, w
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Handle(ctx, Change{}) }()
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the child lives on: %v", err)
	}
}

// A program that leaves something running which holds its output has ended all the same.
func TestScriptLeavesSomethingRunning(t *testing.T) {
	began := time.Now()
	if err := Shell("sleep 5 & echo started").Handle(t.Context(), Change{}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("waited %s", took)
	}
}

func TestWebhook(t *testing.T) {
	var got *http.Request
	var body []byte
	status := 200
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "well")
	}))
	defer server.Close()
	hook := func(path string, more map[string]any) Handler {
		config := map[string]any{"path": server.URL + path}
		for k, v := range more {
			config[k] = v
		}
		w, err := Parse(map[string]any{"type": "nodes", "handler_type": "http", "http_handler_config": config})
		if err != nil {
			t.Fatal(err)
		}
		return w.Handler
	}
	change := Change{JSON: []byte(`[1]`), Index: 9}
	if err := hook("/x", map[string]any{"header": map[string]any{"X-A": []any{"b", "c"}}}).Handle(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || string(body) != "[1]\n" || got.Header.Get("X-Consul-Index") != "9" || len(got.Header["X-A"]) != 2 ||
		got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %q %v", got.Method, body, got.Header)
	}
	if err := hook("/x", map[string]any{"method": "PUT"}).Handle(t.Context(), change); err != nil || got.Method != "PUT" {
		t.Errorf("%s, %v", got.Method, err)
	}
	status = 503
	if err := hook("/x", nil).Handle(t.Context(), change); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "well") {
		t.Errorf("%v", err)
	}
	if err := hook("/slow", map[string]any{"timeout": "50ms"}).Handle(t.Context(), change); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		parameters string // as name=value, separated by blanks
		path       string
	}{
		{"type=key key=a/b?c", "/v1/kv/a%2Fb%3Fc"},
		{"type=checks", "/v1/health/state/any"},
		{"type=checks state=critical", "/v1/health/state/critical"},
		{"type=checks service=web", "/v1/health/checks/web"},
		{"type=services", "/v1/catalog/services"},
		{"type=connect_roots", "/v1/agent/connect/ca/roots"},
		{"type=connect_leaf service=web token=x datacenter=dc1", "/v1/agent/connect/ca/leaf/web"},
		{"type=service service=web passingonly=true stale=true", "/v1/health/service/web"},
	} {
		w, err := Parse(fields(c.parameters))
		if err != nil || w.view.path != c.path {
			t.Errorf("%s: %v, %v", c.parameters, w, err)
		}
	}
	w, err := Parse(map[string]any{"type": "service", "service": "web", "tag": []any{"a", "b"}, "passingonly": true})
	if err != nil || w.view.params.Encode() != "passing=1&tag=a&tag=b" {
		t.Errorf("%+v, %v", w, err)
	}
}

func fields(text string) map[string]any {
	m := map[string]any{}
	for _, f := range strings.Fields(text) {
		name, value, _ := strings.Cut(f, "=")
		m[name] = value
	}
	return m
}

func TestMistakesAreNamed(t *testing.T) {
	web := func(config map[string]any) map[string]any {
		return map[string]any{"type": "nodes", "http_handler_config": config}
	}
	for _, c := range []struct {
		parameters map[string]any
		want       string
	}{
		{nil, "needs a type"},
		{fields("type=nope"), `no watch of type "nope": use agent_service, checks`},
		{map[string]any{"type": 5}, "type must be text"},
		{fields("type=key"), "key is missing"},
		{fields("type=keyprefix"), "prefix is missing"},
		{fields("type=service"), "service is missing"},
		{fields("type=agent_service"), "service_id is missing"},
		{fields("type=nodes kye=x"), `no parameter "kye"`},
		{fields("type=checks service=a state=b"), "cannot specify service and state"},
		{fields("type=nodes stale=maybe"), "stale must be true or false"},
		{map[string]any{"type": "service", "service": "x", "tag": []any{1}}, "tag must be a list of text"},
		{map[string]any{"type": "nodes", "args": 1}, "args must be a list of text"},
		{map[string]any{"type": "nodes", "args": []any{""}}, "does not name a program"},
		{map[string]any{"type": "nodes", "args": []any{"x"}, "handler": "y"}, "remove handler"},
		{map[string]any{"type": "nodes", "args": []any{"x"}, "handler_type": "http"}, "a script and an HTTP handler"},
		{fields("type=nodes handler_type=http"), "http_handler_config is missing"},
		{fields("type=nodes handler_type=script"), "args is missing"},
		{fields("type=nodes handler_type=mail"), "use script or http"},
		{web(map[string]any{}), "path is missing"},
		{web(map[string]any{"path": "host/x"}), "want a URL"},
		{web(map[string]any{"path": "http://h", "timeout": "soon"}), "timeout"},
		{web(map[string]any{"path": "http://h", "method": "A B"}), "method"},
		{web(map[string]any{"path": "http://h", "x": 1}), `no parameter "x"`},
		{web(map[string]any{"path": "http://h", "header": map[string]any{"a": 1}}), "a must be a list of text"},
	} {
		_, err := Parse(c.parameters)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.parameters, err, c.want)
		}
	}
}

// FuzzNewEvents reads whatever an agent answers.
func FuzzNewEvents(f *testing.F) {
	f.Add([]byte(`[{"ID":"a"},{"ID":"b"}]`), "a")
	f.Fuzz(func(t *testing.T, body []byte, last string) {
		_, _ = (&follower{event: last}).newEvents(body)
		_, _ = first(body)
	})
}
