package envoy

import (
	"cmp"
	"errors"
	"fmt"

	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parleymesh/parley/api"
)

// clockSkew is by how many seconds a token may be late, or early, if its provider does not say it.
const clockSkew = 30

// verification is what verifies the tokens of some providers.
type verification struct {
	filter   *jwtv3.JwtAuthentication
	verified []string // the providers whose tokens it knows
	problems []string
}

// verifyTokens looks in each request for a token of each provider, and leaves the claims of those that are valid for the rules. It
// lets all requests go on: which of them must have a token is for the rules to say, and they deny what they find no claims of.
// A provider that cannot be carried out is left out.
func verifyTokens(providers []*api.JWTProvider) verification {
	v := verification{filter: &jwtv3.JwtAuthentication{}}
	var each []*jwtv3.JwtRequirement
	for _, p := range providers {
		provider, err := jwtProvider(p)
		if err == nil {
			err = provider.ValidateAll()
		}
		if err != nil {
			v.problems = append(v.problems, fmt.Sprintf("jwt-provider %q cannot be carried out: %v; no token of it is valid", p.Name, err))
			continue
		}
		if v.filter.Providers == nil {
			v.filter.Providers = map[string]*jwtv3.JwtProvider{}
		}
		v.filter.Providers[p.Name] = provider
		v.verified = append(v.verified, p.Name)
		each = append(each, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAny{
			RequiresAny: &jwtv3.JwtRequirementOrList{Requirements: []*jwtv3.JwtRequirement{
				{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: p.Name}},
				{RequiresType: &jwtv3.JwtRequirement_AllowMissingOrFailed{AllowMissingOrFailed: &emptypb.Empty{}}},
			}},
		}})
	}
	if len(each) == 0 {
		return v
	}
	requires := each[0]
	if len(each) > 1 {
		requires = &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAll{
			RequiresAll: &jwtv3.JwtRequirementAndList{Requirements: each},
		}}
	}
	v.filter.Rules = []*jwtv3.RequirementRule{{
		Match: everyRequest(), RequirementType: &jwtv3.RequirementRule_Requires{Requires: requires},
	}}
	return v
}

func jwtProvider(p *api.JWTProvider) (*jwtv3.JwtProvider, error) {
	out := &jwtv3.JwtProvider{
		Issuer: p.Issuer, Audiences: p.Audiences, PayloadInMetadata: p.Name,
		ClockSkewSeconds: uint32(cmp.Or(p.ClockSkewSeconds, clockSkew)),
	}
	if p.CacheConfig != nil && p.CacheConfig.Size > 0 {
		out.JwtCacheConfig = &jwtv3.JwtCacheConfig{JwtCacheSize: uint32(p.CacheConfig.Size)}
	}
	if p.Forwarding != nil {
		out.ForwardPayloadHeader, out.PadForwardPayloadHeader = p.Forwarding.HeaderName, p.Forwarding.PadForwardPayloadHeader
	}
	for _, l := range p.Locations {
		switch {
		case l.Header != nil:
			out.FromHeaders = append(out.FromHeaders, &jwtv3.JwtHeader{Name: l.Header.Name, ValuePrefix: l.Header.ValuePrefix})
			out.Forward = out.Forward || l.Header.Forward
		case l.QueryParam != nil:
			out.FromParams = append(out.FromParams, l.QueryParam.Name)
		case l.Cookie != nil:
			out.FromCookies = append(out.FromCookies, l.Cookie.Name)
		}
	}
	switch {
	case p.JSONWebKeySet != nil && p.JSONWebKeySet.Local != nil:
		source, err := localKeys(p.JSONWebKeySet.Local)
		out.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: source}
		return out, err
	case p.JSONWebKeySet != nil && p.JSONWebKeySet.Remote != nil:
		remote := p.JSONWebKeySet.Remote
		if _, err := keysCluster(p.Name, remote); err != nil {
			return nil, err
		}
		out.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: remoteKeys(p.Name, remote)}
		return out, nil
	}
	return nil, errors.New("it has no keys")
}
