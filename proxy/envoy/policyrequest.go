package envoy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/intention"
)

// What is added to the name of a rule that denies.
const (
	denied       = ": denied"
	noValidToken = ": no valid token" // it would allow the request with one
	wrongClaims  = ": wrong claims"   // likewise
)

// maxPermissions bounds the permissions of one rule. Each excludes all before it, so what is sent grows with their square: this many
// are some megabytes.
const maxPermissions = 500

// outcome is one way in which a rule decides. Those of a rule, and so of a policy, exclude one another: of any request exactly one
// is true, or none if its caller is not of the mesh.
type outcome struct {
	name   string // of what decides: a rule, or a permission of one
	denial string // empty: it allows
	when   *rbacv3.Permission
}

// requestPolicy is a policy ready for Envoy's filter of requests.
type requestPolicy struct {
	// outcomes are what may become of a request, by their names. A name that ends in what is added to rules that deny is a
	// denial; what none of them is true of is denied, too.
	outcomes *rbacv3.RBAC
	problems []string
}

// compileRequests turns a policy in which the first match decides into one in which any may. It fails closed: a rule that cannot be
// written down lets nobody pass. The tokens of the verified providers are known to Envoy, those of others are not.
func compileRequests(p *snapshot.Policy, verified []string) requestPolicy {
	c := requestPolicy{outcomes: newRBAC()}
	rules := append(slices.Clip(p.Rules), snapshot.Rule{ID: DefaultRule, Source: api.Wildcard, Allow: p.DefaultAllow})
	for i, r := range rules {
		if r.Peer != "" {
			continue // peers are not trusted yet
		}
		g := grant{rule: r.ID, tenant: tenantOf(r), source: r.Source}
		if !g.subtract(rules[:i], func(snapshot.Rule) bool { return false }) {
			continue
		}
		outcomes, err := ruleOutcomes(&r, verified)
		if err != nil {
			c.problems = append(c.problems, fmt.Sprintf("rule %q cannot be carried out: %v; it lets nobody pass", r.ID, err))
			outcomes = []outcome{{r.ID, denied, always()}}
		}
		callers := g.principal(p.TrustDomain)
		for _, o := range outcomes {
			c.add(o, callers)
		}
	}
	return c
}

func newRBAC() *rbacv3.RBAC {
	return &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{}}
}

// add adds an outcome for some callers. Of rules that bear one name each keeps its own policy.
func (c *requestPolicy) add(o outcome, callers *rbacv3.Principal) {
	name := o.name + o.denial
	for n := 2; c.outcomes.Policies[name] != nil; n++ {
		name = fmt.Sprintf("%s (%d)%s", o.name, n, o.denial)
	}
	c.outcomes.Policies[name] = &rbacv3.Policy{Permissions: []*rbacv3.Permission{o.when}, Principals: []*rbacv3.Principal{callers}}
}

// principal is the grant's callers: a service, or all of the tenant but some.
func (g *grant) principal(trustDomain string) *rbacv3.Principal {
	prefix := g.tenant.pattern(trustDomain)
	if g.source != api.Wildcard {
		return caller(prefix + regexp.QuoteMeta(url.PathEscape(g.source)))
	}
	all := caller(prefix + `[^/]+`)
	if len(g.except) == 0 {
		return all
	}
	names := make([]string, len(g.except))
	for i, name := range g.except {
		names[i] = regexp.QuoteMeta(url.PathEscape(name))
	}
	others := caller(prefix + "(?:" + strings.Join(names, "|") + ")")
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: []*rbacv3.Principal{
		all, {Identifier: &rbacv3.Principal_NotId{NotId: others}},
	}}}}
}

// caller has a SPIFFE id that matches a pattern as a whole.
func caller(pattern string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
		Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: matching(pattern)},
	}}
}

// ruleOutcomes returns the ways in which a rule decides about its own callers.
func ruleOutcomes(r *snapshot.Rule, verified []string) ([]outcome, error) {
	switch {
	case !r.HTTP && r.Allow:
		return []outcome{{r.ID, "", always()}}, nil
	case !r.HTTP:
		return []outcome{{r.ID, denied, always()}}, nil
	case len(r.Permissions) == 0:
		return tokenOutcomes(r.ID, nil, verified, r.JWT), nil
	}
	if n := len(r.Permissions); n > maxPermissions {
		return nil, fmt.Errorf("it has %d permissions, at most %d are sent", n, maxPermissions)
	}
	var out []outcome
	var earlier []*rbacv3.Permission
	for i := range r.Permissions {
		p := &r.Permissions[i]
		matches, err := httpPermission(p.HTTP)
		if err != nil {
			return nil, fmt.Errorf("permission %d: %w", i+1, err)
		}
		first := []*rbacv3.Permission{matches}
		if len(earlier) > 0 {
			first = append(first, not(anyOf(earlier...)))
		}
		id := intention.PermissionID(r.ID, i)
		if p.Action == api.Allow {
			out = append(out, tokenOutcomes(id, first, verified, r.JWT, p.JWT)...)
		} else {
			out = append(out, outcome{id, denied, allOf(first...)})
		}
		earlier = append(slices.Clip(earlier), matches)
	}
	return append(out, outcome{r.ID, denied, not(anyOf(earlier...))}), nil
}

// tokenOutcomes allows what some conditions are true of, if it carries all the tokens that are asked for.
func tokenOutcomes(id string, when []*rbacv3.Permission, verified []string, asked ...*api.IntentionJWT) []outcome {
	var valid, right []*rbacv3.Permission
	for _, j := range asked {
		if j == nil {
			continue
		}
		var tokens, claims []*rbacv3.Permission
		for i := range j.Providers {
			if p := &j.Providers[i]; slices.Contains(verified, p.Name) {
				tokens = append(tokens, validToken(p.Name))
				claims = append(claims, rightToken(p))
			}
		}
		valid, right = append(valid, anyOf(tokens...)), append(right, anyOf(claims...))
	}
	when = slices.Clip(when) // each outcome adds to it
	if len(valid) == 0 {
		return []outcome{{id, "", allOf(when...)}}
	}
	return []outcome{
		{id, "", allOf(append(when, right...)...)},
		{id, noValidToken, allOf(append(when, not(allOf(valid...)))...)},
		{id, wrongClaims, allOf(append(when, allOf(valid...), not(allOf(right...)))...)},
	}
}

// requestDecision is where the filter that decides leaves the name of the outcome.
func requestDecision(value *matcherv3.StringMatcher) *matcherv3.MetadataMatcher {
	return metadata("envoy.filters.http.rbac", []string{"shadow_effective_policy_id"}, textValue(value))
}

// decideRequests decides, and lets everything go on. Envoy tells the name of the rule that it finds only of what it calls shadow
// rules, and tells it in time for the answer only if another filter gives it.
func decideRequests(p requestPolicy) *httprbacv3.RBAC {
	return &httprbacv3.RBAC{ShadowRules: p.outcomes}
}

// enforceRequests denies what has not been decided to be allowed. It has no rules of its own, so what is told and what is done are
// one decision.
func enforceRequests() *httprbacv3.RBAC {
	decided := func(value *matcherv3.StringMatcher) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{
			MetadataMatcher: requestDecision(value),
		}}}
	}
	rules := newRBAC()
	rules.Policies["decided"] = &rbacv3.Policy{
		Permissions: []*rbacv3.Permission{allOf(
			decided(matching(".+")),
			not(decided(ending(denied))), not(decided(ending(noValidToken))), not(decided(ending(wrongClaims))),
		)},
		Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}},
	}
	return &httprbacv3.RBAC{Rules: rules}
}

// answerUnauthenticated has a request that is denied for want of a valid token answered with 401. Envoy itself answers all that is
// denied with 403.
func answerUnauthenticated(m *hcmv3.HttpConnectionManager) {
	forbidden := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: accesslogv3.ComparisonFilter_EQ, Value: &corev3.RuntimeUInt32{DefaultValue: 403, RuntimeKey: "parley.forbidden"},
		}},
	}}
	unauthenticated := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
		MetadataFilter: &accesslogv3.MetadataFilter{
			Matcher: requestDecision(ending(noValidToken)), MatchIfKeyNotFound: wrapperspb.Bool(false),
		},
	}}
	if m.LocalReplyConfig == nil {
		m.LocalReplyConfig = &hcmv3.LocalReplyConfig{}
	}
	m.LocalReplyConfig.Mappers = append([]*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
			AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{forbidden, unauthenticated}},
		}},
		StatusCode: wrapperspb.UInt32(401),
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "www-authenticate", Value: "Bearer"},
		}},
	}}, m.LocalReplyConfig.GetMappers()...)
}
