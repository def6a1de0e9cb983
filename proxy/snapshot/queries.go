package snapshot

import (
	"errors"

	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

func rootsQuery() verb.Query { return ca.Roots{} }

// chainQuery asks for a service's chain as whoever takes it for the protocol sees it; without one, as it is.
func chainQuery(service, protocol, datacenter string) verb.Query {
	q := configentry.Chain{Service: service, Datacenter: datacenter}
	q.Overrides.Protocol = protocol
	return q
}

func centralQuery(service string) verb.Query { return configentry.Central{Service: service} }

func policyQuery(service string) verb.Query { return intention.Policy{Destination: service} }

// readPolicy turns an answer into a Policy. One without its last row, the default, says nothing: what is not known is not
// allowed.
func readPolicy(answer verb.Answer) (any, error) {
	if answer.Filtered {
		return nil, errors.New("intentions: the token may not see all of them, and some of them are no policy")
	}
	rules := verb.Values[*intention.Rule](answer)
	if len(rules) == 0 || !rules[len(rules)-1].Default {
		return nil, errors.New("intentions: the default policy is not known yet")
	}
	return PolicyOf(rules), nil
}

// PolicyOf returns a destination's rules, of which the last is the default, as a proxy carries them out. The trust domain is left to
// be filled in.
func PolicyOf(rules []*intention.Rule) Policy {
	last := rules[len(rules)-1]
	p := Policy{DefaultAllow: last.Allow, DefaultWhy: last.Why, Providers: last.Providers}
	for _, r := range rules[:len(rules)-1] {
		p.Rules = append(p.Rules, Rule{
			ID: r.ID, Why: r.Why, Source: r.Source, Namespace: r.Namespace, Partition: r.Partition, Peer: r.Peer,
			Allow: r.Allow, HTTP: r.HTTP, Permissions: r.Permissions, JWT: r.JWT,
		})
	}
	return p
}
