package snapshot

import (
	"fmt"
	"time"

	"github.com/parleymesh/parley/api"
)

// DefaultConnectTimeout is how long a connection to an instance may take to be made when nobody says otherwise.
const DefaultConnectTimeout = 5 * time.Second

// Target returns the one target of the upstream's chain, which is all that a proxy can follow that knows connections only, and how
// long a connection to one of its instances may take to be made.
func (u *Upstream) Target() (id string, connectTimeout time.Duration, err error) {
	if u.Unsupported != "" {
		return "", 0, fmt.Errorf("upstream %s: %s", u.ID, u.Unsupported)
	}
	if u.Chain == nil {
		return "", 0, fmt.Errorf("upstream %s: no discovery chain", u.ID)
	}
	node, ok := u.Chain.Nodes[u.Chain.StartNode]
	if !ok || node.Type != api.DiscoveryNodeResolver || node.Resolver == nil {
		return "", 0, fmt.Errorf("upstream %s: its discovery chain begins with %q, of type %q, which is not carried out yet", u.ID, u.Chain.StartNode, node.Type)
	}
	if f := node.Resolver.Failover; f != nil && len(f.Targets) > 0 {
		return "", 0, fmt.Errorf("upstream %s: its discovery chain fails over to %q, which is not carried out yet", u.ID, f.Targets)
	}
	return node.Resolver.Target, u.ConnectTimeout(time.Duration(node.Resolver.ConnectTimeout)), nil
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
