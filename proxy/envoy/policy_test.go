package envoy

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// lets tells what Envoy does with a caller: the rules of the RBAC filter that let it pass, and whether the handshake does.
func (c compiled) lets(caller string) (rules []string, handshake bool) {
	for _, n := range c.names {
		handshake = handshake || n.GetExact() == caller || n.GetSafeRegex() != nil && whole(n.GetSafeRegex().GetRegex()).MatchString(caller)
	}
	for id, p := range c.rbac.GetPolicies() {
		for _, principal := range p.GetPrincipals() {
			pattern := principal.GetIdentifier().(*rbacv3.Principal_Authenticated_).Authenticated.GetPrincipalName().GetSafeRegex().GetRegex()
			if whole(pattern).MatchString(caller) {
				rules = append(rules, id)
				break
			}
		}
	}
	return rules, handshake
}

func whole(pattern string) *regexp.Regexp { return regexp.MustCompile(`\A(?:` + pattern + `)\z`) }

// What Envoy is told lets exactly those pass that the policy does: a second, naive, version of the rule is Policy.Authorize.
func TestEnvoyLetsPassWhomThePolicyLetsPass(t *testing.T) {
	names := []string{"web", "we", "w", "web2", "a.b", "aXb", "web-api", "über", "x y", "*"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := &snapshot.Policy{TrustDomain: "td.consul", DefaultAllow: r.IntN(2) == 0}
		for i := range r.IntN(6) {
			rule := snapshot.Rule{ID: fmt.Sprint("rule-", i), Source: names[r.IntN(len(names))], Allow: r.IntN(2) == 0}
			switch r.IntN(8) {
			case 0:
				rule.Namespace = "other"
			case 1:
				rule.Namespace = api.DefaultTenant
			case 2:
				rule.Peer = "cloud"
			case 3:
				rule.HTTP = true
			}
			p.Rules = append(p.Rules, rule)
		}
		c := compile(p)
		if len(c.problems) > 0 {
			t.Fatalf("%+v: %v", p, c.problems)
		}
		for _, name := range names {
			for _, i := range []snapshot.Identity{
				{TrustDomain: "td.consul", Datacenter: "dc1", Service: name},
				{TrustDomain: "td.consul", Datacenter: "dc-2", Service: name, Namespace: "other"},
				{TrustDomain: "tdxconsul", Datacenter: "dc1", Service: name},
				{TrustDomain: "td.consul", Datacenter: "dc1", Service: name, Partition: "other"},
			} {
				rules, handshake := c.lets(i.String())
				want := p.Authorize(i.String())
				if handshake != (len(rules) > 0) {
					t.Fatalf("%+v: %s: the handshake says %t, the filter %v", p, i, handshake, rules)
				}
				if handshake && !want.Allowed {
					t.Fatalf("%+v: %s passes, though %s", p, i, want.Why)
				}
				if i.Namespace == "" && i.Partition == "" && handshake != want.Allowed {
					t.Fatalf("%+v: %s: passes %t, want %t", p, i, handshake, want.Allowed)
				}
			}
		}
		for _, stranger := range []string{"", "spiffe://td.consul", "spiffe://td.consul/agent/client/dc/dc1/id/n", "denied:everybody", "web"} {
			if rules, _ := c.lets(stranger); len(rules) > 0 {
				t.Fatalf("%+v: %q passes by %v", p, stranger, rules)
			}
		}
	}
}

func TestAnEmptyPolicyLetsNobodyPass(t *testing.T) {
	c := compile(&snapshot.Policy{TrustDomain: "td"})
	if len(c.names) != 1 || c.names[0].GetExact() != nobody || len(c.rbac.GetPolicies()) != 0 || c.rbac.GetAction() != rbacv3.RBAC_ALLOW {
		t.Errorf("%+v", c)
	}
}

func TestARuleThatCannotBeWrittenLetsNobodyPassAndSaysSo(t *testing.T) {
	p := &snapshot.Policy{TrustDomain: "td"}
	for i := range 3000 {
		p.Rules = append(p.Rules, snapshot.Rule{ID: "d", Source: fmt.Sprintf("%x-denied-service", rand.Uint64()+uint64(i))})
	}
	p.Rules = append(p.Rules, snapshot.Rule{ID: "rest", Source: api.Wildcard, Allow: true})
	c := compile(p)
	if len(c.problems) != 1 || !strings.Contains(c.problems[0], `"rest"`) {
		t.Errorf("problems: %v", c.problems)
	}
	if rules, handshake := c.lets("spiffe://td/ns/default/dc/dc1/svc/web"); handshake || len(rules) > 0 {
		t.Error("somebody passes")
	}
}

func FuzzComplement(f *testing.F) {
	f.Add("web", "web2", "we")
	f.Add("a", "", "é")
	f.Fuzz(func(t *testing.T, a, b, caller string) {
		g := grant{rule: "r", tenant: tenant{"default", "default"}, source: "*", except: []string{a, b}}
		pattern, err := g.pattern("td")
		if err != nil {
			t.Skip()
		}
		i := snapshot.Identity{TrustDomain: "td", Datacenter: "dc1", Service: caller}
		want := caller != "" && caller != a && caller != b
		if got := whole(pattern).MatchString(i.String()); got != want {
			t.Errorf("all but %q and %q: %q passes %t, want %t", a, b, caller, got, want)
		}
	})
}
