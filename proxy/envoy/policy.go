package envoy

import (
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// DefaultRule is the name of the RBAC policy that stands for the default, which is no rule and so has no id.
const DefaultRule = "default"

// nobody is a URI that no certificate carries. An empty list of names would let everybody pass.
const nobody = "denied:everybody"

// maxPatternSize bounds the pattern of one rule, in bytes; a longer one, which takes some hundreds of denied names below one
// wildcard, is not sent, and the rule lets nobody pass. A pattern of this size keeps Envoy busy for half a second.
const maxPatternSize = 256 << 10

// maxProgramSize is what Envoy is told to take as a compiled pattern, in its regex engine's instructions. One of
// maxPatternSize has less than a tenth of it. The bound must never be met: Envoy would go on with the policy before.
const maxProgramSize = 1 << 20

// grant is one rule that lets callers pass, with those that rules of higher precedence take out of it.
type grant struct {
	rule   string
	tenant tenant
	source string   // a name or "*"
	except []string // names, only below a wildcard; sorted
}

type tenant struct{ partition, namespace string }

// grants flattens a policy, in which the first rule that matches decides, into rules of which any may decide. Nothing
// that is left out lets anybody pass.
func grants(p *snapshot.Policy) []grant {
	rules := p.Rules
	if p.DefaultAllow {
		rules = append(slices.Clip(rules), snapshot.Rule{ID: DefaultRule, Source: api.Wildcard, Allow: true})
	}
	var out []grant
	for i, r := range rules {
		if !r.Allows() || r.Peer != "" {
			continue
		}
		g := grant{rule: r.ID, tenant: tenantOf(r), source: r.Source}
		// Whoever an earlier rule lets pass may pass by this one as well.
		if !g.subtract(rules[:i], snapshot.Rule.Allows) {
			continue
		}
		out = append(out, g)
	}
	return out
}

// tenantOf returns where the rule's sources live. A rule for all namespaces is only carried out for the default one, which
// is the only one there is: that lets fewer pass, not more.
func tenantOf(r snapshot.Rule) tenant {
	t := tenant{orDefault(r.Partition), orDefault(r.Namespace)}
	if t.namespace == api.Wildcard {
		t.namespace = api.DefaultTenant
	}
	return t
}

// pattern matches the SPIFFE ids of the tenant's services up to their names, in any datacenter of the trust domain.
func (t tenant) pattern(trustDomain string) string {
	partition := ""
	if t.partition != api.DefaultTenant {
		partition = "/ap/" + url.PathEscape(t.partition)
	}
	return regexp.QuoteMeta("spiffe://"+trustDomain+partition+"/ns/"+url.PathEscape(t.namespace)+"/dc/") + `[^/]+/svc/`
}

// subtract takes out of the grant the sources of earlier rules, but for those that may stay. It returns false when nothing is left.
func (g *grant) subtract(earlier []snapshot.Rule, stays func(snapshot.Rule) bool) bool {
	for _, r := range earlier {
		everywhere := r.Namespace == api.Wildcard && orDefault(r.Partition) == g.tenant.partition
		if stays(r) || r.Peer != "" || (tenantOf(r) != g.tenant && !everywhere) {
			continue
		}
		if r.Source == api.Wildcard || r.Source == g.source {
			return false
		}
		if g.source == api.Wildcard {
			g.except = append(g.except, r.Source)
		}
	}
	slices.Sort(g.except)
	g.except = slices.Compact(g.except)
	return true
}

// pattern returns the regular expression that the SPIFFE ids of the grant's callers match as a whole, in any datacenter of
// the trust domain.
func (g *grant) pattern(trustDomain string) (string, error) {
	service := regexp.QuoteMeta(url.PathEscape(g.source))
	if g.source == api.Wildcard {
		service = allBut(g.except)
	}
	whole := g.tenant.pattern(trustDomain) + service
	if len(whole) > maxPatternSize {
		return "", fmt.Errorf("rule %q denies too many names below a wildcard: its pattern has %d bytes, at most %d are sent", g.rule, len(whole), maxPatternSize)
	}
	if _, err := syntax.Parse(whole, syntax.Perl); err != nil {
		return "", fmt.Errorf("rule %q cannot be written as a pattern: %w", g.rule, err)
	}
	return whole, nil
}

// allBut returns a pattern for every path segment but the names. The regex engine cannot negate, so the complement is
// written out along the names' tree of prefixes.
func allBut(names []string) string {
	var tails []string
	for _, n := range names {
		tails = append(tails, url.PathEscape(n))
	}
	slices.Sort(tails)
	return complement(append([]string{""}, tails...)) // a service has a name
}

// complement returns a pattern for every tail that is not among the given ones, which are sorted.
func complement(tails []string) string {
	var alternatives []string
	if len(tails) > 0 && tails[0] == "" {
		for len(tails) > 0 && tails[0] == "" {
			tails = tails[1:]
		}
	} else {
		alternatives = append(alternatives, "") // the end itself
	}
	var firsts, branches []string
	for len(tails) > 0 {
		c := tails[0][0]
		n := 0
		var below []string
		for n < len(tails) && tails[n][0] == c {
			below = append(below, tails[n][1:])
			n++
		}
		tails = tails[n:]
		literal := fmt.Sprintf(`\x%02x`, c)
		firsts = append(firsts, literal)
		branches = append(branches, literal+complement(below))
	}
	alternatives = append(alternatives, `[^/`+strings.Join(firsts, "")+`][^/]*`)
	return "(?:" + strings.Join(append(alternatives, branches...), "|") + ")"
}

// compiled is a policy ready for Envoy: the patterns of the certificates that may call, and the RBAC policy of each.
type compiled struct {
	names    []*matcherv3.StringMatcher
	rbac     *rbacv3.RBAC
	problems []string
}

// compile fails closed: a rule that cannot be written down lets nobody pass.
func compile(p *snapshot.Policy) compiled {
	c := compiled{rbac: &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{}}}
	for _, g := range grants(p) {
		pattern, err := g.pattern(p.TrustDomain)
		if err != nil {
			c.problems = append(c.problems, err.Error()+"; it lets nobody pass")
			continue
		}
		matcher := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: pattern},
		}}
		c.names = append(c.names, matcher)
		principal := &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
			Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: matcher},
		}}
		policy := c.rbac.Policies[g.rule]
		if policy == nil {
			policy = &rbacv3.Policy{Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}}}
			c.rbac.Policies[g.rule] = policy
		}
		policy.Principals = append(policy.Principals, principal)
	}
	if len(c.names) == 0 {
		c.names = []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: nobody}}}
	}
	return c
}

func orDefault(name string) string {
	if name == "" {
		return api.DefaultTenant
	}
	return name
}
