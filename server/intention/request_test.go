package intention_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/testutil/nounstore"
	"github.com/parleymesh/parley/testutil/policycases"
)

func issuers(t testing.TB) []*policycases.Issuer {
	return []*policycases.Issuer{policycases.NewIssuer(t, "one"), policycases.NewIssuer(t, "two")}
}

func TestDecideRequestAgainstNaive(t *testing.T) {
	all := issuers(t)
	seen := map[int]int{}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := policycases.New(r, all)
		rules := c.Rules(t)
		for range 40 {
			source := policycases.Sources[r.IntN(len(policycases.Sources))]
			q := c.Request(t, r)
			got, want := intention.DecideRequest(rules, source, &q.Request), c.Naive(source, q)
			if got.Status() != want || got.Why == "" {
				t.Fatalf("seed %d: %s %s of %s: got %+v, want %d", seed, q.Method, q.Path, source, got, want)
			}
			seen[want]++
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden} {
		if seen[status] < 100 {
			t.Errorf("only %d of the requests were answered with %d", seen[status], status)
		}
	}
}

// TestVerdicts shows who decides, and what is said of it.
func TestVerdicts(t *testing.T) {
	one := policycases.NewIssuer(t, "one")
	asks := &api.IntentionJWT{Providers: []api.IntentionJWTProvider{{
		Name: "one", VerifyClaims: []api.IntentionJWTClaim{{Path: []string{"role"}, Value: "admin"}},
	}}}
	c := policycases.Case{Issuers: []*policycases.Issuer{one}, DB: &api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: "db", Sources: []api.SourceIntention{
		{Name: "web", Permissions: []api.IntentionPermission{
			{Action: api.Deny, HTTP: &api.IntentionHTTP{PathPrefix: "/admin/secret"}},
			{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: "/admin"}, JWT: asks},
			{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: "/", Methods: []string{"GET"}}},
		}},
		{Name: "*", Action: api.Deny},
	}}, All: &api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: "*", Sources: []api.SourceIntention{{Name: "web", Action: api.Allow}}}}
	rules := c.Rules(t)
	admin, user := map[string]map[string]any{"one": {"role": "admin"}}, map[string]map[string]any{"one": {"role": "user"}}
	for _, x := range []struct {
		source, method, path string
		tokens               map[string]map[string]any
		status               int
		rule, why            string
	}{
		{"web", "GET", "/", nil, 200, "intention:web->db#3", "permission 3 of 3 allows"},
		{"web", "POST", "/", nil, 403, "intention:web->db", "none of its permissions matches"},
		{"web", "GET", "/admin", nil, 401, "intention:web->db#2", `no valid token of "one"`},
		{"web", "GET", "/admin", user, 403, "intention:web->db#2", "has not the claims"},
		{"web", "POST", "/admin", admin, 200, "intention:web->db#2", "permission 2 of 3 allows"},
		{"web", "GET", "/admin/secret", admin, 403, "intention:web->db#1", "permission 1 of 3 denies"},
		{"api", "GET", "/", admin, 403, "intention:*->db", "denies"},
	} {
		got := intention.DecideRequest(rules, x.source, &intention.Request{Method: x.method, Path: x.path, Tokens: x.tokens})
		if got.Status() != x.status || got.Rule != x.rule || !strings.Contains(got.Why, x.why) {
			t.Errorf("%s %s of %s: got %d, %+v", x.method, x.path, x.source, got.Status(), got)
		}
	}
	// Without its provider nothing is allowed that asks for a token.
	rules[len(rules)-1].Providers = nil
	if got := intention.DecideRequest(rules, "web", &intention.Request{Path: "/admin", Tokens: admin}); got.Status() != 401 {
		t.Errorf("got %+v", got)
	}
	if got := intention.DecideRequest(nil, "web", &intention.Request{}); got.Allowed || got.Why == "" {
		t.Errorf("without rules: %+v", got)
	}
}

// TestAPolicyHasTheProvidersItAsksFor, as they stand, and is woken when they change, and by no others.
func TestAPolicyHasTheProvidersItAsksFor(t *testing.T) {
	s := nounstore.New()
	put := func(e api.ConfigEntry) { nounstore.Do[bool](t, s, configentry.NewPut(e, nil)) }
	all := issuers(t)
	put(all[0].Provider(t))
	put(all[1].Provider(t))
	put(&api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: "db", JWT: &api.IntentionJWT{Providers: []api.IntentionJWTProvider{{Name: "one"}}},
		Sources: []api.SourceIntention{{Name: "web", Action: api.Allow}, {Name: "api", Action: api.Deny}}})
	policy := func() []*intention.Rule {
		return nounstore.Values[*intention.Rule](t, s, intention.Policy{Destination: "db"})
	}
	rules := policy()
	if len(rules) != 3 || rules[1].HTTP == rules[0].HTTP || len(rules[2].Providers) != 1 || rules[2].Providers[0].Name != "one" {
		t.Fatalf("got %+v, %+v, %+v", rules[0], rules[1], rules[2])
	}
	if d := intention.Decide(rules, "web"); d.Allowed {
		t.Errorf("a connection that carries no token: %+v", d)
	}
	changed := all[0].Provider(t)
	changed.Issuer = "another"
	other := all[1].Provider(t)
	other.Issuer = "another"
	for name, c := range map[string]struct {
		e    api.ConfigEntry
		want bool
	}{"its provider": {changed, true}, "another": {other, false}} {
		if got := s.Wakes(t, configentry.NewPut(c.e, nil), intention.Policy{Destination: "db"})[0]; got != c.want {
			t.Errorf("%s wakes it: %t", name, got)
		}
	}
	if got := policy()[2].Providers[0].Issuer; got != "another" {
		t.Errorf("the issuer is %q", got)
	}
}
