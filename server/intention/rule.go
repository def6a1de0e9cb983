package intention

import (
	"fmt"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Rule is an intention as it concerns one destination: whose calls it decides, and how.
type Rule struct {
	ID      string // stable; shown wherever the rule decides. Empty for the default
	Why     string // one line for people
	Default bool   `json:",omitempty"` // it decides when no intention does, and comes last

	Source    string // a service's name, or "*"
	Namespace string `json:",omitempty"` // of the source; empty: default
	Partition string `json:",omitempty"`
	Peer      string `json:",omitempty"`

	Allow bool
	// HTTP says that requests decide, or tokens that they carry, which a TCP proxy cannot see. Allow is then false.
	HTTP bool `json:",omitempty"`
	// Permissions decide about requests: the first that matches one decides, and what none matches is denied. Without
	// any, all requests are allowed that carry what JWT asks for.
	Permissions []api.IntentionPermission `json:",omitempty"`
	// JWT is asked of every request that is to pass, besides what its permission asks for.
	JWT *api.IntentionJWT `json:",omitempty"`
	// Providers are those whose tokens the rules of the policy ask for. Only the default, which is always there, has them.
	Providers []*api.JWTProvider `json:",omitempty"`
}

// newRule makes a rule of a source of an entry. What is neither allowed nor left to requests is denied.
func newRule(e *api.ServiceIntentions, s *api.SourceIntention) *Rule {
	r := &Rule{
		ID: ruleID(e.Name, s), Source: s.Name, Namespace: s.Namespace, Partition: s.Partition, Peer: s.Peer,
		HTTP: len(s.Permissions) > 0 || e.JWT != nil && s.Action == api.Allow,
	}
	if r.HTTP {
		r.Permissions, r.JWT = s.Permissions, e.JWT
	}
	r.Allow = s.Action == api.Allow && !r.HTTP
	does := "denies"
	switch {
	case r.HTTP:
		does = "decides by HTTP request"
	case r.Allow:
		does = "allows"
	}
	r.Why = fmt.Sprintf("intention %s -> %s (precedence %d) %s", sourceName(s), e.Name, s.Precedence, does)
	return r
}

func ruleID(destination string, s *api.SourceIntention) string {
	if s.LegacyID != "" {
		return s.LegacyID
	}
	return "intention:" + sourceName(s) + "->" + destination
}

func sourceName(s *api.SourceIntention) string {
	if s.Peer != "" {
		return s.Name + "@" + s.Peer
	}
	return s.Name
}

// matches tells whether the rule is about a service of this datacenter's default tenant.
func (r *Rule) matches(source string) bool {
	if r.Default {
		return true
	}
	if r.Peer != "" || !isDefault(r.Namespace) || !isDefault(r.Partition) {
		return false
	}
	return r.Source == api.Wildcard || r.Source == source
}

func isDefault(tenant string) bool { return tenant == "" || tenant == api.DefaultTenant }

// Decide says whether source may connect, by a destination's rules in the order of Policy: the first that is about the
// source decides. Without any, as when the rules are not known, it may not.
func Decide(rules []*Rule, source string) api.Decision {
	for _, r := range rules {
		if r.matches(source) {
			return r.decision()
		}
	}
	return api.Decision{Why: "no rule is known for this destination, not even a default, so all is denied"}
}

func (r *Rule) decision() api.Decision {
	d := api.Decision{Allowed: r.Allow && !r.HTTP, Rule: r.ID, Why: r.Why}
	if r.HTTP {
		d.Why = strings.TrimSuffix(d.Why, ".") + ", so a connection alone is denied"
	}
	return d
}
