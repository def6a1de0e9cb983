package snapshot

import (
	"fmt"
	"time"

	"github.com/parleymesh/parley/api"
)

// DefaultConnectTimeout is how long a connection to an instance may take to be made when nobody says otherwise.
const DefaultConnectTimeout = 5 * time.Second

// Target returns the one target of the upstream's chain, which is all that a proxy can follow that knows connections only, and how
// long a connection to one of its instances may take to be made. What asks for more is refused by name, and not in part ignored.
func (u *Upstream) Target() (id string, connectTimeout time.Duration, err error) {
	if u.Unsupported != "" {
		return "", 0, fmt.Errorf("upstream %s: %s", u.ID, u.Unsupported)
	}
	if u.Chain == nil {
		return "", 0, fmt.Errorf("upstream %s: no discovery chain", u.ID)
	}
	node := u.Chain.Nodes[u.Chain.StartNode]
	if what := u.beyondConnections(node); what != "" {
		return "", 0, fmt.Errorf("upstream %s: %s, which this proxy cannot do, since it forwards connections and knows no requests: "+
			"run the sidecar on Envoy (parley connect envoy)", u.ID, what)
	}
	return node.Resolver.Target, u.ConnectTimeout(time.Duration(node.Resolver.ConnectTimeout)), nil
}

// beyondConnections says what of the upstream takes more than to forward connections to one target; nothing if none does.
func (u *Upstream) beyondConnections(node api.DiscoveryNode) string {
	if node.Type != api.DiscoveryNodeResolver || node.Resolver == nil {
		return fmt.Sprintf("its discovery chain begins with %q, of type %q", u.Chain.StartNode, node.Type)
	}
	if f := node.Resolver.Failover; f != nil && len(f.Targets) > 0 {
		return fmt.Sprintf("its discovery chain fails over to %q", f.Targets)
	}
	if node.Resolver.RequestTimeout > 0 {
		return fmt.Sprintf("its resolver gives requests %s", node.Resolver.RequestTimeout)
	}
	if b := node.LoadBalancer; b != nil && (b.Policy == api.BalanceRingHash || b.Policy == api.BalanceMaglev) {
		return fmt.Sprintf("its resolver chooses instances by %s", b.Policy)
	}
	for _, key := range []string{"limits", "passive_health_check"} {
		if len(u.Config.Section(key)) > 0 {
			return fmt.Sprintf("its configuration has %s", key)
		}
	}
	for _, key := range []string{"envoy_listener_json", "envoy_cluster_json"} {
		if u.Config.String(key) != "" {
			return fmt.Sprintf("its configuration has %s", key)
		}
	}
	return ""
}

// ConnectTimeout is how long a connection to an instance may take to be made: what the upstream says, or else what its chain does.
func (u *Upstream) ConnectTimeout(chain time.Duration) time.Duration {
	if timeout, ok := u.Config.Milliseconds("connect_timeout_ms"); ok && timeout > 0 {
		return timeout
	}
	if chain > 0 {
		return chain
	}
	return DefaultConnectTimeout
}

// Config is the proxy's own configuration.
func (s *Snapshot) Config() Config {
	if s.Proxy.Proxy == nil {
		return nil
	}
	return s.Proxy.Proxy.Config
}

// LocalConnectTimeout is how long a connection to the proxy's own service may take to be made.
func (s *Snapshot) LocalConnectTimeout() time.Duration {
	if timeout, ok := s.Config().Milliseconds("local_connect_timeout_ms"); ok && timeout > 0 {
		return timeout
	}
	return DefaultConnectTimeout
}
