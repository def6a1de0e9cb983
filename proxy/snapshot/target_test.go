package snapshot

import (
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// A proxy that knows connections only carries a chain out whole, or says what it cannot do.
func TestWhatTakesMoreThanConnectionsIsRefusedByName(t *testing.T) {
	const start = "resolver:db.default.default.dc1"
	plain := func() *Upstream {
		return &Upstream{ID: "db", Chain: &api.DiscoveryChain{StartNode: start, Protocol: "http", Nodes: map[string]api.DiscoveryNode{start: {
			Type: api.DiscoveryNodeResolver, Resolver: &api.DiscoveryResolver{Target: "db.default.default.dc1", ConnectTimeout: api.Duration(time.Second)},
		}}}}
	}
	if target, timeout, err := plain().Target(); target != "db.default.default.dc1" || timeout != time.Second || err != nil {
		t.Errorf("%s, %s, %v", target, timeout, err)
	}
	change := func(do func(n *api.DiscoveryNode)) func(u *Upstream) {
		return func(u *Upstream) {
			n := u.Chain.Nodes[start]
			do(&n)
			u.Chain.Nodes[start] = n
		}
	}
	for want, do := range map[string]func(u *Upstream){
		`of type "router"`:          change(func(n *api.DiscoveryNode) { n.Type = api.DiscoveryNodeRouter }),
		`of type "splitter"`:        change(func(n *api.DiscoveryNode) { n.Type = api.DiscoveryNodeSplitter }),
		`fails over to ["x"]`:       change(func(n *api.DiscoveryNode) { n.Resolver.Failover = &api.DiscoveryFailover{Targets: []string{"x"}} }),
		"gives requests 2s":         change(func(n *api.DiscoveryNode) { n.Resolver.RequestTimeout = api.Duration(2 * time.Second) }),
		"by maglev":                 change(func(n *api.DiscoveryNode) { n.LoadBalancer = &api.LoadBalancer{Policy: api.BalanceMaglev} }),
		"has limits":                func(u *Upstream) { u.Config = Config{"limits": map[string]any{"max_connections": 1}} },
		"has passive_health_check":  func(u *Upstream) { u.Config = Config{"passive_health_check": map[string]any{"interval": "1s"}} },
		"has envoy_listener_json":   func(u *Upstream) { u.Config = Config{"envoy_listener_json": "{}"} },
		"upstream db: it is away":   func(u *Upstream) { u.Unsupported = "it is away" },
		"upstream db: no discovery": func(u *Upstream) { u.Chain = nil },
	} {
		u := plain()
		do(u)
		if _, _, err := u.Target(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	u := plain()
	u.Config = Config{"connect_timeout_ms": 250}
	if _, timeout, err := u.Target(); timeout != 250*time.Millisecond || err != nil {
		t.Errorf("%s, %v", timeout, err)
	}
}
