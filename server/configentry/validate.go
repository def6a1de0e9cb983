package configentry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
)

// validate judges an entry by itself. Its errors name the path of the field, counting lists in the order in which they
// were written.
func validate(e api.ConfigEntry) error {
	if e.EntryName() == "" {
		return refusal("Name is required")
	}
	if err := checkPlace(e.Common()); err != nil {
		return err
	}
	switch e := e.(type) {
	case *api.ServiceIntentions:
		return state.CheckIntentions(e)
	case *api.ServiceDefaults:
		return checkServiceDefaults(e)
	case *api.ProxyDefaults:
		return checkProxyDefaults(e)
	}
	return nil
}

// checkPlace refuses what this release could not keep apart.
func checkPlace(c *api.EntryCommon) error {
	for _, f := range []struct{ name, value string }{{"Namespace", c.Namespace}, {"Partition", c.Partition}} {
		if f.value != "" && f.value != api.DefaultTenant {
			return refusal("%s %q: this release knows only %q", f.name, f.value, api.DefaultTenant)
		}
	}
	return nil
}

func checkServiceDefaults(e *api.ServiceDefaults) error {
	if err := api.CheckName("Name", e.Name); err != nil {
		return refusal("%v", err)
	}
	if e.Name == api.Wildcard {
		return refusal("Name: %q is no service; what is true of all proxies stands in proxy-defaults", e.Name)
	}
	if !chain.KnownProtocol(e.Protocol) {
		return refusal("invalid value for protocol: %s: Protocol must be tcp, http, http2 or grpc", e.Protocol)
	}
	if err := checkProxySettings(e.Mode, e.MutualTLSMode, e.MeshGateway, e.Expose, e.TransparentProxy, e.EnvoyExtensions); err != nil {
		return err
	}
	if err := oneOf("BalanceInboundConnections", e.BalanceInboundConnections, "exact_balance"); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxInboundConnections", e.MaxInboundConnections}, {"LocalConnectTimeoutMs", e.LocalConnectTimeoutMs},
		{"LocalRequestTimeoutMs", e.LocalRequestTimeoutMs},
	} {
		if f.value < 0 {
			return refusal("%s must not be negative, got %d", f.name, f.value)
		}
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
	if u.ConnectTimeoutMs < 0 {
		return refusal("%s.ConnectTimeoutMs must not be negative, got %d", path, u.ConnectTimeoutMs)
	}
	if err := checkGateway(path+".MeshGateway", u.MeshGateway); err != nil {
		return err
	}
	return oneOf(path+".BalanceOutboundConnections", u.BalanceOutboundConnections, "exact_balance")
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

func checkPort(path string, port int) error {
	if port < 1 || port > 65535 {
		return refusal("%s %d is out of range: 1 to 65535", path, port)
	}
	return nil
}

// oneOf takes the values and, for what is not set, the empty one.
func oneOf(path, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return refusal("%s %q is not known: use %s", path, value, strings.Join(values, ", "))
}
