package chain

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Weights are reckoned in hundredths of a percent, which is the least that a splitter can tell apart.
const whole = 10_000

// maxLegs bounds a splitter whose legs lead to other splitters: more than that many cannot have a share each.
const maxLegs = whole

// flatten returns what a service's splitter leads to, with no other splitter on the way; nil if it has none.
func (c *compiler) flatten(service string) ([]api.DiscoverySplit, error) {
	if legs, done := c.legs[service]; done {
		return legs, nil
	}
	if slices.Contains(c.open, service) {
		return nil, fmt.Errorf("circular reference between splitters (%s): have one of them split to a ServiceSubset, or to something else",
			strings.Join(append(slices.Clone(c.open), service), " -> "))
	}
	s := c.entries.Splitter(service)
	if s == nil || len(s.Splits) == 0 {
		c.legs[service] = nil
		return nil, nil
	}
	if err := c.wantsHTTP(api.KindServiceSplitter, service); err != nil {
		return nil, err
	}
	if c.plain {
		return nil, nil
	}
	if err := c.agree(service); err != nil {
		return nil, err
	}
	c.open = append(c.open, service)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	var out []api.DiscoverySplit
	for i := range s.Splits {
		legs, err := c.leg(service, &s.Splits[i])
		if err == nil && len(out)+len(legs) > maxLegs {
			err = fmt.Errorf("more than %d destinations once splitters that lead to others are counted together: split less deep", maxLegs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q Splits[%d]: %w", api.KindServiceSplitter, service, i, err)
		}
		out = append(out, legs...)
	}
	c.legs[service] = out
	return out, nil
}

// leg returns what one split leads to: a resolver, or all that the splitter of another service leads to.
func (c *compiler) leg(service string, s *api.ServiceSplit) ([]api.DiscoverySplit, error) {
	to := first(s.Service, service)
	if to != service && s.ServiceSubset == "" {
		inner, err := c.flatten(to)
		if err != nil {
			return nil, err
		}
		if inner != nil {
			return beneath(s, inner), nil
		}
	}
	next, err := c.resolve(place{service: to, subset: s.ServiceSubset, datacenter: c.Datacenter})
	if err != nil {
		return nil, err
	}
	return []api.DiscoverySplit{{Definition: s, Weight: percent(units(s.Weight)), NextNode: next}}, nil
}

// beneath returns the legs of a splitter to which a split of another leads.
func beneath(outer *api.ServiceSplit, inner []api.DiscoverySplit) []api.DiscoverySplit {
	out := make([]api.DiscoverySplit, len(inner))
	weights := make([]int, len(inner))
	for i, leg := range inner {
		d := *leg.Definition
		d.RequestHeaders = then(outer.RequestHeaders, d.RequestHeaders)
		d.ResponseHeaders = then(d.ResponseHeaders, outer.ResponseHeaders)
		out[i] = api.DiscoverySplit{Definition: &d, NextNode: leg.NextNode}
		weights[i] = units(leg.Weight)
	}
	for i, w := range share(units(outer.Weight), weights) {
		out[i].Weight = percent(w)
	}
	return out
}

// share divides a weight as others stand to the whole. What rounding leaves over goes to those that it takes most from, the
// first of them first, so that nothing is lost.
func share(total int, weights []int) []int {
	out := make([]int, len(weights))
	order := make([]int, len(weights))
	sum, given := 0, 0
	for i, w := range weights {
		order[i] = i
		out[i] = total * w / whole
		sum, given = sum+w, given+out[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return total*weights[b]%whole - total*weights[a]%whole })
	for i := 0; i < len(order) && given < total*sum/whole; i++ {
		out[order[i]]++
		given++
	}
	return out
}

// units is a weight in hundredths of a percent. What is no weight counts for the nearest one.
func units(weight float32) int {
	w := math.Round(float64(weight) * 100)
	switch {
	case w > whole:
		return whole
	case w > 0:
		return int(w)
	}
	return 0
}

func percent(units int) float32 { return float32(float64(units) / 100) }

// hashing is how a splitter balances: like the first of its resolvers that chooses instances by a hash. The others need
// nothing of the request.
func (c *compiler) hashing(legs []api.DiscoverySplit) *api.LoadBalancer {
	for _, leg := range legs {
		if b := c.chain.Nodes[leg.NextNode].LoadBalancer; b != nil && (b.Policy == api.BalanceRingHash || b.Policy == api.BalanceMaglev) {
			return b
		}
	}
	return nil
}
