package configentry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
)

func checkServiceDefaults(e *api.ServiceDefaults) error {
	if !chain.KnownProtocol(e.Protocol) {
		return refusal("invalid value for protocol: %s: Protocol must be tcp, http, http2 or grpc", e.Protocol)
	}
	if err := checkProxySettings(e.Mode, e.MutualTLSMode, e.MeshGateway, e.Expose, e.TransparentProxy, e.EnvoyExtensions); err != nil {
		return err
	}
	if err := oneOf("BalanceInboundConnections", e.BalanceInboundConnections, "exact_balance"); err != nil {
		return err
	}
	if err := checks(
		checkNumber("MaxInboundConnections", e.MaxInboundConnections),
		checkNumber("LocalConnectTimeoutMs", e.LocalConnectTimeoutMs),
		checkNumber("LocalRequestTimeoutMs", e.LocalRequestTimeoutMs),
		checkHeaderSize("MaxRequestHeadersKB", e.MaxRequestHeadersKB),
	); err != nil {
		return err
	}
	if e.RateLimits != nil {
		return refusal("invalid rate_limits config: RateLimits are not carried out by this release yet, so they are not taken either")
	}
	if err := checkUpstreamConfig(e.UpstreamConfig); err != nil {
		return err
	}
	return checkDestination(e.Destination)
}

func checkProxyDefaults(e *api.ProxyDefaults) error {
	if e.Name != api.ProxyDefaultsGlobal {
		return refusal("invalid name (%q), only %q is supported", e.Name, api.ProxyDefaultsGlobal)
	}
	if v, ok := e.Config["protocol"]; ok {
		if p, isText := v.(string); !isText || !chain.KnownProtocol(p) {
			return refusal("invalid value for protocol: %v: Config.protocol must be tcp, http, http2 or grpc", v)
		}
	}
	if err := checkProxySettings(e.Mode, e.MutualTLSMode, e.MeshGateway, e.Expose, e.TransparentProxy, e.EnvoyExtensions); err != nil {
		return err
	}
	if err := checkAccessLogs(e.AccessLogs); err != nil {
		return err
	}
	if p := e.FailoverPolicy; p != nil {
		if err := oneOf("FailoverPolicy.Mode", p.Mode, "sequential", "order-by-locality"); err != nil {
			return err
		}
	}
	if p := e.PrioritizeByLocality; p != nil {
		return oneOf("PrioritizeByLocality.Mode", p.Mode, "none", "failover")
	}
	return nil
}

// checkProxySettings judges what service-defaults and proxy-defaults both have.
func checkProxySettings(mode, mutualTLS string, gateway api.MeshGateway, expose api.Expose, t api.TransparentProxy, extensions []api.EnvoyExtension) error {
	if err := oneOf("Mode", mode, "direct", "transparent"); err != nil {
		return err
	}
	if err := oneOf("MutualTLSMode", mutualTLS, "strict", "permissive"); err != nil {
		return err
	}
	if err := checkGateway("MeshGateway", gateway); err != nil {
		return err
	}
	if t.OutboundListenerPort != 0 {
		if err := checkPort("TransparentProxy.OutboundListenerPort", t.OutboundListenerPort); err != nil {
			return err
		}
	}
	for i, p := range expose.Paths {
		if err := checkExposed(fmt.Sprintf("Expose.Paths[%d]", i), p); err != nil {
			return err
		}
	}
	for i, x := range extensions {
		if x.Name == "" {
			return refusal("EnvoyExtensions[%d].Name is required", i)
		}
	}
	return nil
}

func checkGateway(path string, g api.MeshGateway) error {
	return oneOf(path+".Mode", g.Mode, "none", "local", "remote")
}

func checkExposed(path string, p api.ExposePath) error {
	if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
		return refusal("%s.Path doesn't start with '/': %q", path, p.Path)
	}
	if err := checkPort(path+".ListenerPort", p.ListenerPort); err != nil {
		return err
	}
	if err := checkPort(path+".LocalPathPort", p.LocalPathPort); err != nil {
		return err
	}
	return oneOf(path+".Protocol", p.Protocol, "http", "http2")
}

func checkUpstreamConfig(u *api.UpstreamConfig) error {
	if u == nil {
		return nil
	}
	if d := u.Defaults; d != nil {
		if d.Name != "" {
			return refusal("UpstreamConfig.Defaults.Name must be empty: it holds for all upstreams; use Overrides for one")
		}
		if err := checkUpstream("UpstreamConfig.Defaults", d); err != nil {
			return err
		}
	}
	for i := range u.Overrides {
		path := fmt.Sprintf("UpstreamConfig.Overrides[%d]", i)
		if u.Overrides[i].Name == "" {
			return refusal("%s.Name is required", path)
		}
		if err := checkUpstream(path, &u.Overrides[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkUpstream(path string, u *api.UpstreamSettings) error {
	if !chain.KnownProtocol(u.Protocol) {
		return refusal("invalid value for protocol: %s: %s.Protocol must be tcp, http, http2 or grpc", u.Protocol, path)
	}
	return checks(
		checkPlace(path, u.Namespace, u.Partition),
		checkNumber(path+".ConnectTimeoutMs", u.ConnectTimeoutMs),
		checkJSON(path+".EnvoyListenerJSON", u.EnvoyListenerJSON),
		checkJSON(path+".EnvoyClusterJSON", u.EnvoyClusterJSON),
		checkLimits(path+".Limits", u.Limits),
		checkPassive(path+".PassiveHealthCheck", u.PassiveHealthCheck),
		checkGateway(path+".MeshGateway", u.MeshGateway),
		oneOf(path+".BalanceOutboundConnections", u.BalanceOutboundConnections, "exact_balance"),
	)
}

// checkHeaderSize takes what Envoy takes.
func checkHeaderSize(path string, kb *uint32) error {
	if kb != nil && (*kb < 1 || *kb > 8192) {
		return refusal("%s %d is out of range: 1 to 8192", path, *kb)
	}
	return nil
}

// checkJSON wants one JSON object, or nothing.
func checkJSON(path, text string) error {
	if text == "" {
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return refusal("%s is no JSON object: %v", path, err)
	}
	return nil
}

func checkLimits(path string, l *api.UpstreamLimits) error {
	if l == nil {
		return nil
	}
	for _, f := range []struct {
		name  string
		value *int
	}{{"MaxConnections", l.MaxConnections}, {"MaxPendingRequests", l.MaxPendingRequests}, {"MaxConcurrentRequests", l.MaxConcurrentRequests}} {
		if f.value == nil {
			continue
		}
		if err := checkNumber(path+"."+f.name, *f.value); err != nil {
			return err
		}
	}
	return nil
}

func checkPassive(path string, p *api.PassiveHealthCheck) error {
	if p == nil {
		return nil
	}
	if p.BaseEjectionTime != nil {
		if err := checkDuration(path+".BaseEjectionTime", time.Duration(*p.BaseEjectionTime)); err != nil {
			return err
		}
	}
	return checks(
		checkDuration(path+".Interval", time.Duration(p.Interval)),
		checkPercent(path+".EnforcingConsecutive5xx", p.EnforcingConsecutive5xx),
		checkPercent(path+".MaxEjectionPercent", p.MaxEjectionPercent),
	)
}

func checkDestination(d *api.ExternalDestination) error {
	if d == nil {
		return nil
	}
	if len(d.Addresses) == 0 {
		return refusal("Destination.Addresses must not be empty")
	}
	if slices.Contains(d.Addresses, "") {
		return refusal("Destination.Addresses[%d] must not be empty", slices.Index(d.Addresses, ""))
	}
	return checkPort("Destination.Port", d.Port)
}

func checkAccessLogs(a api.AccessLogs) error {
	if err := oneOf("AccessLogs.Type", a.Type, "file", "stderr", "stdout"); err != nil {
		return err
	}
	if a.Type == "file" && a.Path == "" {
		return refusal("AccessLogs.Path is required for the type \"file\"")
	}
	if a.JSONFormat != "" && a.TextFormat != "" {
		return refusal("AccessLogs.JSONFormat and AccessLogs.TextFormat exclude each other")
	}
	return nil
}
