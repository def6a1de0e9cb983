package envoy

import (
	"strings"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// Generation remembers what the open connections of a public listener were judged by. Its name is part of the listener. A
// listener of another generation is another listener to Envoy, which then drains the connections of the old one.
type Generation struct {
	Name string
	hash string           // of the policy
	full *snapshot.Policy // nil after a restart: then only the hash is known
}

// Next returns the generation in which policy is in force: the same as long as no caller loses anything by it. When the old policy
// is no longer known in full, any difference counts as a loss.
func (g Generation) Next(policy *snapshot.Policy) Generation {
	next := Generation{Name: g.Name, hash: policy.Hash(), full: policy}
	switch {
	case g.Name == "":
		next.Name = shortHash([]byte(next.hash))
	case g.hash == next.hash:
	case g.full == nil || policy.Narrows(g.full):
		// From the old name too, since a policy may come back after another one.
		next.Name = shortHash([]byte(g.Name), []byte(next.hash))
	}
	return next
}

// ReadGeneration recovers the generation from the version of a public listener that a reconnecting Envoy says it holds.
// After a restart of the agent nothing else knows it.
func ReadGeneration(listener, version string) (Generation, bool) {
	parts := strings.Split(version, ".")
	if !strings.HasPrefix(listener, publicListener+":") || len(parts) != 3 {
		return Generation{}, false
	}
	return Generation{Name: parts[0], hash: parts[1]}, true
}

// listenerVersion is what ReadGeneration reads. The policy's hash is in it, though the listener does not hold the policy, so
// that Envoy is told of every policy by a listener, even one that it finds unchanged.
func listenerVersion(generation string, policy *snapshot.Policy, content string) string {
	return generation + "." + policy.Hash() + "." + content
}

const (
	policySecret = "policy"
	policyFilter = "rbac"
	// requestFilter decides about requests, always by the newest rules, and so has no generation.
	requestFilter = "http_rules"
	// tokenFilter verifies the tokens that requests carry, and lets them go on as they are.
	tokenFilter = "http_jwt"
)

// policyName is the name of the policy's resource in a generation.
func policyName(stem, generation string) string { return stem + ":" + generation }

// CarriesPolicy tells whether a resource says who may call. One that Envoy rejects leaves the policy before it in force.
func CarriesPolicy(typeURL, name string) bool {
	if typeURL == FilterType && (name == requestFilter || name == tokenFilter) {
		return true
	}
	stem, ok := policyStem(name)
	return ok && (typeURL == SecretType && stem == policySecret || typeURL == FilterType && stem == policyFilter)
}

func policyStem(name string) (string, bool) {
	stem, generation, ok := strings.Cut(name, ":")
	return stem, ok && generation != "" && (stem == policySecret || stem == policyFilter)
}
