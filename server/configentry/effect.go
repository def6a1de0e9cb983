package configentry

import (
	"fmt"
	"strings"

	"github.com/parleymesh/parley/api"
)

// idleKinds are stored and read back, so that an operator's files apply as they are, but change nothing yet.
var idleKinds = map[string]bool{
	api.KindIngressGateway: true, api.KindTerminatingGateway: true, api.KindAPIGateway: true, api.KindHTTPRoute: true, api.KindTCPRoute: true,
	api.KindInlineCertificate: true, api.KindFileSystemCertificate: true, api.KindExportedServices: true,
}

// Warnings tells what of an entry is stored but has no effect yet, so that nobody believes it to be in force. What would be
// dangerous to believe in is refused instead.
func Warnings(e api.ConfigEntry) []string {
	if idleKinds[e.EntryKind()] {
		return []string{fmt.Sprintf("%s %q is stored, but the kind has no effect in this release yet", e.EntryKind(), e.EntryName())}
	}
	paths := idlePaths(e)
	if len(paths) == 0 {
		return nil
	}
	have := "has"
	if len(paths) > 1 {
		have = "have"
	}
	return []string{fmt.Sprintf("%s %q is stored, but %s %s no effect in this release yet", e.EntryKind(), e.EntryName(), strings.Join(paths, ", "), have)}
}

// paths collects those that are set.
type paths []string

func (p *paths) add(path string, set bool) {
	if set {
		*p = append(*p, path)
	}
}

// idlePaths lists the fields of an entry that are set and change nothing. A field leaves this list with the commit that gives it
// an effect.
func idlePaths(e api.ConfigEntry) []string {
	var p paths
	switch e := e.(type) {
	case *api.ServiceDefaults:
		p.ofProxies(e.Mode, e.TransparentProxy, e.MutualTLSMode, e.MeshGateway, e.EnvoyExtensions)
		p.add("Expose.Checks", e.Expose.Checks)
		p.add("Destination", e.Destination != nil)
		p.ofUpstreams(e.UpstreamConfig)
	case *api.ProxyDefaults:
		p.ofProxies(e.Mode, e.TransparentProxy, e.MutualTLSMode, e.MeshGateway, e.EnvoyExtensions)
		p.add("Expose.Checks", e.Expose.Checks)
		p.add("FailoverPolicy", byLocality(e.FailoverPolicy))
		p.add("PrioritizeByLocality", prioritizes(e.PrioritizeByLocality))
	case *api.ServiceResolver:
		p.ofResolver(e)
	case *api.MeshEntry:
		p.add("TransparentProxy.MeshDestinationsOnly", e.TransparentProxy.MeshDestinationsOnly)
		p.add("ValidateClusters", e.ValidateClusters)
		p.add("Peering", e.Peering != nil)
	case *api.ServiceIntentions:
		for i, s := range e.Sources {
			p.add(fmt.Sprintf("Sources[%d].Peer", i), s.Peer != "")
		}
	}
	return p
}

// ofProxies lists what service-defaults and proxy-defaults both have.
func (p *paths) ofProxies(mode string, t api.TransparentProxy, mutualTLS string, gateway api.MeshGateway, extensions []api.EnvoyExtension) {
	p.add("Mode", mode == "transparent")
	p.add("TransparentProxy", t != api.TransparentProxy{})
	p.add("MutualTLSMode", mutualTLS == permissive)
	p.add("MeshGateway", reroutes(gateway))
	p.add("EnvoyExtensions", len(extensions) > 0)
}

func (p *paths) ofUpstreams(u *api.UpstreamConfig) {
	if u == nil {
		return
	}
	if u.Defaults != nil {
		p.add("UpstreamConfig.Defaults.MeshGateway", reroutes(u.Defaults.MeshGateway))
	}
	for i, o := range u.Overrides {
		p.add(fmt.Sprintf("UpstreamConfig.Overrides[%d].MeshGateway", i), reroutes(o.MeshGateway))
		p.add(fmt.Sprintf("UpstreamConfig.Overrides[%d].Peer", i), o.Peer != "")
	}
}

func (p *paths) ofResolver(e *api.ServiceResolver) {
	p.add("PrioritizeByLocality", prioritizes(e.PrioritizeByLocality))
	if r := e.Redirect; r != nil {
		p.add("Redirect.Peer", r.Peer != "")
		p.add("DefaultSubset beside Redirect", e.DefaultSubset != "")
		p.add("LoadBalancer beside Redirect", e.LoadBalancer != nil)
	}
	for _, subset := range sorted(e.Failover) {
		f := e.Failover[subset]
		p.add(fmt.Sprintf("Failover[%s].Policy", subset), byLocality(f.Policy))
		for i, t := range f.Targets {
			p.add(fmt.Sprintf("Failover[%s].Targets[%d].Peer", subset, i), t.Peer != "")
		}
	}
}

func reroutes(g api.MeshGateway) bool { return g.Mode != "" && g.Mode != "none" }

func byLocality(p *api.FailoverPolicy) bool {
	return p != nil && (p.Mode == "order-by-locality" || len(p.Regions) > 0)
}

func prioritizes(p *api.PrioritizeByLocality) bool { return p != nil && p.Mode == "failover" }
