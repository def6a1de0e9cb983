package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// entryKinds are those that NewConfigEntry knows.
var entryKinds = []string{
	KindJWTProvider, KindMesh, KindProxyDefaults, KindServiceDefaults, KindServiceIntentions, KindServiceResolver, KindServiceRouter, KindServiceSplitter,
}

// laterKinds are further ones that the public documentation has, so that what is only not here yet is not taken for a typo.
var laterKinds = []string{
	"api-gateway", "bound-api-gateway", "control-plane-request-limit", "exported-services", "file-system-certificate", "http-route",
	"ingress-gateway", "inline-certificate", "sameness-group", "tcp-route", "terminating-gateway",
}

// noKind tells why there is no entry of a kind.
func noKind(kind string) error {
	all := strings.Join(entryKinds, ", ")
	if slices.Contains(laterKinds, kind) {
		return Errorf(http.StatusBadRequest, "config entry kind %s is not in this release yet; it has %s", kind, all)
	}
	near, least := "", 2+len(kind)/4
	for _, known := range slices.Concat(entryKinds, laterKinds) {
		if d := distance(fold(kind), fold(known)); d < least {
			near, least = fmt.Sprintf("; did you mean %q?", known), d
		}
	}
	return Errorf(http.StatusBadRequest, "invalid config entry kind: %s%s (this release has %s)", kind, near, all)
}
