package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// The names of the secrets, besides the policy's.
const (
	leafSecret  = "leaf"
	rootsSecret = "roots"
)

// secrets adds the certificate, the roots, and the policy in both its forms.
func (r *Resources) secrets(s *snapshot.Snapshot, generation string) error {
	leaf := &tlsv3.Secret{Name: leafSecret, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(s.Leaf.CertPEM),
		PrivateKey:       inline(s.Leaf.PrivateKeyPEM),
	}}}
	roots := &tlsv3.Secret{Name: rootsSecret, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(s.Roots)},
	}}
	policy := compile(&s.Policy)
	r.Problems = append(r.Problems, policy.problems...)
	if !isHTTP(s.Protocol) {
		r.Problems = append(r.Problems, requestRules(s)...)
	}
	validation := &tlsv3.CertificateValidationContext{TrustedCa: inline(s.Roots)}
	for _, name := range policy.names {
		validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: name,
		})
	}
	callers := &tlsv3.Secret{
		Name: policyName(policySecret, generation),
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: validation},
	}
	filter := &corev3.TypedExtensionConfig{
		Name: policyName(policyFilter, generation),
		TypedConfig: mustAny(&rbacfilterv3.RBAC{
			StatPrefix: publicListener + ".", Rules: policy.rbac,
			// Only what shadow rules decide is told to access logs.
			ShadowRules: policy.rbac,
		}),
	}
	for _, secret := range []*tlsv3.Secret{leaf, roots, callers} {
		if _, err := r.add(SecretType, secret.Name, secret); err != nil {
			return err
		}
	}
	if _, err := r.add(FilterType, filter.Name, filter); err != nil {
		return err
	}
	return r.requestPolicy(&s.Policy)
}

// requestRules tells of the rules that deny, because a service that does not speak HTTP has no requests.
func requestRules(s *snapshot.Snapshot) (problems []string) {
	for _, rule := range s.Policy.Rules {
		if rule.HTTP {
			problems = append(problems, fmt.Sprintf("rule %q decides by HTTP requests, and the service speaks %s; it lets nobody pass", rule.ID, s.Protocol))
		}
	}
	return problems
}

// requestPolicy adds what verifies tokens, and what judges requests.
func (r *Resources) requestPolicy(p *snapshot.Policy) error {
	tokens := verifyTokens(p.Providers)
	requests := compileRequests(p, tokens.verified)
	r.Problems = append(append(r.Problems, tokens.problems...), requests.problems...)
	if _, err := r.add(FilterType, tokenFilter, &corev3.TypedExtensionConfig{
		Name: tokenFilter, TypedConfig: mustAny(tokens.filter),
	}); err != nil {
		return err
	}
	_, err := r.add(FilterType, requestFilter, &corev3.TypedExtensionConfig{
		Name: requestFilter, TypedConfig: mustAny(decideRequests(requests)),
	})
	return err
}

// renamed returns the resource under another name, which stands in its body, too.
func renamed(r *Resource, name string) *Resource {
	var message proto.Message
	switch r.Type {
	case SecretType:
		secret := &tlsv3.Secret{}
		message = secret
		if r.Body.UnmarshalTo(secret) != nil {
			return nil
		}
		secret.Name = name
	case FilterType:
		filter := &corev3.TypedExtensionConfig{}
		message = filter
		if r.Body.UnmarshalTo(filter) != nil {
			return nil
		}
		filter.Name = name
	default:
		return nil
	}
	out, err := encode(r.Type, name, message)
	if err != nil {
		return nil
	}
	return out
}

func inline(text string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
}

// ads says that a resource comes over the stream that everything comes over.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		// Envoy waits for as long as it takes. To go on without would be to serve less than before.
		InitialFetchTimeout: durationpb.New(0),
	}
}

func sds(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: ads()}
}
