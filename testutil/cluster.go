package testutil

import (
	"context"
	"fmt"
	"testing"

	"github.com/parleymesh/parley/api"
)

// Cluster is servers and client agents that belong together.
type Cluster struct {
	Servers []*Agent
	Clients []*Agent
	t       testing.TB
}

// NewCluster starts so many servers and client agents as processes, and waits until every one of them is in the catalog and
// healthy. What else is said on an agent's command line can be given by its name.
func NewCluster(t testing.TB, servers, clients int, args ...func(name string) []string) *Cluster {
	t.Helper()
	return newCluster(t, servers, clients, Durable, args...)
}

// NewClusterOn is NewCluster with each agent on a host of its own.
func NewClusterOn(t testing.TB, host func(name string) Host, servers, clients int, args ...func(name string) []string) *Cluster {
	t.Helper()
	return newCluster(t, servers, clients, func(t testing.TB, name string, args ...string) *Agent {
		t.Helper()
		return On(t, host(name), name, args...)
	}, args...)
}

func newCluster(t testing.TB, servers, clients int, agent func(t testing.TB, name string, args ...string) *Agent, args ...func(name string) []string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for i := range servers {
		c.Servers = append(c.Servers, agent(t, fmt.Sprintf("server-%d", i+1),
			"-server", fmt.Sprintf("-bootstrap-expect=%d", servers), "-retry-interval=200ms"))
	}
	for i := range clients {
		c.Clients = append(c.Clients, agent(t, fmt.Sprintf("client-%d", i+1), "-retry-interval=200ms"))
	}
	for _, a := range c.All() {
		for _, more := range args {
			a.args = append(a.args, more(a.Name)...)
		}
		for _, s := range c.Servers {
			if s != a {
				a.args = append(a.args, "-retry-join="+s.SerfAddr())
			}
		}
		a.Start()
	}
	for _, a := range c.All() {
		a.WaitLeader()
	}
	Eventually(t, "all nodes to be healthy", func(ctx context.Context) error {
		checks, _, err := c.All()[len(c.All())-1].API.Health().State(ctx, api.Passing, nil)
		if err != nil {
			return err
		}
		if len(checks) < len(c.All()) {
			return fmt.Errorf("%d of %d are", len(checks), len(c.All()))
		}
		return nil
	})
	return c
}

// All is every agent.
func (c *Cluster) All() []*Agent { return append(append([]*Agent{}, c.Servers...), c.Clients...) }

// Leader returns the server that leads, and the others.
func (c *Cluster) Leader() (leader *Agent, followers []*Agent) {
	c.t.Helper()
	Eventually(c.t, "one leader", func(ctx context.Context) error {
		leader, followers = nil, nil
		for _, s := range c.Servers {
			if !s.Running() {
				continue
			}
			self, _, err := s.API.Agent().Self(ctx, nil)
			if err != nil {
				return err
			}
			if self.Stats["consul"]["leader"] == "true" {
				leader = s
			} else {
				followers = append(followers, s)
			}
		}
		if leader == nil {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	return leader, followers
}
