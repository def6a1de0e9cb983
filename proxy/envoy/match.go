package envoy

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
)

// everyRequest matches all.
func everyRequest() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}

// routeMatch translates what a route of a service-router matches.
func routeMatch(route *api.ServiceRoute) *routev3.RouteMatch {
	m := everyRequest()
	if route == nil || route.Match == nil || route.Match.HTTP == nil {
		return m
	}
	want := route.Match.HTTP
	switch {
	case want.PathExact != "":
		m.PathSpecifier = &routev3.RouteMatch_Path{Path: want.PathExact}
	case want.PathPrefix != "":
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: want.PathPrefix}
	case want.PathRegex != "":
		m.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regex(want.PathRegex)}
	}
	if want.CaseInsensitive && want.PathRegex == "" { // a pattern says it itself, by (?i)
		m.CaseSensitive = wrapperspb.Bool(false)
	}
	for _, h := range want.Header {
		m.Headers = append(m.Headers, headerMatch(h))
	}
	for _, q := range want.QueryParam {
		m.QueryParameters = append(m.QueryParameters, queryMatch(q))
	}
	if len(want.Methods) > 0 {
		m.Headers = append(m.Headers, methodMatch(want.Methods))
	}
	return m
}

func headerMatch(h api.RouteHeaderMatch) *routev3.HeaderMatcher {
	m := &routev3.HeaderMatcher{Name: h.Name, InvertMatch: h.Invert}
	switch {
	case h.Exact != "":
		m.HeaderMatchSpecifier = stringHeader(exactly(h.Exact))
	case h.Prefix != "":
		m.HeaderMatchSpecifier = stringHeader(beginning(h.Prefix))
	case h.Suffix != "":
		m.HeaderMatchSpecifier = stringHeader(ending(h.Suffix))
	case h.Regex != "":
		m.HeaderMatchSpecifier = stringHeader(matching(h.Regex))
	default:
		m.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	}
	return m
}

func queryMatch(q api.RouteQueryMatch) *routev3.QueryParameterMatcher {
	m := &routev3.QueryParameterMatcher{Name: q.Name}
	switch {
	case q.Exact != "":
		m.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: exactly(q.Exact)}
	case q.Regex != "":
		m.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: matching(q.Regex)}
	default:
		m.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
	}
	return m
}

// methodMatch matches any of the methods, which are names and no patterns.
func methodMatch(methods []string) *routev3.HeaderMatcher {
	quoted := make([]string, len(methods))
	for i, method := range methods {
		quoted[i] = regexp.QuoteMeta(method)
	}
	return &routev3.HeaderMatcher{Name: ":method", HeaderMatchSpecifier: stringHeader(matching(strings.Join(quoted, "|")))}
}

func stringHeader(m *matcherv3.StringMatcher) *routev3.HeaderMatcher_StringMatch {
	return &routev3.HeaderMatcher_StringMatch{StringMatch: m}
}

func exactly(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: text}}
}

func beginning(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: text}}
}

func ending(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: text}}
}

func matching(pattern string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(pattern)}}
}

func regex(pattern string) *matcherv3.RegexMatcher { return &matcherv3.RegexMatcher{Regex: pattern} }
