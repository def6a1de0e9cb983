package envoy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
)

// wholeWeight is all of a split: a leg's weight is in hundredths of a percent.
const wholeWeight = 100 * 100

// clusterNamer returns the cluster behind a resolver of a chain.
type clusterNamer func(resolver string) (cluster string, err error)

// chainRoutes translates a chain to what an HTTP listener does with a request. The name is the upstream's.
func chainRoutes(name string, chain *api.DiscoveryChain, clusters clusterNamer) (*routev3.RouteConfiguration, error) {
	c := chainWalk{chain, clusters}
	var routes []*routev3.Route
	start, err := c.node(chain.StartNode)
	if err != nil {
		return nil, err
	}
	if start.Type != api.DiscoveryNodeRouter {
		start.Routes = []api.DiscoveryRoute{{NextNode: chain.StartNode}}
	}
	for i := range start.Routes {
		route, err := c.route(&start.Routes[i])
		if err != nil {
			return nil, fmt.Errorf("route %d: %w", i, err)
		}
		routes = append(routes, route)
	}
	return routeConfiguration(name, routes), nil
}

// routeConfiguration has the routes for every host: a listener's address says already which service is meant.
func routeConfiguration(name string, routes []*routev3.Route) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:         name,
		VirtualHosts: []*routev3.VirtualHost{{Name: name, Domains: []string{"*"}, Routes: routes}},
	}
}

// chainWalk follows a chain.
type chainWalk struct {
	chain    *api.DiscoveryChain
	clusters clusterNamer
}

func (c chainWalk) node(name string) (api.DiscoveryNode, error) {
	n, ok := c.chain.Nodes[name]
	if !ok {
		return n, fmt.Errorf("the discovery chain has no node %q", name)
	}
	return n, nil
}

// route translates one route with what it leads to.
func (c chainWalk) route(r *api.DiscoveryRoute) (*routev3.Route, error) {
	action := &routev3.RouteAction{}
	if err := c.lead(action, r.NextNode); err != nil {
		return nil, err
	}
	out := &routev3.Route{Match: routeMatch(r.Definition), Action: &routev3.Route_Route{Route: action}}
	if r.Definition == nil || r.Definition.Destination == nil {
		return out, nil
	}
	to := r.Definition.Destination
	action.PrefixRewrite = to.PrefixRewrite
	if to.RequestTimeout > 0 {
		action.Timeout = durationpb.New(time.Duration(to.RequestTimeout))
	}
	if to.IdleTimeout > 0 {
		action.IdleTimeout = durationpb.New(time.Duration(to.IdleTimeout))
	}
	action.RetryPolicy = retryPolicy(to)
	out.RequestHeadersToAdd, out.RequestHeadersToRemove = headerChanges(to.RequestHeaders)
	out.ResponseHeadersToAdd, out.ResponseHeadersToRemove = headerChanges(to.ResponseHeaders)
	return out, nil
}

// lead has an action lead to what stands behind a splitter or resolver.
func (c chainWalk) lead(action *routev3.RouteAction, next string) error {
	n, err := c.node(next)
	if err != nil {
		return err
	}
	if n.LoadBalancer != nil {
		action.HashPolicy = hashPolicies(n.LoadBalancer)
	}
	switch {
	case n.Type == api.DiscoveryNodeResolver && n.Resolver != nil:
		if n.Resolver.RequestTimeout > 0 {
			action.Timeout = durationpb.New(time.Duration(n.Resolver.RequestTimeout))
		}
		cluster, err := c.clusters(next)
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: cluster}
		return err
	case n.Type == api.DiscoveryNodeSplitter && len(n.Splits) > 0:
		legs, err := c.legs(n.Splits)
		action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{Clusters: legs}}
		action.Timeout = c.longest(n.Splits)
		return err
	}
	return fmt.Errorf("the discovery chain leads to %q, of type %q, where a splitter or a resolver must be", next, n.Type)
}

// legs translates the legs of a split. Their weights are whole hundredths of a percent, and what rounding loses goes to the
// largest, so that they add up.
func (c chainWalk) legs(splits []api.DiscoverySplit) ([]*routev3.WeightedCluster_ClusterWeight, error) {
	var out []*routev3.WeightedCluster_ClusterWeight
	left, largest := int64(wholeWeight), 0
	for i, s := range splits {
		cluster, err := c.clusters(s.NextNode)
		if err != nil {
			return nil, err
		}
		weight := int64(math.Round(float64(s.Weight) * 100))
		weight = max(weight, 0)
		left -= weight
		leg := &routev3.WeightedCluster_ClusterWeight{Name: cluster, Weight: wrapperspb.UInt32(uint32(weight))}
		if d := s.Definition; d != nil {
			leg.RequestHeadersToAdd, leg.RequestHeadersToRemove = headerChanges(d.RequestHeaders)
			leg.ResponseHeadersToAdd, leg.ResponseHeadersToRemove = headerChanges(d.ResponseHeaders)
		}
		if s.Weight > splits[largest].Weight {
			largest = i
		}
		out = append(out, leg)
	}
	out[largest].Weight = wrapperspb.UInt32(uint32(max(int64(out[largest].GetWeight().GetValue())+left, 0)))
	return out, nil
}

// longest is the longest request timeout among a split's resolvers; nil when one of them sets none. A route has one for all legs.
func (c chainWalk) longest(splits []api.DiscoverySplit) *durationpb.Duration {
	var longest time.Duration
	for _, s := range splits {
		n, ok := c.chain.Nodes[s.NextNode]
		if !ok || n.Resolver == nil || n.Resolver.RequestTimeout <= 0 {
			return nil
		}
		longest = max(longest, time.Duration(n.Resolver.RequestTimeout))
	}
	return durationpb.New(longest)
}

// The conditions of Envoy's that the fields of a route stand for.
const (
	retryOnConnectFailure = "connect-failure"
	retryOnStatusCodes    = "retriable-status-codes"
)

// retryPolicy says when a request is tried again; nil if never.
func retryPolicy(to *api.RouteDestination) *routev3.RetryPolicy {
	on := slices.Clone(to.RetryOn)
	if to.RetryOnConnectFailure {
		on = append(on, retryOnConnectFailure)
	}
	if len(to.RetryOnStatusCodes) > 0 {
		on = append(on, retryOnStatusCodes)
	}
	if len(on) == 0 && to.NumRetries == 0 {
		return nil
	}
	slices.Sort(on)
	policy := &routev3.RetryPolicy{RetryOn: strings.Join(slices.Compact(on), ","), RetriableStatusCodes: to.RetryOnStatusCodes}
	if to.NumRetries > 0 {
		policy.NumRetries = wrapperspb.UInt32(to.NumRetries)
	}
	return policy
}

// headerChanges translates header modifiers. What is set comes before what is added, each in the order of the names.
func headerChanges(m *api.HeaderModifiers) (add []*corev3.HeaderValueOption, remove []string) {
	if m == nil {
		return nil, nil
	}
	for _, step := range []struct {
		headers map[string]string
		action  corev3.HeaderValueOption_HeaderAppendAction
	}{
		{m.Set, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD},
		{m.Add, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD},
	} {
		for _, name := range slices.Sorted(maps.Keys(step.headers)) {
			add = append(add, &corev3.HeaderValueOption{
				Header: &corev3.HeaderValue{Key: name, Value: step.headers[name]}, AppendAction: step.action,
			})
		}
	}
	return add, m.Remove
}

// hashPolicies say what of a request decides about its instance.
func hashPolicies(b *api.LoadBalancer) []*routev3.RouteAction_HashPolicy {
	var out []*routev3.RouteAction_HashPolicy
	for _, p := range b.HashPolicies {
		h := &routev3.RouteAction_HashPolicy{Terminal: p.Terminal}
		switch {
		case p.SourceIP:
			h.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
				ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
			}
		case p.Field == api.HashHeader:
			h.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: p.FieldValue}}
		case p.Field == api.HashQuery:
			h.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
				QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: p.FieldValue},
			}
		case p.Field == api.HashCookie:
			h.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: cookie(p)}
		default:
			continue
		}
		out = append(out, h)
	}
	return out
}

// cookie is one that Envoy makes where a request has none, if the policy says for how long.
func cookie(p api.HashPolicy) *routev3.RouteAction_HashPolicy_Cookie {
	c := &routev3.RouteAction_HashPolicy_Cookie{Name: p.FieldValue}
	if p.CookieConfig == nil {
		return c
	}
	c.Path = p.CookieConfig.Path
	ttl := time.Duration(p.CookieConfig.TTL)
	if p.CookieConfig.Session || ttl > 0 {
		if p.CookieConfig.Session {
			ttl = 0 // for as long as the client's session
		}
		c.Ttl = durationpb.New(ttl)
	}
	return c
}
