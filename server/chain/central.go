package chain

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// Central returns a proxy's configuration with what the defaults of its service and of all proxies say: what the registration says
// itself is the strongest, then the service's, then those of all proxies. Either may be nil. None of the arguments is changed, and
// the result shares what it did not have to merge.
func Central(p *api.Proxy, s *api.ServiceDefaults, all *api.ProxyDefaults) *api.Proxy {
	if s == nil {
		s = &api.ServiceDefaults{}
	}
	if all == nil {
		all = &api.ProxyDefaults{}
	}
	out := *p
	out.Config = overlay(all.Config, serviceConfig(s), p.Config)
	out.Mode = first(p.Mode, s.Mode, all.Mode)
	out.MutualTLSMode = first(p.MutualTLSMode, s.MutualTLSMode, all.MutualTLSMode)
	out.MeshGateway = first(p.MeshGateway, s.MeshGateway, all.MeshGateway)
	out.TransparentProxy = api.TransparentProxy{
		OutboundListenerPort: first(p.TransparentProxy.OutboundListenerPort, s.TransparentProxy.OutboundListenerPort, all.TransparentProxy.OutboundListenerPort),
		DialedDirectly:       first(p.TransparentProxy.DialedDirectly, s.TransparentProxy.DialedDirectly, all.TransparentProxy.DialedDirectly),
	}
	out.Expose.Checks = first(p.Expose.Checks, s.Expose.Checks, all.Expose.Checks)
	for _, paths := range [][]api.ExposePath{s.Expose.Paths, all.Expose.Paths} {
		if len(out.Expose.Paths) == 0 {
			out.Expose.Paths = paths
		}
	}
	out.AccessLogs = first(p.AccessLogs, all.AccessLogs)
	if len(s.EnvoyExtensions)+len(all.EnvoyExtensions) > 0 {
		out.EnvoyExtensions = slices.Concat(all.EnvoyExtensions, s.EnvoyExtensions, p.EnvoyExtensions)
	}
	out.Upstreams = upstreams(p.Upstreams, s.UpstreamConfig, out.MeshGateway)
	return &out
}

// first returns the first value that says something.
func first[T comparable](values ...T) T {
	var none T
	for _, v := range values {
		if v != none {
			return v
		}
	}
	return none
}

// overlay joins maps, of which the last one that has a key decides; nil when there is nothing.
func overlay(layers ...map[string]any) map[string]any {
	var out map[string]any
	for _, layer := range layers {
		if len(layer) == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]any, len(layer))
		}
		maps.Copy(out, layer)
	}
	return out
}

// serviceConfig is what a service's defaults say by the keys of a proxy's configuration.
func serviceConfig(s *api.ServiceDefaults) map[string]any {
	out := map[string]any{}
	add(out, "protocol", s.Protocol)
	add(out, "max_inbound_connections", s.MaxInboundConnections)
	add(out, "local_connect_timeout_ms", s.LocalConnectTimeoutMs)
	add(out, "local_request_timeout_ms", s.LocalRequestTimeoutMs)
	add(out, "balance_inbound_connections", s.BalanceInboundConnections)
	addPointer(out, "max_request_headers_kb", s.MaxRequestHeadersKB)
	return out
}

// add adds what says something.
func add[T comparable](to map[string]any, key string, v T) {
	var none T
	if v != none {
		to[key] = v
	}
}

// addPointer adds what is set, to whatever.
func addPointer[T any](to map[string]any, key string, v *T) {
	if v != nil {
		to[key] = *v
	}
}

// upstreams merges what the service's defaults say of its upstreams into those that the registration has.
func upstreams(in []api.Upstream, c *api.UpstreamConfig, gateway api.MeshGateway) []api.Upstream {
	if len(in) == 0 {
		return in
	}
	out := slices.Clone(in)
	for i := range out {
		u := &out[i]
		var defaults, own api.UpstreamSettings
		if c != nil {
			if c.Defaults != nil {
				defaults = *c.Defaults
			}
			if u.DestinationType != api.UpstreamPreparedQuery {
				own = override(c.Overrides, u)
			}
		}
		u.Config = overlay(upstreamConfig(defaults), upstreamConfig(own), u.Config)
		u.MeshGateway = first(u.MeshGateway, own.MeshGateway, defaults.MeshGateway, gateway)
	}
	return out
}

// override returns the settings that are of one upstream alone.
func override(all []api.UpstreamSettings, u *api.Upstream) api.UpstreamSettings {
	for _, o := range all {
		if o.Name == u.DestinationName && o.Peer == u.DestinationPeer &&
			sameTenant(o.Namespace, u.DestinationNamespace) && sameTenant(o.Partition, u.DestinationPartition) {
			return o
		}
	}
	return api.UpstreamSettings{}
}

func sameTenant(a, b string) bool {
	return strings.EqualFold(first(a, api.DefaultTenant), first(b, api.DefaultTenant))
}

// upstreamConfig is what settings say by the keys of an upstream's configuration.
func upstreamConfig(u api.UpstreamSettings) map[string]any {
	out := map[string]any{}
	add(out, "envoy_listener_json", u.EnvoyListenerJSON)
	add(out, "envoy_cluster_json", u.EnvoyClusterJSON)
	add(out, "protocol", u.Protocol)
	add(out, "connect_timeout_ms", u.ConnectTimeoutMs)
	add(out, "balance_outbound_connections", u.BalanceOutboundConnections)
	if l := u.Limits; l != nil {
		limits := map[string]any{}
		addPointer(limits, "max_connections", l.MaxConnections)
		addPointer(limits, "max_pending_requests", l.MaxPendingRequests)
		addPointer(limits, "max_concurrent_requests", l.MaxConcurrentRequests)
		out["limits"] = limits
	}
	if h := u.PassiveHealthCheck; h != nil {
		health := map[string]any{}
		if h.Interval != 0 {
			health["interval"] = time.Duration(h.Interval).String()
		}
		add(health, "max_failures", h.MaxFailures)
		addPointer(health, "enforcing_consecutive_5xx", h.EnforcingConsecutive5xx)
		addPointer(health, "max_ejection_percent", h.MaxEjectionPercent)
		if h.BaseEjectionTime != nil {
			health["base_ejection_time"] = time.Duration(*h.BaseEjectionTime).String()
		}
		out["passive_health_check"] = health
	}
	return out
}
