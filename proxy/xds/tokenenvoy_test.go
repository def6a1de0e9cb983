package xds_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/testutil/meshcases"
	"github.com/parleymesh/parley/testutil/policycases"
)

// asking returns the rules by which web needs a token of a provider, and everybody else none.
func asking(providers ...*api.JWTProvider) []*intention.Rule {
	j := &api.IntentionJWT{}
	for _, p := range providers {
		j.Providers = append(j.Providers, api.IntentionJWTProvider{Name: p.Name})
	}
	return []*intention.Rule{
		{ID: "web", Source: "web", HTTP: true, JWT: j}, {ID: "rest", Source: "*", Allow: true},
		{Default: true, Providers: providers},
	}
}

// get has web make a request, and wants a status.
func (j *judged) get(what, path string, want int, header ...string) {
	j.T.Helper()
	j.n++
	status, _, err := j.ask("web", fmt.Sprint("get-", j.n), request(path, header...))
	if err != nil || status != want {
		j.T.Errorf("%s: %d, %v, want %d", what, status, err, want)
	}
}

func request(path string, header ...string) policycases.Request {
	q := policycases.Request{Request: intention.Request{Method: http.MethodGet, Header: http.Header{}}}
	q.Path, q.Query, _ = strings.Cut(path, "?")
	if q.Query != "" {
		q.Query = "?" + q.Query
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		q.Header.Add(name, value)
	}
	return q
}

func TestTokensAreFoundWhereTheProviderSays(t *testing.T) {
	j := newJudged(t)
	one := policycases.NewIssuer(t, "one")
	token := one.Token(t, nil)
	p := one.Provider(t)
	p.Locations = nil
	j.enforce(asking(p))
	j.get("no token", "/", 401)
	j.get("a bearer", "/", 200, "Authorization: Bearer "+token)
	j.get("not a bearer", "/", 401, "Authorization: Basic "+token)
	j.get("a changed one", "/", 401, "Authorization: Bearer "+token[:len(token)-4]+"AAAA")
	j.get("none at all", "/", 401, "Authorization: Bearer x.y.z")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + strings.TrimSuffix(token[strings.Index(token, "."):], token[strings.LastIndex(token, ".")+1:])
	j.get("one that nobody has signed", "/", 401, "Authorization: Bearer "+none)
	p = one.Provider(t)
	p.Locations = []api.JWTLocation{
		{Header: &api.JWTHeader{Name: "X-Mine", ValuePrefix: "mine "}}, {QueryParam: &api.JWTQueryParam{Name: "t"}}, {Cookie: &api.JWTCookie{Name: "c"}},
	}
	j.enforce(asking(p))
	j.get("a header", "/", 200, "X-Mine: mine "+token)
	j.get("a parameter", "/?t="+token, 200)
	j.get("a cookie", "/", 200, "Cookie: a=b; c="+token)
	j.get("elsewhere", "/", 401, "Authorization: Bearer "+token)
	p.ClockSkewSeconds = 600
	j.enforce(asking(p))
	late := one.Token(t, map[string]any{"exp": time.Now().Add(-5 * time.Minute).Unix()})
	j.get("within the skew", "/", 200, "X-Mine: mine "+late)
	p.ClockSkewSeconds = 0
	j.enforce(asking(p))
	j.get("out of the skew", "/", 401, "X-Mine: mine "+late)
}

func TestTheServiceIsToldWhatTheTokenSays(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewHTTPWorld(t, e, "http")
	one := policycases.NewIssuer(t, "one")
	p := one.Provider(t)
	p.Locations = nil
	p.Forwarding = &api.JWTForwarding{HeaderName: "X-Claims", PadForwardPayloadHeader: true}
	policy := func(p *api.JWTProvider) {
		w.Change(meshcases.DBProxy, func(s *snapshot.Snapshot) {
			domain := s.Policy.TrustDomain
			s.Policy = snapshot.PolicyOf(asking(p))
			s.Policy.TrustDomain = domain
		})
	}
	policy(p)
	w.Start()
	bearer := "Authorization: Bearer " + one.Token(t, map[string]any{"role": "admin"})
	w.Settled(meshcases.Ask{Header: []string{bearer}}, meshcases.From("db-1"))
	got, err := w.Do(meshcases.Ask{Header: []string{bearer, "X-Claims: forged"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.URLEncoding.DecodeString(got.Echo.Header.Get("X-Claims"))
	var claims map[string]any
	if err != nil || json.Unmarshal(text, &claims) != nil || claims["role"] != "admin" {
		t.Errorf("the service is told %q, %v", got.Echo.Header, err)
	}
	if got.Echo.Header.Get("Authorization") != "" {
		t.Error("the token was passed on, though it should not be")
	}
	forward := *p
	forward.Locations = []api.JWTLocation{{Header: &api.JWTHeader{Name: "Authorization", ValuePrefix: "Bearer ", Forward: true}}}
	policy(&forward)
	w.Settled(meshcases.Ask{Header: []string{bearer}}, func(a meshcases.Answer) error {
		if a.Echo.Header.Get("Authorization") == "" {
			return fmt.Errorf("the token was not passed on")
		}
		return nil
	})
}

func TestKeysAreFetched(t *testing.T) {
	one := policycases.NewIssuer(t, "one")
	var fetched, broken atomic.Int64
	keys := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		if broken.Load() > 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(one.KeySet(t)))
	})
	plain, secure := httptest.NewServer(keys), httptest.NewTLSServer(keys)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	j := newJudged(t)
	bearer := one.Header() + ": " + one.Token(t, nil)
	remote := func(name string, r api.RemoteJWKS) *api.JWTProvider {
		p := one.Provider(t)
		p.Name = name
		p.JSONWebKeySet = &api.JSONWebKeySet{Remote: &r}
		return p
	}
	for _, async := range []bool{false, true} {
		before := fetched.Load()
		j.enforce(asking(remote(fmt.Sprint("plain-", async), api.RemoteJWKS{URI: plain.URL + "/keys", FetchAsynchronously: async})))
		j.Eventually("keys by HTTP", func() error {
			if status, _, err := j.ask("web", "keys", request("/", bearer)); err != nil || status != 200 {
				return fmt.Errorf("%d, %v", status, err)
			}
			return nil
		})
		for range 10 {
			j.get("with keys", "/", 200, bearer)
		}
		if n := fetched.Load() - before; n == 0 || n > 2 {
			t.Errorf("async %t: keys were fetched %d times", async, n)
		}
		j.get("without a token", "/", 401)
	}
	trusted := &api.JWKSCluster{TLSCertificates: &api.JWKSTLSCertificates{TrustedCA: &api.JWKSTrustedCA{InlineString: ca}}}
	j.enforce(asking(remote("secure", api.RemoteJWKS{URI: secure.URL + "/keys", JWKSCluster: trusted})))
	j.get("keys by HTTPS", "/", 200, bearer)
	j.enforce(asking(remote("stranger", api.RemoteJWKS{URI: secure.URL + "/keys"})))
	j.get("keys of whom the host does not trust", "/", 401, bearer)
	other := strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)
	j.enforce(asking(remote("misnamed", api.RemoteJWKS{URI: other + "/keys", JWKSCluster: trusted})))
	j.get("keys of somebody else", "/", 401, bearer)
	// Whoever needs no token does not care, and who needs one is denied for as long as there are no keys.
	broken.Store(1)
	j.enforce(asking(remote("broken", api.RemoteJWKS{URI: plain.URL + "/keys"})))
	j.get("no keys", "/", 401, bearer)
	if status, _, err := j.ask("api", "other", request("/", bearer)); err != nil || status != 200 {
		t.Errorf("who needs no token: %d, %v", status, err)
	}
	broken.Store(0)
	j.Eventually("keys to come back", func() error {
		if status, _, err := j.ask("web", "again", request("/", bearer)); err != nil || status != 200 {
			return fmt.Errorf("%d, %v", status, err)
		}
		return nil
	})
}

// A provider that is not there, or cannot be carried out, stops the traffic that it guards, and no other.
func TestWithoutItsProviderGuardedTrafficStops(t *testing.T) {
	j := newJudged(t)
	one := policycases.NewIssuer(t, "one")
	bearer := one.Header() + ": " + one.Token(t, nil)
	j.enforce(asking(one.Provider(t)))
	j.get("with its provider", "/", 200, bearer)
	rules := asking(one.Provider(t))
	rules[len(rules)-1].Providers = nil
	j.enforce(rules)
	j.get("without", "/", 401, bearer)
	p := one.Provider(t)
	p.JSONWebKeySet.Local.JWKS = "%"
	j.enforce(asking(p))
	j.get("with keys that nobody can read", "/", 401, bearer)
	if status, _, err := j.ask("api", "other", request("/")); err != nil || status != 200 {
		t.Errorf("who needs no token: %d, %v", status, err)
	}
}

// TestDeniedRequestsStayDenied goes through changes of rules and absences of the agent: who has been denied once is not let pass again
// before a rule says so.
func TestDeniedRequestsStayDenied(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewHTTPWorld(t, e, "http")
	byPath := func(allowed string) snapshot.Rule {
		return snapshot.Rule{ID: "web", Source: "web", HTTP: true, Permissions: []api.IntentionPermission{
			{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: allowed}},
		}}
	}
	w.Rules(byPath("/a"))
	w.Start()
	w.Settled(meshcases.Ask{Path: "/a/1"}, meshcases.From("db-1"))
	denied := func(path string) {
		t.Helper()
		for range 30 {
			if got, err := w.Do(meshcases.Ask{Path: path}); err != nil || got.Status != http.StatusForbidden {
				t.Fatalf("%s was answered with %d, %v", path, got.Status, err)
			}
		}
	}
	denied("/b")
	w.Rules(byPath("/b"), meshcases.Allow("*"))
	w.Settled(meshcases.Ask{Path: "/b"}, meshcases.From("db-1"))
	denied("/a")
	a := e.ads[w.Source]
	for _, path := range []string{"/c", "/d", "/e"} {
		a.stop()
		w.Rules(byPath(path))
		if _, err := w.Do(meshcases.Ask{Path: "/never"}); err != nil {
			t.Fatal(err)
		}
		denied("/never")
		a.start(t)
		w.Settled(meshcases.Ask{Path: path}, meshcases.From("db-1"))
		denied("/a")
		denied("/b")
	}
	// An Envoy that starts knows nothing, and lets nobody pass before it does.
	e2 := newEnvoys(t)
	fresh := meshcases.NewHTTPWorld(t, e2, "http")
	fresh.Rules(byPath("/only"))
	fresh.Start()
	for range 30 {
		if got, err := fresh.Do(meshcases.Ask{Path: "/else"}); err == nil && got.Status == http.StatusOK {
			t.Fatalf("a request passed that no rule allows: %+v", got)
		}
	}
}
