package envoy

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/parleymesh/parley/api"
)

// This file writes what intentions ask of requests as conditions of Envoy's RBAC, which calls them permissions.

func always() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

func not(p *rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: p}}
}

// allOf is true if there are none, anyOf is false then. Envoy takes no empty list for either.
func allOf(all ...*rbacv3.Permission) *rbacv3.Permission {
	switch len(all) {
	case 0:
		return always()
	case 1:
		return all[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: all}}}
}

func anyOf(all ...*rbacv3.Permission) *rbacv3.Permission {
	switch len(all) {
	case 0:
		return not(always())
	case 1:
		return all[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: all}}}
}

// httpPermission is what a permission of an intention matches. What cannot be written, or what Envoy would not take, is an error:
// Envoy would go on with the policy before.
func httpPermission(h *api.IntentionHTTP) (*rbacv3.Permission, error) {
	if h == nil {
		return nil, errors.New("it has no HTTP")
	}
	var all []*rbacv3.Permission
	path := func(m *matcherv3.StringMatcher) {
		all = append(all, &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{
			UrlPath: &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: m}}, // without query and fragment
		}})
	}
	if h.PathExact != "" {
		path(exactly(h.PathExact))
	}
	if h.PathPrefix != "" {
		path(beginning(h.PathPrefix))
	}
	if h.PathRegex != "" {
		if err := checkPattern("PathRegex", h.PathRegex); err != nil {
			return nil, err
		}
		path(matching(h.PathRegex))
	}
	if len(h.Methods) > 0 {
		all = append(all, headerPermission(methodMatch(h.Methods)))
	}
	for i := range h.Header {
		p, err := headerCondition(&h.Header[i])
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Header[i].Name, err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, errors.New("it matches nothing: it has no path, method or header")
	}
	p := allOf(all...)
	if err := p.ValidateAll(); err != nil {
		return nil, err
	}
	return p, nil
}

func headerPermission(m *routev3.HeaderMatcher) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: m}}
}

// headerCondition is inverted as a whole: by Envoy's own inversion a header that is not there would match neither way.
func headerCondition(h *api.IntentionHTTPHeader) (*rbacv3.Permission, error) {
	m := &routev3.HeaderMatcher{Name: strings.ToLower(h.Name)}
	if m.Name == "host" {
		m.Name = ":authority" // where Envoy keeps it
	}
	text := func(s *matcherv3.StringMatcher) {
		s.IgnoreCase = h.IgnoreCase
		m.HeaderMatchSpecifier = stringHeader(s)
	}
	switch {
	case h.Present:
		m.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	case h.Exact != "":
		text(exactly(h.Exact))
	case h.Prefix != "":
		text(beginning(h.Prefix))
	case h.Suffix != "":
		text(ending(h.Suffix))
	case h.Contains != "":
		text(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: h.Contains}})
	case h.Regex != "":
		if err := checkPattern("Regex", h.Regex); err != nil {
			return nil, err
		}
		m.HeaderMatchSpecifier = stringHeader(matching(h.Regex))
	default:
		return nil, errors.New("it says not what to match")
	}
	if h.Invert {
		return not(headerPermission(m)), nil
	}
	return headerPermission(m), nil
}

func checkPattern(field, pattern string) error {
	if len(pattern) > maxPatternSize {
		return fmt.Errorf("%s has %d bytes, at most %d are sent", field, len(pattern), maxPatternSize)
	}
	if _, err := syntax.Parse(pattern, syntax.Perl); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// tokensMetadata is where the filter that verifies tokens leaves their claims, by provider.
const tokensMetadata = "envoy.filters.http.jwt_authn"

// validToken is true of requests with a token of a provider.
func validToken(provider string) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{
		MetadataMatcher: metadata(tokensMetadata, []string{provider}, &matcherv3.ValueMatcher{
			MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true},
		}),
	}}}
}

// rightToken is true of requests with a token of a provider that has the claims.
func rightToken(p *api.IntentionJWTProvider) *rbacv3.Permission {
	all := []*rbacv3.Permission{validToken(p.Name)}
	for _, c := range p.VerifyClaims {
		value := textValue(exactly(c.Value))
		all = append(all, &rbacv3.Permission{Rule: &rbacv3.Permission_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{
			MetadataMatcher: metadata(tokensMetadata, append([]string{p.Name}, c.Path...), &matcherv3.ValueMatcher{
				MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{ValueMatchers: []*matcherv3.ValueMatcher{
					value,
					{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
						MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: value},
					}}},
				}}},
			}),
		}}})
	}
	return allOf(all...)
}

func textValue(m *matcherv3.StringMatcher) *matcherv3.ValueMatcher {
	return &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: m}}
}

func metadata(filter string, path []string, value *matcherv3.ValueMatcher) *matcherv3.MetadataMatcher {
	m := &matcherv3.MetadataMatcher{Filter: filter, Value: value}
	for _, key := range path {
		m.Path = append(m.Path, &matcherv3.MetadataMatcher_PathSegment{
			Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key},
		})
	}
	return m
}
