package http_test

import (
	"fmt"
	"strings"
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
)

func TestKV(t *testing.T) {
	a := start(t)
	absent := func(path string) {
		t.Helper()
		got := a.do("GET", "/v1/kv/"+path).is(404, "").has("Content-Type", "").has("X-Consul-KnownLeader", "true")
		if got.body != "" || got.index() == 0 {
			t.Errorf("%s: %q", path, got.body)
		}
	}
	absent("a")
	a.do("PUT", "/v1/kv/a?flags=18446744073709551615", "hello").is(200, "true")
	a.do("GET", "/v1/kv/a").is(200, `"Key":"a","Flags":18446744073709551615,"Value":"aGVsbG8="`)
	a.do("GET", "/v1/kv/a?raw").is(200, "hello").has("Content-Type", "text/plain").has("X-Content-Type-Options", "nosniff")
	a.do("PUT", "/v1/kv/empty").is(200, "true")
	a.do("GET", "/v1/kv/empty").is(200, `"Value":null`)
	if got := a.do("GET", "/v1/kv/empty?raw").is(200, ""); got.body != "" {
		t.Errorf("the empty value is %q", got.body)
	}
	for _, key := range []string{"dir/x", "dir/y", "dir/sub/z", "dir2", "path/with%20space/and%2Fslash", "%2Flead", "utf8/%C3%A9"} {
		a.do("PUT", "/v1/kv/"+key, key).is(200, "true")
		a.do("GET", "/v1/kv/"+key+"?raw").is(200, key)
	}
	absent("lead")
	for path, want := range map[string]string{
		"dir/?keys":             `["dir/sub/z","dir/x","dir/y"]`,
		"dir?keys&separator=/":  `["dir/","dir2"]`,
		"dir/?keys&separator=/": `["dir/sub/","dir/x","dir/y"]`,
		"path/?keys":            `["path/with space/and/slash"]`,
		"utf8/?keys":            `["utf8/é"]`,
	} {
		if got := a.do("GET", "/v1/kv/"+path).is(200, ""); got.body != want {
			t.Errorf("%s: got %s, want %s", path, got.body, want)
		}
	}
	var pairs []api.KVPair
	a.do("GET", "/v1/kv/dir?recurse").is(200, "").json(&pairs)
	if len(pairs) != 4 || pairs[3].Key != "dir2" {
		t.Errorf("pairs: %+v", pairs)
	}
	absent("nothing?recurse")
	absent("nothing?keys")
	absent("nothing?raw")
	absent("a/b/c")
	a.do("DELETE", "/v1/kv/a").is(200, "true")
	absent("a")
	a.do("DELETE", "/v1/kv/a").is(200, "true")
	a.do("DELETE", "/v1/kv/dir/?recurse").is(200, "true")
	a.do("GET", "/v1/kv/dir?keys").is(200, `["dir2"]`)
	a.do("DELETE", "/v1/kv/?recurse").is(200, "true")
	a.do("GET", "/v1/kv/?keys").is(200, "[]")
}

func TestKVCheckAndSet(t *testing.T) {
	a := start(t)
	index := func() uint64 {
		t.Helper()
		var pairs []api.KVPair
		a.do("GET", "/v1/kv/c").is(200, "").json(&pairs)
		return pairs[0].ModifyIndex
	}
	a.do("PUT", "/v1/kv/c?cas=0", "first").is(200, "true")
	a.do("PUT", "/v1/kv/c?cas=0", "second").is(200, "false")
	m1 := index()
	a.do("PUT", fmt.Sprintf("/v1/kv/c?cas=%d", m1), "third").is(200, "true")
	a.do("PUT", fmt.Sprintf("/v1/kv/c?cas=%d", m1), "fourth").is(200, "false")
	a.do("DELETE", fmt.Sprintf("/v1/kv/c?cas=%d", m1)).is(200, "false")
	a.do("GET", "/v1/kv/c?raw").is(200, "third")
	a.do("DELETE", fmt.Sprintf("/v1/kv/c?cas=%d", index())).is(200, "true")
	a.do("PUT", "/v1/kv/nothing?cas=99", "v").is(200, "false")
}

func TestKVRefusals(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxValue = 100 })
	for request, want := range map[string]string{
		"GET /v1/kv/":                      "400 Missing key name",
		"GET /v1/kv/?raw":                  "400 Missing key name",
		"PUT /v1/kv/":                      "400 Missing key name",
		"DELETE /v1/kv/":                   "400 Missing key name",
		"POST /v1/kv/a":                    "405 method POST not allowed",
		"PATCH /v1/kv/x":                   "405 method PATCH not allowed",
		"PUT /v1/kv/a?flags=abc":           `500 strconv.ParseUint: parsing "abc": invalid syntax`,
		"PUT /v1/kv/a?cas=":                "500 invalid syntax",
		"PUT /v1/kv/a?cas=-1":              "500 invalid syntax",
		"DELETE /v1/kv/a?cas=x":            "500 invalid syntax",
		"DELETE /v1/kv/a?cas=1&recurse":    "400 Conflicting flags: cas=1&recurse",
		"PUT /v1/kv/a?acquire=x&release=x": "400 Conflicting flags: acquire=x&release=x",
		"PUT /v1/kv/a?acquire=x&cas=0":     "400 Conflicting flags",
		"PUT /v1/kv/a?acquire=x":           "500 invalid session",
		"PUT /v1/kv/a?release=x":           "200 false",
		"PUT /v1/kv/a?dc=dc9":              "500 No path to datacenter",
		"PUT /v1/kv/a?ns=other":            `400 "ns"`,
		"PUT /v1/kv/secret":                "403 Permission denied",
		"GET /v1/kv/secret":                "403 Permission denied",
		"DELETE /v1/kv/secret":             "403 Permission denied",
	} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if method == "PUT" {
			body = "x"
		}
		a.do(method, path, body).want(want)
	}
	a.do("PUT", "/v1/kv/a", strings.Repeat("x", 101)).is(413, "max size: 100 bytes")
	a.do("OPTIONS", "/v1/kv/x").is(200, "").has("Allow", "OPTIONS,GET,PUT,DELETE")
	a.do("GET", "/v1/kv/?keys").is(200, "[]")
}

func TestKVBlocks(t *testing.T) {
	a := start(t)
	for i, path := range []string{"/v1/kv/a/?recurse", "/v1/kv/a/?keys", "/v1/kv/a/2?"} {
		index := a.do("GET", path).index()
		woken := a.later(fmt.Sprintf("%s&index=%d&wait=10s", path, index))
		waitFor(t, func() bool { return a.api.Waiting() == 1 })
		a.do("PUT", "/v1/kv/other", path).is(200, "true")
		a.do("PUT", fmt.Sprint("/v1/kv/a/", i), path).is(200, "true")
		if got := (<-woken).is(200, "a"); got.index() <= index {
			t.Errorf("%s: index %d after %d", path, got.index(), index)
		}
	}
}
