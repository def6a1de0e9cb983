package http_test

import (
	"log/slog"
	"strings"
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/testutil"
)

// What a limit refuses is told to the client each time, and to the operator once.
func TestRefusalsAreLogged(t *testing.T) {
	log := new(testutil.Log)
	a := start(t, func(o *agenthttp.Options) {
		o.MaxValue, o.MaxHeader = 10, 4<<10
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	for range 3 {
		a.do("PUT", "/v1/kv/large", "more than ten bytes").is(413, "too large")
		a.do("GET", "/v1/kv/large", "", "X-Long: "+strings.Repeat("x", 5<<10)).is(431, "max_header_bytes")
	}
	for _, limit := range []string{"limit=body", "limit=header"} {
		if n := strings.Count(log.String(), `msg="request refused by a limit" component=http source=127.0.0.1 `+limit); n != 1 {
			t.Errorf("%s: %d lines in the log, want one for each source:\n%s", limit, n, log)
		}
	}
}

// Keys are what stands in the path, to the letter.
func TestKeysAreNotCleaned(t *testing.T) {
	a := start(t)
	for path, key := range map[string]string{
		"a//b": "a//b", "/lead": "/lead", "%2Flead2": "/lead2", "a/../b": "a/../b", "a/./b/": "a/./b/", "..": "..",
		"with%20space": "with space", "per%25cent": "per%cent", "a%2F%2Fc": "a//c", "q%3Fx": "q?x",
	} {
		a.do("PUT", "/v1/kv/"+path, key).is(200, "true")
		if got := a.do("GET", "/v1/kv/"+path+"?raw").is(200, key); got.body != key {
			t.Errorf("%s has the value of %q", path, got.body)
		}
	}
	a.do("GET", "/v1/kv/a?keys").is(200, `["a/../b","a/./b/","a//b","a//c"]`)
	a.do("DELETE", "/v1/kv/a//b").is(200, "true")
	a.do("GET", "/v1/kv/a/b").is(404, "")
	a.do("GET", "//v1/kv/a").is(307, "/v1/kv/a") // what is before the key is no key
}

func TestProfilesSayHow(t *testing.T) {
	start(t).do("GET", "/debug/pprof/").is(404, "enable_debug = true")
}
