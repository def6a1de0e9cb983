package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// versions are the versions of TLS by the names of the mesh's entry.
var versions = map[string]tlsv3.TlsParameters_TlsProtocol{
	"TLSv1_0": tlsv3.TlsParameters_TLSv1_0,
	"TLSv1_1": tlsv3.TlsParameters_TLSv1_1,
	"TLSv1_2": tlsv3.TlsParameters_TLSv1_2,
	"TLSv1_3": tlsv3.TlsParameters_TLSv1_3,
}

// cipherSuites are Envoy's names of those of the mesh's entry. All that Envoy offers for TLS 1.2 is here, and nothing else.
var cipherSuites = map[string]string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256":       "ECDHE-ECDSA-AES128-GCM-SHA256",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":         "ECDHE-RSA-AES128-GCM-SHA256",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256":   "ECDHE-RSA-CHACHA20-POLY1305",
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA":          "ECDHE-ECDSA-AES128-SHA",
	"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA":            "ECDHE-RSA-AES128-SHA",
	"TLS_RSA_WITH_AES_128_GCM_SHA256":               "AES128-GCM-SHA256",
	"TLS_RSA_WITH_AES_128_CBC_SHA":                  "AES128-SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384":       "ECDHE-ECDSA-AES256-GCM-SHA384",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384":         "ECDHE-RSA-AES256-GCM-SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA":          "ECDHE-ECDSA-AES256-SHA",
	"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA":            "ECDHE-RSA-AES256-SHA",
	"TLS_RSA_WITH_AES_256_GCM_SHA384":               "AES256-GCM-SHA384",
	"TLS_RSA_WITH_AES_256_CBC_SHA":                  "AES256-SHA",
}

// tlsParameters ask for TLS 1.2 and above.
func tlsParameters() *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
}

// meshTLS narrows, or widens, the parameters of one direction as the mesh's entry asks. What it asks for that is not known counts for
// nothing; it was refused when it was written, unless by another version.
func meshTLS(p *api.MeshTLSParameters) *tlsv3.TlsParameters {
	out := tlsParameters()
	if p == nil {
		return out
	}
	if v, ok := versions[p.TLSMinVersion]; ok {
		out.TlsMinimumProtocolVersion = v
	}
	if v, ok := versions[p.TLSMaxVersion]; ok {
		out.TlsMaximumProtocolVersion = v
		out.TlsMinimumProtocolVersion = min(out.TlsMinimumProtocolVersion, v)
	}
	for _, name := range p.CipherSuites {
		if suite, ok := cipherSuites[name]; ok {
			out.CipherSuites = append(out.CipherSuites, suite)
		}
	}
	return out
}

// incomingTLS are the parameters of what a proxy listens with.
func incomingTLS(m snapshot.Mesh) *tlsv3.TlsParameters {
	if m.TLS == nil {
		return tlsParameters()
	}
	return meshTLS(m.TLS.Incoming)
}

// outgoingTLS are the parameters of what a proxy calls with.
func outgoingTLS(m snapshot.Mesh) *tlsv3.TlsParameters {
	if m.TLS == nil {
		return tlsParameters()
	}
	return meshTLS(m.TLS.Outgoing)
}

// tlsSocket wraps a TLS context as a transport socket.
func tlsSocket(context *anypb.Any) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: context},
	}
}
