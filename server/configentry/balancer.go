package configentry

import (
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// The bounds that Envoy's own rules have.
const (
	maxRing        = 8 << 20
	minRingDefault = 1024
)

func checkBalancer(path string, b *api.LoadBalancer) error {
	if b == nil {
		return nil
	}
	err := oneOf(path+".Policy", b.Policy, api.BalanceRandom, api.BalanceRoundRobin, api.BalanceLeastRequest, api.BalanceRingHash, api.BalanceMaglev)
	if err != nil {
		return err
	}
	hashes := b.Policy == api.BalanceRingHash || b.Policy == api.BalanceMaglev
	switch {
	case b.RingHashConfig != nil && b.Policy != api.BalanceRingHash:
		return refusal("%s.RingHashConfig goes with the policy %q, not with %q", path, api.BalanceRingHash, b.Policy)
	case b.LeastRequestConfig != nil && b.Policy != api.BalanceLeastRequest:
		return refusal("%s.LeastRequestConfig goes with the policy %q, not with %q", path, api.BalanceLeastRequest, b.Policy)
	case len(b.HashPolicies) > 0 && !hashes:
		return refusal("%s.HashPolicies goes with the policies %q and %q, not with %q", path, api.BalanceRingHash, api.BalanceMaglev, b.Policy)
	}
	if err := checkRing(path+".RingHashConfig", b.RingHashConfig); err != nil {
		return err
	}
	if c := b.LeastRequestConfig; c != nil && c.ChoiceCount == 1 {
		return refusal("%s.LeastRequestConfig.ChoiceCount must be at least 2: among one there is no choice", path)
	}
	return at(path+".HashPolicies", b.HashPolicies, checkHashPolicy)
}

func checkRing(path string, r *api.RingHashConfig) error {
	if r == nil {
		return nil
	}
	for _, f := range []struct {
		name string
		size uint64
	}{{"MinimumRingSize", r.MinimumRingSize}, {"MaximumRingSize", r.MaximumRingSize}} {
		if f.size > maxRing {
			return refusal("%s.%s %d is out of range: at most %d", path, f.name, f.size, maxRing)
		}
	}
	if r.MaximumRingSize != 0 && r.MinimumRingSize > r.MaximumRingSize {
		return refusal("%s.MinimumRingSize %d is above MaximumRingSize %d", path, r.MinimumRingSize, r.MaximumRingSize)
	}
	if r.MaximumRingSize != 0 && r.MinimumRingSize == 0 && r.MaximumRingSize < minRingDefault {
		return refusal("%s.MaximumRingSize %d is below the minimum of %d that Envoy has; set MinimumRingSize as well", path, r.MaximumRingSize, minRingDefault)
	}
	return nil
}

func checkHashPolicy(path string, p *api.HashPolicy) error {
	fields := []string{api.HashHeader, api.HashCookie, api.HashQuery}
	switch {
	case p.SourceIP && (p.Field != "" || p.FieldValue != "" || p.CookieConfig != nil):
		return refusal("%s.SourceIP stands alone: a policy hashes where a request came from, or one field of it", path)
	case p.SourceIP:
		return nil
	case !slices.Contains(fields, p.Field):
		return refusal("%s.Field %q is not known: use %s, or set SourceIP", path, p.Field, strings.Join(fields, ", "))
	case p.FieldValue == "":
		return refusal("%s.FieldValue is required: the name of the %s", path, strings.ReplaceAll(p.Field, "_", " "))
	case p.CookieConfig != nil && p.Field != api.HashCookie:
		return refusal("%s.CookieConfig goes with the field %q, not with %q", path, api.HashCookie, p.Field)
	case p.CookieConfig != nil && p.CookieConfig.Session && p.CookieConfig.TTL != 0:
		return refusal("%s.CookieConfig has Session and TTL, which exclude each other", path)
	case p.Field == api.HashHeader:
		if err := checkHeaderName(path+".FieldValue", p.FieldValue, true); err != nil {
			return err
		}
	}
	if c := p.CookieConfig; c != nil {
		return checkDuration(path+".CookieConfig.TTL", time.Duration(c.TTL))
	}
	return nil
}
