package envoy

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// What holds for keys of which the provider does not say it.
const (
	keysTimeout        = time.Second     // a request with a token waits for the keys as long as this
	keysConnectTimeout = 5 * time.Second // as for other clusters
)

func localKeys(l *api.LocalJWKS) (*corev3.DataSource, error) {
	if l.JWKS == "" {
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: l.Filename}}, nil
	}
	text, err := base64.StdEncoding.DecodeString(l.JWKS)
	if err != nil {
		return nil, fmt.Errorf("JWKS is not in base64: %w", err)
	}
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: text}}, nil
}

func remoteKeys(provider string, r *api.RemoteJWKS) *jwtv3.RemoteJwks {
	timeout := keysTimeout
	if r.RequestTimeoutMs > 0 {
		timeout = time.Duration(r.RequestTimeoutMs) * time.Millisecond
	}
	out := &jwtv3.RemoteJwks{HttpUri: &corev3.HttpUri{
		Uri: r.URI, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: keysClusterName(provider)}, Timeout: durationpb.New(timeout),
	}}
	if r.CacheDuration > 0 {
		out.CacheDuration = durationpb.New(time.Duration(r.CacheDuration))
	}
	if r.FetchAsynchronously {
		// The listener does not wait for keys: who needs them is denied until they are there, and everybody else is served.
		out.AsyncFetch = &jwtv3.JwksAsyncFetch{FastListener: true}
	}
	if p := r.RetryPolicy; p != nil {
		out.RetryPolicy = &corev3.RetryPolicy{NumRetries: wrapperspb.UInt32(uint32(p.NumRetries))}
		if b := p.RetryPolicyBackOff; b != nil && b.BaseInterval > 0 {
			out.RetryPolicy.RetryBackOff = &corev3.BackoffStrategy{BaseInterval: durationpb.New(time.Duration(b.BaseInterval))}
			if b.MaxInterval > 0 {
				out.RetryPolicy.RetryBackOff.MaxInterval = durationpb.New(time.Duration(b.MaxInterval))
			}
		}
	}
	return out
}

func keysClusterName(provider string) string { return "jwks:" + provider }

// keySets adds the clusters from which keys are fetched. One that cannot be written is told where its provider is.
func (r *Resources) keySets(s *snapshot.Snapshot) {
	if !isHTTP(s.Protocol) {
		return
	}
	for _, p := range s.Policy.Providers {
		if p.JSONWebKeySet == nil || p.JSONWebKeySet.Remote == nil {
			continue
		}
		if cluster, err := keysCluster(p.Name, p.JSONWebKeySet.Remote); err == nil {
			_, err = r.cluster(cluster)
			r.problem(err)
		}
	}
}

// keysCluster leads to whoever has a provider's keys. In HTTPS it must prove to be who it is, by the authority that the provider
// names or, without one, by those of the host.
func keysCluster(provider string, r *api.RemoteJWKS) (*clusterv3.Cluster, error) {
	u, err := url.Parse(r.URI)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("the address of its keys, %q, has no host", r.URI)
	}
	settings := r.JWKSCluster
	if settings == nil {
		settings = &api.JWKSCluster{}
	}
	discovery, ok := map[string]clusterv3.Cluster_DiscoveryType{
		"": clusterv3.Cluster_STRICT_DNS, "STRICT_DNS": clusterv3.Cluster_STRICT_DNS,
		"LOGICAL_DNS": clusterv3.Cluster_LOGICAL_DNS, "STATIC": clusterv3.Cluster_STATIC,
	}[settings.DiscoveryType]
	if !ok {
		return nil, fmt.Errorf("DiscoveryType %q of its keys is not carried out; use STRICT_DNS", settings.DiscoveryType)
	}
	_, notIP := netip.ParseAddr(u.Hostname())
	if discovery == clusterv3.Cluster_STATIC && notIP != nil {
		return nil, fmt.Errorf("DiscoveryType STATIC needs an IP address, and its keys are at %q", u.Hostname())
	}
	port, tls := 80, u.Scheme == "https"
	if tls {
		port = 443
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port > 65535 {
			return nil, fmt.Errorf("the address of its keys, %q, has no port", r.URI)
		}
	}
	cluster := &clusterv3.Cluster{
		Name:                 keysClusterName(provider),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: discovery},
		ConnectTimeout:       durationpb.New(cmp.Or(time.Duration(settings.ConnectTimeout), keysConnectTimeout)),
		LoadAssignment:       oneEndpoint(keysClusterName(provider), socketAddress(snapshot.Address{Host: u.Hostname(), Port: port})),
	}
	if !tls {
		return cluster, nil
	}
	validation, err := keysAuthority(settings.TLSCertificates)
	if err != nil {
		return nil, err
	}
	name := &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_DNS, Matcher: exactly(u.Hostname())}
	sni := u.Hostname()
	if notIP == nil {
		name.SanType, sni = tlsv3.SubjectAltNameMatcher_IP_ADDRESS, ""
	}
	validation.MatchTypedSubjectAltNames = []*tlsv3.SubjectAltNameMatcher{name}
	cluster.TransportSocket = tlsSocket(mustAny(&tlsv3.UpstreamTlsContext{
		Sni: sni,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:             tlsParameters(),
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation},
		},
	}))
	return cluster, nil
}

func keysAuthority(t *api.JWKSTLSCertificates) (*tlsv3.CertificateValidationContext, error) {
	v := &tlsv3.CertificateValidationContext{}
	switch {
	case t == nil || t.TrustedCA == nil && t.CaCertificateProviderInstance == nil:
		file := hostRoots()
		if file == "" {
			return nil, errors.New("it names no TrustedCA for its keys, and this host has no file of authorities")
		}
		v.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: file}}
		return v, nil
	case t.TrustedCA == nil:
		return nil, errors.New("CaCertificateProviderInstance is not carried out; use TrustedCA")
	}
	switch a := t.TrustedCA; {
	case a.Filename != "":
		v.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: a.Filename}}
	case a.EnvironmentVariable != "":
		v.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_EnvironmentVariable{EnvironmentVariable: a.EnvironmentVariable}}
	case a.InlineString != "":
		v.TrustedCa = inline(a.InlineString)
	default:
		v.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: a.InlineBytes}}
	}
	return v, nil
}

// hostRoots finds the file of the authorities that this host trusts, where the distributions keep it; Envoy wants it named. The
// proxy is on the host of its agent.
var hostRoots = sync.OnceValue(func() string {
	for _, file := range []string{
		os.Getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Red Hat
		"/etc/ssl/ca-bundle.pem",             // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem", // Alpine, BSD, macOS
	} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
})
