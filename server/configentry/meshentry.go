package configentry

import (
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

func checkMesh(e *api.MeshEntry) error {
	if t := e.TLS; t != nil {
		if err := checks(checkMeshTLS("TLS.Incoming", t.Incoming), checkMeshTLS("TLS.Outgoing", t.Outgoing)); err != nil {
			return err
		}
	}
	if e.HTTP == nil || e.HTTP.Incoming == nil || e.HTTP.Incoming.RequestNormalization == nil {
		return nil
	}
	n := e.HTTP.Incoming.RequestNormalization
	const path = "HTTP.Incoming.RequestNormalization"
	return checks(
		oneOf(path+".PathWithEscapedSlashesAction", n.PathWithEscapedSlashesAction,
			"IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"),
		oneOf(path+".HeadersWithUnderscoresAction", n.HeadersWithUnderscoresAction, "ALLOW", "REJECT_REQUEST", "DROP_HEADER"),
	)
}

func checkMeshTLS(path string, p *api.MeshTLSParameters) error {
	if p == nil {
		return nil
	}
	return checkTLS(path, "TLSMinVersion", p.TLSMinVersion, "TLSMaxVersion", p.TLSMaxVersion, p.CipherSuites)
}

// tlsVersions are in order, but for the first, which leaves it to Envoy.
var tlsVersions = []string{"TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"}

// cipherSuites are those that both the public API and Envoy know.
var cipherSuites = []string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	"TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	"TLS_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_256_CBC_SHA",
}

// checkTLS judges versions and cipher suites, which stand under names that differ by kind.
func checkTLS(path, minName, minimum, maxName, maximum string, suites []string) error {
	err := checks(oneOf(join(path, minName), minimum, tlsVersions...), oneOf(join(path, maxName), maximum, tlsVersions...))
	if err != nil {
		return err
	}
	least, most := slices.Index(tlsVersions, minimum), slices.Index(tlsVersions, maximum)
	if most > 0 && least > most {
		return refusal("%s %s is above %s %s", join(path, minName), minimum, maxName, maximum)
	}
	for i, suite := range suites {
		if !slices.Contains(cipherSuites, suite) {
			return refusal("%s[%d] %q is not known: use %s", join(path, "CipherSuites"), i, suite, strings.Join(cipherSuites, ", "))
		}
	}
	if len(suites) > 0 && minimum == "TLSv1_3" {
		return refusal("%s has no meaning beside %s %s: TLS 1.3 chooses its suites itself", join(path, "CipherSuites"), minName, minimum)
	}
	return nil
}
