package envoy

import (
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// balance sets how an instance is chosen. What is 0 is left to Envoy.
func balance(c *clusterv3.Cluster, b *api.LoadBalancer) error {
	if b == nil {
		return nil
	}
	switch b.Policy {
	case "", api.BalanceRoundRobin:
	case api.BalanceRandom:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case api.BalanceLeastRequest:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if l := b.LeastRequestConfig; l != nil && l.ChoiceCount > 0 {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{
				LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{ChoiceCount: wrapperspb.UInt32(max(l.ChoiceCount, 2))},
			}
		}
	case api.BalanceRingHash:
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		if h := b.RingHashConfig; h != nil {
			c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{
				MinimumRingSize: ringSize(h.MinimumRingSize), MaximumRingSize: ringSize(h.MaximumRingSize),
			}}
		}
	case api.BalanceMaglev:
		c.LbPolicy = clusterv3.Cluster_MAGLEV
	default:
		return fmt.Errorf("load balancing policy %q is not known", b.Policy)
	}
	return nil
}

// ringSize leaves a bound that is not set to Envoy: a maximum of 0 would be one.
func ringSize(n uint64) *wrapperspb.UInt64Value {
	if n == 0 {
		return nil
	}
	return wrapperspb.UInt64(n)
}

// limit bounds what is opened towards a target; nil where the upstream bounds nothing. A limit of 0 lets nothing through.
func limit(u snapshot.Config) *clusterv3.CircuitBreakers {
	limits := u.Section("limits")
	t := &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     uint32Of(limits, "max_connections"),
		MaxPendingRequests: uint32Of(limits, "max_pending_requests"),
		MaxRequests:        uint32Of(limits, "max_concurrent_requests"),
	}
	if t.MaxConnections == nil && t.MaxPendingRequests == nil && t.MaxRequests == nil {
		return nil
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{t}}
}

// ejection says when an instance that answers with errors is left alone for a while; nil where the upstream does not ask for it.
func ejection(u snapshot.Config) *clusterv3.OutlierDetection {
	health := u.Section("passive_health_check")
	if len(health) == 0 {
		return nil
	}
	o := &clusterv3.OutlierDetection{
		EnforcingConsecutive_5Xx: uint32Of(health, "enforcing_consecutive_5xx"),
		MaxEjectionPercent:       uint32Of(health, "max_ejection_percent"),
	}
	if n, ok := health.Uint32("max_failures"); ok && n > 0 {
		o.Consecutive_5Xx = wrapperspb.UInt32(n)
	}
	if d, ok := health.Duration("interval"); ok && d > 0 {
		o.Interval = durationpb.New(d)
	}
	if d, ok := health.Duration("base_ejection_time"); ok && d > 0 {
		o.BaseEjectionTime = durationpb.New(d)
		// Envoy refuses a first ejection that is longer than the longest, which it takes for 300 s unless told.
		o.MaxEjectionTime = durationpb.New(max(d, longestEjection))
	}
	return o
}

// longestEjection is how long an instance is left alone at most when it fails again and again: Envoy's own bound.
const longestEjection = 300 * time.Second

func uint32Of(c snapshot.Config, key string) *wrapperspb.UInt32Value {
	if n, ok := c.Uint32(key); ok {
		return wrapperspb.UInt32(n)
	}
	return nil
}

// upstreamProtocol is how a service is spoken to; none means HTTP/1.1, or bytes.
func upstreamProtocol(protocol string) map[string]*anypb.Any {
	if !isHTTP2(protocol) {
		return nil
	}
	return protocolOptions(&upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{AllowConnect: true},
		},
	})
}

func protocolOptions(explicit *upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig) map[string]*anypb.Any {
	const key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return map[string]*anypb.Any{key: mustAny(&upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	})}
}

// exactBalance is the one strategy besides Envoy's own by which connections are spread over its threads.
const exactBalance = "exact_balance"

// strategyProblem tells of a strategy that is not known.
func strategyProblem(key string, c snapshot.Config) error {
	if s := c.String(key); s != exactBalance && s != "" {
		return fmt.Errorf("%s is %q, want %q or nothing; Envoy's own strategy is used", key, s, exactBalance)
	}
	return nil
}
