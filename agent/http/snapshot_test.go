package http_test

import (
	"cmp"
	"strings"
	"testing"
)

func TestSnapshot(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/kv/a", "one")
	const as = "X-Consul-Token: root"
	saved := a.do("GET", "/v1/snapshot", "", as)
	if saved.status != 200 || saved.header.Get("Content-Type") != "application/x-gzip" || saved.header.Get("X-Consul-Index") == "" ||
		saved.header.Get("X-Consul-KnownLeader") != "true" || saved.header.Get("Content-Encoding") != "" {
		t.Fatalf("%d, %v", saved.status, saved.header)
	}
	a.do("PUT", "/v1/kv/a", "two")
	for _, c := range []struct {
		method, path, body, token string
		status                    int
		want                      string
	}{
		{"GET", "/v1/snapshot", "", "", 403, "acl:write"},
		{"PUT", "/v1/snapshot", saved.body, "", 403, "acl:write"},
		{"GET", "/v1/snapshot", "", "X-Consul-Token: bogus", 403, "ACL not found"},
		{"GET", "/v1/snapshot?dc=dc9", "", as, 500, "No path to datacenter"},
		{"PUT", "/v1/snapshot", "not a snapshot", as, 500, "failed to decompress snapshot: gzip: invalid header"},
		{"PUT", "/v1/snapshot", "", as, 500, "nothing was changed"},
		{"PUT", "/v1/snapshot", saved.body[:len(saved.body)-1], as, 500, "its end is missing"},
		{"POST", "/v1/snapshot", "", as, 405, "method POST not allowed"},
		{"GET", "/v1/snapshot?stale&consistent", "", as, 400, "conflicting"},
	} {
		got := a.do(c.method, c.path, c.body, cmp.Or(c.token, "Accept: */*"))
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s %s: %d, %q; want %d, %q", c.method, c.path, got.status, got.body, c.status, c.want)
		}
	}
	if got := a.do("GET", "/v1/kv/a?raw", ""); got.body != "two" {
		t.Errorf("%q", got.body)
	}
	if got := a.do("PUT", "/v1/snapshot", saved.body, as); got.status != 200 || got.body != "" {
		t.Errorf("%d, %q", got.status, got.body)
	}
	if got := a.do("GET", "/v1/kv/a?raw", ""); got.body != "one" {
		t.Errorf("%q", got.body)
	}
}
