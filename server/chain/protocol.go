package chain

import (
	"net/http"
	"slices"

	"github.com/parleymesh/parley/api"
)

// ProtocolTCP is what a service speaks unless something says otherwise.
const ProtocolTCP = "tcp"

// HTTPProtocols are those in which requests can be told apart.
var HTTPProtocols = []string{"http", "http2", "grpc"}

// KnownProtocol tells whether a service may be said to speak it. The empty one leaves it to others to say.
func KnownProtocol(p string) bool {
	return p == "" || p == ProtocolTCP || slices.Contains(HTTPProtocols, p)
}

// Protocol is what a service speaks: as its own defaults say, else as those of all proxies do, else TCP. Either may be nil.
func Protocol(s *api.ServiceDefaults, p *api.ProxyDefaults) string {
	if s != nil && s.Protocol != "" {
		return s.Protocol
	}
	if p != nil {
		if protocol, ok := p.Config["protocol"].(string); ok && protocol != "" {
			return protocol
		}
	}
	return ProtocolTCP
}

// CheckPermissions refuses intentions with HTTP permissions for a service that does not speak HTTP: nobody could carry
// them out. The entry may be nil.
func CheckPermissions(e *api.ServiceIntentions, protocol string) error {
	if e == nil || slices.Contains(HTTPProtocols, protocol) {
		return nil
	}
	if !slices.ContainsFunc(e.Sources, func(s api.SourceIntention) bool { return len(s.Permissions) > 0 }) {
		return nil
	}
	return api.Errorf(http.StatusInternalServerError,
		"service %q has protocol %q, which is incompatible with L7 intentions permissions: set Protocol in its service-defaults to one of %q",
		e.Name, protocol, HTTPProtocols)
}
