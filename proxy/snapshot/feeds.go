package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/filter"
	"github.com/parleymesh/parley/server/verb"
)

// judgeEvery is how often a token is judged again: nothing tells when its rights change.
const judgeEvery = 30 * time.Second

// permissionFeed follows whether the token may have the service's certificate. Its value is true.
type permissionFeed struct{ service, token string }

func (f permissionFeed) String() string { return "permission for " + f.service }

func (f permissionFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	for {
		known, err := a.judge(ctx, f.service, f.token)
		if err != nil {
			return err
		}
		set(known)
		select {
		case <-time.After(judgeEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judge returns true, or why the token may not have the service's certificate: ErrDenied, or what passes.
func (a *Assembler) judge(ctx context.Context, service, token string) (bool, error) {
	if a.o.Authorizer == nil {
		return true, nil
	}
	d, err := a.o.Authorizer.Decide(ctx, token, api.Permission{Resource: "service", Name: service, Access: api.Write})
	if err != nil {
		return false, denied(err)
	}
	if !d.Allowed {
		return false, denied(api.Errorf(http.StatusForbidden, "service:write on %q is missing: %s", service, d.Why))
	}
	return true, nil
}

// denied marks a refusal for want of permission.
func denied(err error) error {
	if s := api.StatusOf(err); s == http.StatusForbidden || s == http.StatusUnauthorized {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// leafFeed follows a service's certificate. Its value is an api.Leaf.
type leafFeed struct{ service, token string }

func (f leafFeed) String() string { return "leaf certificate of " + f.service }

func (f leafFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	for {
		leaf, changed, err := a.o.Leaves.Leaf(ctx, f.service, f.token)
		if err != nil {
			return denied(err)
		}
		leaf.CreateIndex, leaf.ModifyIndex = 0, 0
		set(leaf)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// trust is whom the mesh trusts.
type trust struct {
	domain string
	bundle string // PEM
}

// rootsFeed follows the roots. Its value is a trust.
type rootsFeed struct{ token string }

func (f rootsFeed) String() string { return "roots" }

func (f rootsFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	return watch(ctx, a, verb.Options{Token: f.token}, rootsQuery(), set, func(answer verb.Answer) (any, error) {
		roots, err := only[*api.CARoots](answer)
		if err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
		var bundle strings.Builder
		for _, r := range roots.Roots {
			for _, cert := range append([]string{r.RootCert}, r.IntermediateCerts...) {
				if cert = strings.TrimSpace(cert); cert != "" {
					bundle.WriteString(cert + "\n")
				}
			}
		}
		if bundle.Len() == 0 || roots.TrustDomain == "" {
			return nil, errors.New("roots: there is no root certificate yet")
		}
		return trust{roots.TrustDomain, bundle.String()}, nil
	})
}

// centralFeed follows what config entries say of a service's proxies. Its value is a *configentry.Defaults.
type centralFeed struct{ service, token string }

func (f centralFeed) String() string { return "defaults of the proxies of " + f.service }

func (f centralFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	return watch(ctx, a, verb.Options{Token: f.token}, centralQuery(f.service), set, func(answer verb.Answer) (any, error) {
		return only[*configentry.Defaults](answer)
	})
}

// chainFeed follows a service's discovery chain. Its value is an *api.DiscoveryChain.
type chainFeed struct{ service, protocol, token string }

func (f chainFeed) String() string { return "discovery chain of " + f.service }

func (f chainFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	return watch(ctx, a, verb.Options{Token: f.token}, chainQuery(f.service, f.protocol, a.o.Datacenter), set, func(answer verb.Answer) (any, error) {
		return only[*api.DiscoveryChain](answer)
	})
}

// policyFeed follows who may call a service. Its value is a Policy.
type policyFeed struct{ service, token string }

func (f policyFeed) String() string { return "intentions of " + f.service }

func (f policyFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	return watch(ctx, a, verb.Options{Token: f.token}, policyQuery(f.service), set, readPolicy)
}

// endpointsFeed follows the instances of a target. Its value is an *Endpoints. Nothing else of the target is part of it than what tells
// which instances they are: they outlive a change of how they are called.
type endpointsFeed struct {
	target      api.Target
	trustDomain string
	token       string
}

func newEndpointsFeed(t api.Target, trustDomain, token string) endpointsFeed {
	return endpointsFeed{trustDomain: trustDomain, token: token, target: api.Target{
		ID: t.ID, Service: t.Service, ServiceSubset: t.ServiceSubset, Namespace: t.Namespace, Partition: t.Partition,
		Datacenter: t.Datacenter, Subset: t.Subset, Name: t.Name, SNI: t.SNI,
	}}
}

func (f endpointsFeed) String() string { return "endpoints of " + f.target.ID }

func (f endpointsFeed) follow(ctx context.Context, a *Assembler, set func(any)) error {
	o := verb.Options{Token: f.token}
	if f.target.Datacenter != a.o.Datacenter {
		o.Datacenter = f.target.Datacenter
	}
	selected, err := selection(f.target.Subset.Filter)
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "the filter of subset %q: %v", f.target.ServiceSubset, err)
	}
	q := catalog.Health{Service: f.target.Service, Mesh: true}
	return watch(ctx, a, o, q, set, func(answer verb.Answer) (any, error) {
		return f.endpoints(verb.Values[*api.ServiceEntry](answer), selected), nil
	})
}

// selection returns what tells the instances of a subset from the others.
func selection(expression string) (func(*api.ServiceEntry) bool, error) {
	if expression == "" {
		return func(*api.ServiceEntry) bool { return true }, nil
	}
	f, err := filter.Compile(expression, reflect.TypeFor[api.ServiceEntry]())
	if err != nil {
		return nil, err
	}
	return func(e *api.ServiceEntry) bool { return f.Match(e) }, nil
}

// endpoints turns the catalog's entries into the target's instances.
func (f endpointsFeed) endpoints(entries []*api.ServiceEntry, selected func(*api.ServiceEntry) bool) *Endpoints {
	e := &Endpoints{Target: f.target, SNI: SNI(f.target, f.trustDomain), SPIFFE: []string{Identity{
		TrustDomain: f.trustDomain, Partition: f.target.Partition, Namespace: f.target.Namespace,
		Datacenter: f.target.Datacenter, Service: f.target.Service,
	}.String()}}
	for _, entry := range entries {
		if entry.Service.Port <= 0 || !selected(entry) {
			continue // without a port it takes no calls over the network
		}
		e.Instances = append(e.Instances, instanceOf(entry, f.target.Subset.OnlyPassing))
	}
	slices.SortFunc(e.Instances, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Address.Host, b.Address.Host), cmp.Compare(a.Address.Port, b.Address.Port),
			cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
	})
	return e
}

func instanceOf(entry *api.ServiceEntry, onlyPassing bool) Instance {
	s := entry.Service.Normalized()
	i := Instance{Node: entry.Node.Node, ID: s.ID, Address: Address{Host: s.Address, Port: s.Port}}
	if i.Address.Host == "" {
		i.Address.Host = entry.Node.Address
	}
	switch i.Health = api.WorstStatus(entry.Checks); {
	case i.Health == api.Passing:
		i.Weight = s.Weights.Passing
	case i.Health == api.Warning && !onlyPassing:
		i.Weight = s.Weights.Warning
	default:
		i.Health = api.Critical
	}
	return i
}

// only returns the one row of an answer.
func only[T any](answer verb.Answer) (T, error) {
	if len(answer.Rows) != 1 {
		var none T
		return none, fmt.Errorf("got %d rows in place of one", len(answer.Rows))
	}
	return answer.Rows[0].Value.(T), nil
}
