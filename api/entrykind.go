package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The kinds of config entry. Those of gateways are called as the gateways are, see KindIngressGateway.
const (
	KindServiceIntentions     = "service-intentions"
	KindServiceDefaults       = "service-defaults"
	KindServiceRouter         = "service-router"
	KindServiceSplitter       = "service-splitter"
	KindServiceResolver       = "service-resolver"
	KindProxyDefaults         = "proxy-defaults"
	KindMesh                  = "mesh"
	KindJWTProvider           = "jwt-provider"
	KindBoundAPIGateway       = "bound-api-gateway"
	KindHTTPRoute             = "http-route"
	KindTCPRoute              = "tcp-route"
	KindInlineCertificate     = "inline-certificate"
	KindFileSystemCertificate = "file-system-certificate"
	KindExportedServices      = "exported-services"
	KindSamenessGroup         = "sameness-group"
)

// The only names that entries of these kinds may have.
const (
	ProxyDefaultsGlobal     = "global"
	MeshEntryName           = "mesh"
	ExportedServicesDefault = DefaultTenant
)

// newEntries makes an empty entry of each kind.
var newEntries = map[string]func() ConfigEntry{
	KindServiceIntentions:     func() ConfigEntry { return &ServiceIntentions{Kind: KindServiceIntentions} },
	KindServiceDefaults:       func() ConfigEntry { return &ServiceDefaults{Kind: KindServiceDefaults} },
	KindServiceRouter:         func() ConfigEntry { return &ServiceRouter{Kind: KindServiceRouter} },
	KindServiceSplitter:       func() ConfigEntry { return &ServiceSplitter{Kind: KindServiceSplitter} },
	KindServiceResolver:       func() ConfigEntry { return &ServiceResolver{Kind: KindServiceResolver} },
	KindProxyDefaults:         func() ConfigEntry { return &ProxyDefaults{Kind: KindProxyDefaults} },
	KindMesh:                  func() ConfigEntry { return &MeshEntry{Kind: KindMesh} },
	KindJWTProvider:           func() ConfigEntry { return &JWTProvider{Kind: KindJWTProvider} },
	KindIngressGateway:        func() ConfigEntry { return &IngressGateway{Kind: KindIngressGateway} },
	KindTerminatingGateway:    func() ConfigEntry { return &TerminatingGateway{Kind: KindTerminatingGateway} },
	KindAPIGateway:            func() ConfigEntry { return &APIGateway{Kind: KindAPIGateway} },
	KindBoundAPIGateway:       func() ConfigEntry { return &BoundAPIGateway{Kind: KindBoundAPIGateway} },
	KindHTTPRoute:             func() ConfigEntry { return &HTTPRoute{Kind: KindHTTPRoute} },
	KindTCPRoute:              func() ConfigEntry { return &TCPRoute{Kind: KindTCPRoute} },
	KindInlineCertificate:     func() ConfigEntry { return &InlineCertificate{Kind: KindInlineCertificate} },
	KindFileSystemCertificate: func() ConfigEntry { return &FileSystemCertificate{Kind: KindFileSystemCertificate} },
	KindExportedServices:      func() ConfigEntry { return &ExportedServices{Kind: KindExportedServices} },
	KindSamenessGroup:         func() ConfigEntry { return &SamenessGroup{Kind: KindSamenessGroup} },
}

// EntryKinds lists the kinds of config entry that this release has, by name.
func EntryKinds() []string { return slices.Sorted(maps.Keys(newEntries)) }

// NewConfigEntry returns an empty entry of the kind, for decoding into, or an *Error with status 400.
func NewConfigEntry(kind string) (ConfigEntry, error) {
	if make, ok := newEntries[kind]; ok {
		return make(), nil
	}
	return nil, noKind(kind)
}

// laterKinds are further ones that the public documentation has, so that what is only not here yet is not taken for a typo.
var laterKinds = []string{"control-plane-request-limit"}

// noKind tells why there is no entry of a kind.
func noKind(kind string) error {
	known := EntryKinds()
	all := strings.Join(known, ", ")
	if slices.Contains(laterKinds, kind) {
		return Errorf(http.StatusBadRequest, "config entry kind %s is not in this release yet; it has %s", kind, all)
	}
	near, least := "", 2+len(kind)/4
	for _, known := range slices.Concat(known, laterKinds) {
		if d := distance(fold(kind), fold(known)); d < least {
			near, least = fmt.Sprintf("; did you mean %q?", known), d
		}
	}
	return Errorf(http.StatusBadRequest, "invalid config entry kind: %s%s (this release has %s)", kind, near, all)
}
