package snapshot

import (
	"fmt"
	"time"

	"github.com/parleymesh/parley/api"
)

// DefaultConnectTimeout is how long a connection to an instance may take to be made when nobody says otherwise.
const DefaultConnectTimeout = 5 * time.Second

// Target returns the one target of the upstream's chain, which is all that a TCP upstream can follow, and how long a
// connection to one of its instances may take to be made.
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
	timeout := milliseconds(u.Config, "connect_timeout_ms", time.Duration(node.Resolver.ConnectTimeout))
	if timeout <= 0 {
		timeout = DefaultConnectTimeout
	}
	return node.Resolver.Target, timeout, nil
}

// LocalConnectTimeout is how long a connection to the proxy's own service may take to be made.
func (s *Snapshot) LocalConnectTimeout() time.Duration {
	if s.Proxy.Proxy == nil {
		return DefaultConnectTimeout
	}
	return milliseconds(s.Proxy.Proxy.Config, "local_connect_timeout_ms", DefaultConnectTimeout)
}

// milliseconds reads a duration from registered configuration, where it is a number as JSON, HCL or msgpack give it. One that is
// not there, or not positive, is absent.
func milliseconds(config map[string]any, key string, absent time.Duration) time.Duration {
	var ms int64
	switch n := config[key].(type) {
	case float64:
		ms = int64(n)
	case int:
		ms = int64(n)
	case int64:
		ms = n
	case uint64:
		ms = int64(min(n, 1<<62))
	}
	if ms <= 0 {
		return absent
	}
	return time.Duration(ms) * time.Millisecond
}
