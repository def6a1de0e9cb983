package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Policy says who may call a service: the rules that match it as a destination, the one with the highest precedence
// first, and what holds for a caller that none of them names.
type Policy struct {
	TrustDomain string
	Rules       []Rule
	// DefaultAllow is what happens to a caller that no rule names. The zero value refuses.
	DefaultAllow bool
	// DefaultWhy says where the default comes from.
	DefaultWhy string
	// Providers are those whose tokens the rules ask for, as far as there are such.
	Providers []*api.JWTProvider `json:",omitempty"`
}

// Rule is one intention as it concerns the service. Matching it to the destination and ordering has been done.
type Rule struct {
	ID        string // the rule's stable id, shown wherever it decides
	Why       string // one line for people
	Source    string // a service's name, or "*"
	Namespace string `json:",omitempty"` // of the source; empty: default
	Partition string `json:",omitempty"`
	Peer      string `json:",omitempty"`
	Allow     bool
	// HTTP says that requests decide, by Permissions, or the tokens that they carry. A connection alone is denied by such a rule.
	HTTP        bool                      `json:",omitempty"`
	Permissions []api.IntentionPermission `json:",omitempty"` // the first that matches decides
	JWT         *api.IntentionJWT         `json:",omitempty"` // asked of all that is to pass
}

// Allows tells whether the rule lets its source's connections pass, whatever they carry.
func (r Rule) Allows() bool { return r.Allow && !r.HTTP }

func (r Rule) decision() api.Decision {
	why := r.Why
	if r.HTTP {
		why += ", so a connection alone is denied: HTTP permissions and tokens need a proxy and a service that speak HTTP"
	}
	return api.Decision{Allowed: r.Allows(), Rule: r.ID, Why: why}
}

func (r Rule) matches(source Identity) bool {
	if r.Peer != "" {
		return false // peers have trust domains of their own, and none is trusted yet
	}
	if orDefault(r.Partition) != orDefault(source.Partition) {
		return false
	}
	if r.Namespace != api.Wildcard && orDefault(r.Namespace) != orDefault(source.Namespace) {
		return false
	}
	return r.Source == api.Wildcard || r.Source == source.Service
}

// Authorize decides about a connection of the caller whose certificate carries this SPIFFE id: the first rule that names it decides. What
// is not a service of this trust domain is refused whatever the rules say.
func (p *Policy) Authorize(spiffe string) api.Decision {
	source, err := ParseIdentity(spiffe)
	if err != nil {
		return api.Decision{Why: "the caller's certificate names no service: " + err.Error()}
	}
	if source.TrustDomain != p.TrustDomain {
		return api.Decision{Why: fmt.Sprintf("the caller is of trust domain %q, not of %q", source.TrustDomain, p.TrustDomain)}
	}
	for _, r := range p.Rules {
		if r.matches(source) {
			return r.decision()
		}
	}
	why := p.DefaultWhy
	if why == "" {
		why = "no intention matches, and the default is " + map[bool]string{true: "to allow", false: "to deny"}[p.DefaultAllow]
	}
	return api.Decision{Allowed: p.DefaultAllow, Why: why}
}

// Authorize decides about a caller of the snapshot's service. See Policy.Authorize.
func (s *Snapshot) Authorize(spiffe string) api.Decision { return s.Policy.Authorize(spiffe) }

// Hash tells two policies apart. Only what decides counts: a new description is no new policy.
func (p *Policy) Hash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %t\n", p.TrustDomain, p.DefaultAllow)
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "%q %q %q %q %q %t\n", r.ID, r.Source, orDefault(r.Namespace), orDefault(r.Partition), r.Peer, r.Allows())
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}

// Narrows tells whether the policy refuses anybody whom old let pass. Connections that were opened under old must then be
// judged again, which for some data planes means closing them.
func (p *Policy) Narrows(old *Policy) bool {
	for _, caller := range representatives(p, old) {
		was, is := caller, caller
		was.TrustDomain, is.TrustDomain = old.TrustDomain, old.TrustDomain
		if old.allows(was) && !p.allows(is) {
			return true
		}
	}
	return false
}

// allows is Authorize without its reasons.
func (p *Policy) allows(source Identity) bool {
	if source.TrustDomain != p.TrustDomain {
		return false
	}
	for _, r := range p.Rules {
		if r.matches(source) {
			return r.Allows()
		}
	}
	return p.DefaultAllow
}

// representatives returns callers of every kind that the policies can tell apart: each that a rule names, and one that no
// rule names, in each tenant that a rule names and in one that none does.
func representatives(policies ...*Policy) []Identity {
	type tenant struct{ partition, namespace string }
	tenants := map[tenant]bool{{"\x00", "\x00"}: true, {api.DefaultTenant, api.DefaultTenant}: true}
	names := map[string]bool{"\x00": true}
	for _, p := range policies {
		for _, r := range p.Rules {
			tenants[tenant{orDefault(r.Partition), orDefault(r.Namespace)}] = true
			tenants[tenant{orDefault(r.Partition), "\x00"}] = true
			names[r.Source] = true
		}
	}
	var all []Identity
	for t := range tenants {
		for name := range names {
			all = append(all, Identity{Partition: t.partition, Namespace: t.namespace, Service: name})
		}
	}
	return all
}
