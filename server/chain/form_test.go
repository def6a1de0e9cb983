package chain

import (
	"fmt"

	"github.com/parleymesh/parley/api"
)

// wellFormed tells what is wrong with a chain's graph, whatever it was made of.
func wellFormed(c *api.DiscoveryChain) error {
	used := map[string]bool{}
	depth := map[string]int{api.DiscoveryNodeRouter: 2, api.DiscoveryNodeSplitter: 1, api.DiscoveryNodeResolver: 0}
	var walk func(name string, above int) error
	walk = func(name string, above int) error {
		n, ok := c.Nodes[name]
		if !ok {
			return fmt.Errorf("node %q is not there", name)
		}
		if name != n.Type+":"+n.Name {
			return fmt.Errorf("node %q is called %q of type %q", name, n.Name, n.Type)
		}
		d, known := depth[n.Type]
		if !known || d >= above {
			return fmt.Errorf("a %s beneath a stage of depth %d", n.Type, above)
		}
		used[name] = true
		if (len(n.Routes) > 0) != (d == 2) || (len(n.Splits) > 0) != (d == 1) || (n.Resolver != nil) != (d == 0) {
			return fmt.Errorf("node %q does not have what its type has", name)
		}
		for _, r := range n.Routes {
			if err := walk(r.NextNode, d); err != nil {
				return err
			}
		}
		for _, s := range n.Splits {
			if s.Definition == nil || !(s.Weight >= 0 && s.Weight <= 100) {
				return fmt.Errorf("split %+v", s)
			}
			if err := walk(s.NextNode, d); err != nil {
				return err
			}
		}
		if r := n.Resolver; r != nil {
			targets := []string{r.Target}
			if r.Failover != nil {
				if len(r.Failover.Targets) == 0 {
					return fmt.Errorf("node %q fails over to nothing", name)
				}
				targets = append(targets, r.Failover.Targets...)
			}
			seen := map[string]bool{}
			for _, id := range targets {
				if _, ok := c.Targets[id]; !ok || c.Targets[id].ID != id || seen[id] {
					return fmt.Errorf("target %q is not there, or there twice", id)
				}
				seen[id], used[id] = true, true
			}
		}
		return nil
	}
	if err := walk(c.StartNode, 3); err != nil {
		return err
	}
	for name := range c.Nodes {
		if !used[name] {
			return fmt.Errorf("nothing leads to the node %q", name)
		}
	}
	for id := range c.Targets {
		if !used[id] {
			return fmt.Errorf("nothing leads to the target %q", id)
		}
	}
	return nil
}
