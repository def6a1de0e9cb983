package envoy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/testutil/policycases"
)

func byRequest(permissions ...api.IntentionPermission) snapshot.Rule {
	return snapshot.Rule{ID: "web", Source: "web", HTTP: true, Permissions: permissions}
}

func permission(action string, h *api.IntentionHTTP) api.IntentionPermission {
	return api.IntentionPermission{Action: action, HTTP: h}
}

// outcomeNames are the names of all that may become of requests.
func outcomeNames(c requestPolicy) string {
	return strings.Join(slices.Sorted(maps.Keys(c.outcomes.GetPolicies())), ", ")
}

// What cannot be written takes its whole rule with it: a permission that denies must not be lost from before one that allows.
func TestARuleThatCannotBeWrittenDeniesAllRequestsOfItsSource(t *testing.T) {
	rest := permission(api.Allow, &api.IntentionHTTP{PathPrefix: "/"})
	header := func(h api.IntentionHTTPHeader) *api.IntentionHTTP {
		return &api.IntentionHTTP{Header: []api.IntentionHTTPHeader{h}}
	}
	for name, bad := range map[string]*api.IntentionHTTP{
		"nothing":             nil,
		"no condition":        {},
		"a pattern":           {PathRegex: "("},
		"a long pattern":      {PathRegex: strings.Repeat("a", maxPatternSize+1)},
		"a header's pattern":  header(api.IntentionHTTPHeader{Name: "x", Regex: "["}),
		"a header's name":     header(api.IntentionHTTPHeader{Name: "a\nb", Present: true}),
		"a header without":    header(api.IntentionHTTPHeader{Name: "x"}),
		"an inverted pattern": header(api.IntentionHTTPHeader{Name: "x", Regex: "[", Invert: true}),
	} {
		c := compileRequests(&snapshot.Policy{TrustDomain: "td", Rules: []snapshot.Rule{byRequest(permission(api.Deny, bad), rest)}}, nil)
		if got := outcomeNames(c); got != "default: denied, web: denied" || len(c.problems) != 1 || !strings.Contains(c.problems[0], `"web"`) {
			t.Errorf("%s: outcomes %s, problems %q", name, got, c.problems)
		}
	}
	many := byRequest(slices.Repeat([]api.IntentionPermission{rest}, maxPermissions+1)...)
	if c := compileRequests(&snapshot.Policy{TrustDomain: "td", Rules: []snapshot.Rule{many}}, nil); outcomeNames(c) != "default: denied, web: denied" {
		t.Errorf("too many: outcomes %s", outcomeNames(c))
	}
}

func TestOutcomesBearTheNameOfWhatDecides(t *testing.T) {
	token := &api.IntentionJWT{Providers: []api.IntentionJWTProvider{{Name: "one"}}}
	asks := permission(api.Allow, &api.IntentionHTTP{PathPrefix: "/b"})
	asks.JWT = token
	p := &snapshot.Policy{TrustDomain: "td", DefaultAllow: true, Rules: []snapshot.Rule{
		byRequest(permission(api.Deny, &api.IntentionHTTP{PathPrefix: "/a"}), asks),
		{ID: "peer", Source: "x", Peer: "east", Allow: true},
		{ID: "api", Source: "api", Allow: true}, {ID: "api", Source: "job"}, {ID: "api", Source: "cron", Allow: true},
		{ID: "hidden", Source: "web", Allow: true},
	}}
	const want = "api, api (2), api: denied, default, web#1: denied, web#2, web#2: no valid token, web#2: wrong claims, web: denied"
	if got := outcomeNames(compileRequests(p, []string{"one"})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.Rules = []snapshot.Rule{{ID: "all", Source: "*"}, {ID: "never", Source: "web", Allow: true}}
	if got := outcomeNames(compileRequests(p, nil)); got != "all: denied" {
		t.Errorf("after a rule for all: %s", got)
	}
}

func TestEverythingAboutTokensIsValidForEnvoy(t *testing.T) {
	one := policycases.NewIssuer(t, "one")
	keys := func(k api.JSONWebKeySet) *api.JWTProvider {
		p := one.Provider(t)
		p.JSONWebKeySet = &k
		return p
	}
	remote := func(uri string, c *api.JWKSCluster) *api.JWTProvider {
		return keys(api.JSONWebKeySet{Remote: &api.RemoteJWKS{
			URI: uri, JWKSCluster: c, RequestTimeoutMs: 5, CacheDuration: 7e9, FetchAsynchronously: true,
			RetryPolicy: &api.JWKSRetryPolicy{NumRetries: 2, RetryPolicyBackOff: &api.RetryBackOff{BaseInterval: 2e6, MaxInterval: 3e6}},
		}})
	}
	ca := func(a api.JWKSTrustedCA) *api.JWKSCluster {
		return &api.JWKSCluster{TLSCertificates: &api.JWKSTLSCertificates{TrustedCA: &a}, DiscoveryType: "LOGICAL_DNS", ConnectTimeout: 1e9}
	}
	full := one.Provider(t)
	full.CacheConfig = &api.JWTCache{Size: 7}
	full.Forwarding = &api.JWTForwarding{HeaderName: "x-claims", PadForwardPayloadHeader: true}
	full.Locations = append(full.Locations, api.JWTLocation{QueryParam: &api.JWTQueryParam{Name: "q"}}, api.JWTLocation{Cookie: &api.JWTCookie{Name: "c"}})
	for name, c := range map[string]struct {
		provider *api.JWTProvider
		problem  string // empty: it is carried out
	}{
		"everything":            {full, ""},
		"a file":                {keys(api.JSONWebKeySet{Local: &api.LocalJWKS{Filename: "/keys"}}), ""},
		"HTTP":                  {remote("http://keys.example.org/a", nil), ""},
		"an address":            {remote("http://192.0.2.1:8080", &api.JWKSCluster{DiscoveryType: "STATIC"}), ""},
		"HTTPS, a text":         {remote("https://keys.example.org/a", ca(api.JWKSTrustedCA{InlineString: "ca"})), ""},
		"HTTPS, bytes":          {remote("https://192.0.2.1/a", ca(api.JWKSTrustedCA{InlineBytes: []byte("ca")})), ""},
		"HTTPS, a file":         {remote("https://[2001:db8::1]:1/a", ca(api.JWKSTrustedCA{Filename: "/ca"})), ""},
		"HTTPS, an environment": {remote("https://keys.example.org:444/a", ca(api.JWKSTrustedCA{EnvironmentVariable: "CA"})), ""},
		"no keys":               {keys(api.JSONWebKeySet{}), "no keys"},
		"a name that is static": {remote("http://keys.example.org", &api.JWKSCluster{DiscoveryType: "STATIC"}), "IP address"},
		"EDS":                   {remote("http://keys.example.org", &api.JWKSCluster{DiscoveryType: "EDS"}), "EDS"},
		"no host":               {remote("keys", nil), "no host"},
		"a port":                {remote("http://a:99999", nil), "no port"},
		"an instance": {remote("https://a", &api.JWKSCluster{TLSCertificates: &api.JWKSTLSCertificates{
			CaCertificateProviderInstance: &api.JWKSCertificateProvider{InstanceName: "x"},
		}}), "TrustedCA"},
	} {
		s := httpExample(t, written{protocol: "http"})
		asks := permission(api.Allow, &api.IntentionHTTP{PathPrefix: "/"})
		asks.JWT = &api.IntentionJWT{Providers: []api.IntentionJWTProvider{{Name: "one"}}}
		s.Policy.Rules, s.Policy.Providers = []snapshot.Rule{byRequest(asks)}, []*api.JWTProvider{c.provider}
		r := NewBuilder().Build(s, "g")
		validate(t, r)
		all := strings.Join(r.Problems, "\n")
		if (c.problem == "") != (all == "") || !strings.Contains(all, c.problem) {
			t.Errorf("%s: problems %q, want %q", name, all, c.problem)
		}
		fetched := c.provider.JSONWebKeySet.Remote != nil && c.problem == ""
		if got := r.ByType[ClusterType][keysClusterName("one")] != nil; got != fetched {
			t.Errorf("%s: there is a cluster: %t", name, got)
		}
		if fetched {
			read(t, r, ClusterType, keysClusterName("one"), &clusterv3.Cluster{})
		}
	}
}

func TestRulesByRequestAreToldWhereThereAreNoRequests(t *testing.T) {
	s := example()
	s.Policy.Rules = []snapshot.Rule{byRequest(permission(api.Allow, &api.IntentionHTTP{PathPrefix: "/"}))}
	r := NewBuilder().Build(s, "g")
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], `"web"`) {
		t.Errorf("problems %q", r.Problems)
	}
	if c := compile(&s.Policy); len(c.rbac.GetPolicies()) != 0 || c.rbac.GetAction() != rbacv3.RBAC_ALLOW {
		t.Errorf("somebody passes: %v", c.rbac)
	}
}

// FuzzRequestPolicy wants whatever an operator writes to be valid for Envoy, or to deny.
func FuzzRequestPolicy(f *testing.F) {
	f.Add("/a", "GET", "x-a", "v", uint8(0))
	f.Add("(", "", ":path", "\xff", uint8(77))
	f.Fuzz(func(t *testing.T, path, method, name, value string, way uint8) {
		h := &api.IntentionHTTP{Header: []api.IntentionHTTPHeader{{Name: name, Invert: way&1 > 0, IgnoreCase: way&2 > 0}}}
		*[]*string{&h.PathExact, &h.PathPrefix, &h.PathRegex}[int(way>>2)%3] = strings.ToValidUTF8(path, "")
		c := &h.Header[0]
		*[]*string{&c.Exact, &c.Prefix, &c.Suffix, &c.Contains, &c.Regex}[int(way>>4)%5] = strings.ToValidUTF8(value, "")
		c.Name = strings.ToValidUTF8(name, "")
		if method != "" {
			h.Methods = []string{strings.ToValidUTF8(method, "")}
		}
		got := compileRequests(&snapshot.Policy{TrustDomain: "td", Rules: []snapshot.Rule{byRequest(permission(api.Deny, h), permission(api.Allow, &api.IntentionHTTP{PathPrefix: "/"}))}}, nil)
		if err := got.outcomes.ValidateAll(); err != nil {
			t.Error(err)
		}
		if len(got.problems) > 0 && outcomeNames(got) != "default: denied, web: denied" {
			t.Errorf("%q, but %s", got.problems, outcomeNames(got))
		}
	})
}
