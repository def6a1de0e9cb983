package intention

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Request is what rules see of an HTTP request, after the proxy has brought it into its one form.
type Request struct {
	Method string
	Path   string      // without query and fragment; empty if it has none, as CONNECT
	Header http.Header // Host stands for :authority, too
	// Tokens are the claims of the tokens that were verified, by the name of their provider.
	Tokens map[string]map[string]any
}

// Verdict is what becomes of a request.
type Verdict struct {
	api.Decision
	// Unauthenticated says that the request was denied for want of a valid token, so that it is answered with 401.
	Unauthenticated bool
}

// Status is the status that a proxy answers with, or 200 for a request that passes.
func (v Verdict) Status() int {
	switch {
	case v.Allowed:
		return http.StatusOK
	case v.Unauthenticated:
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// DecideRequest says what becomes of a request from source, by a destination's rules in the order of Policy. The first rule that
// is about the source decides, and no other: by its action, or by the first of its permissions that matches the request. What
// none of them matches is denied. A permission that allows, but asks for a token that is not there, is not passed over.
func DecideRequest(rules []*Rule, source string, request *Request) Verdict {
	for _, r := range rules {
		if r.matches(source) {
			return r.request(request, providerNames(rules))
		}
	}
	return Verdict{Decision: Decide(nil, source)}
}

// providerNames are those whose tokens can be verified.
func providerNames(rules []*Rule) []string {
	var names []string
	for _, r := range rules {
		for _, p := range r.Providers {
			names = append(names, p.Name)
		}
	}
	return names
}

func (r *Rule) request(request *Request, providers []string) Verdict {
	if !r.HTTP {
		return Verdict{Decision: r.decision()}
	}
	if len(r.Permissions) == 0 {
		return r.tokens(request, providers, r.ID, r.Why, r.JWT)
	}
	for i := range r.Permissions {
		p := &r.Permissions[i]
		if !matchesHTTP(p.HTTP, request) {
			continue
		}
		id, why := PermissionID(r.ID, i), fmt.Sprintf("%s: permission %d of %d", r.Why, i+1, len(r.Permissions))
		if p.Action != api.Allow {
			return Verdict{Decision: api.Decision{Rule: id, Why: why + " denies"}}
		}
		return r.tokens(request, providers, id, why+" allows", r.JWT, p.JWT)
	}
	return Verdict{Decision: api.Decision{Rule: r.ID, Why: r.Why + ": none of its permissions matches, so it is denied"}}
}

// PermissionID names a permission of a rule. They are counted from 1.
func PermissionID(rule string, index int) string { return fmt.Sprintf("%s#%d", rule, index+1) }

// tokens allows a request that carries the tokens that it is asked for.
func (r *Rule) tokens(request *Request, providers []string, id, why string, asked ...*api.IntentionJWT) Verdict {
	wrong := false
	for _, j := range asked {
		if j == nil {
			continue
		}
		valid, ok := false, false
		for _, p := range j.Providers {
			claims, there := request.Tokens[p.Name]
			if !there || !slices.Contains(providers, p.Name) {
				continue
			}
			valid = true
			ok = ok || !slices.ContainsFunc(p.VerifyClaims, func(c api.IntentionJWTClaim) bool { return !hasClaim(claims, c) })
		}
		if !valid {
			return Verdict{
				Decision:        api.Decision{Rule: id, Why: why + ", but the request has no valid token of " + names(j)},
				Unauthenticated: true,
			}
		}
		wrong = wrong || !ok
	}
	if wrong {
		return Verdict{Decision: api.Decision{Rule: id, Why: why + ", but the token has not the claims that are asked for"}}
	}
	return Verdict{Decision: api.Decision{Allowed: true, Rule: id, Why: why}}
}

func names(j *api.IntentionJWT) string {
	var all []string
	for _, p := range j.Providers {
		all = append(all, fmt.Sprintf("%q", p.Name))
	}
	return strings.Join(all, " or ")
}

// hasClaim tells whether a token has a claim: a text that is the value, or a list in which it is.
func hasClaim(claims map[string]any, c api.IntentionJWTClaim) bool {
	var v any = claims
	for _, key := range c.Path {
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		v = m[key]
	}
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(x any) bool { return x == any(c.Value) })
	}
	return v == any(c.Value)
}

func matchesHTTP(h *api.IntentionHTTP, request *Request) bool {
	if h == nil {
		return false
	}
	switch {
	case h.PathExact != "" && request.Path != h.PathExact,
		h.PathPrefix != "" && !strings.HasPrefix(request.Path, h.PathPrefix),
		h.PathRegex != "" && (request.Path == "" || !matchesWhole(h.PathRegex, request.Path)),
		len(h.Methods) > 0 && !slices.Contains(h.Methods, request.Method):
		return false
	}
	return !slices.ContainsFunc(h.Header, func(c api.IntentionHTTPHeader) bool {
		return matchesHeader(&c, request) == c.Invert
	})
}

// matchesHeader judges a header without its inversion, which turns around all of it. Of several values any may match. A header
// that is not there matches nothing, and so is matched by whatever is inverted.
func matchesHeader(c *api.IntentionHTTPHeader, request *Request) bool {
	name := c.Name
	if strings.EqualFold(name, ":authority") {
		name = "Host"
	}
	var values []string
	switch strings.ToLower(name) {
	case ":method":
		values = []string{request.Method}
	default:
		values = request.Header.Values(name)
	}
	return slices.ContainsFunc(values, func(value string) bool { return matchesValue(c, value) })
}

func matchesValue(c *api.IntentionHTTPHeader, value string) bool {
	fold := func(text string) string {
		if c.IgnoreCase {
			return strings.ToLower(text)
		}
		return text
	}
	switch {
	case c.Present:
		return true
	case c.Exact != "":
		return fold(value) == fold(c.Exact)
	case c.Prefix != "":
		return strings.HasPrefix(fold(value), fold(c.Prefix))
	case c.Suffix != "":
		return strings.HasSuffix(fold(value), fold(c.Suffix))
	case c.Contains != "":
		return strings.Contains(fold(value), fold(c.Contains))
	case c.Regex != "":
		return matchesWhole(c.Regex, value)
	}
	return false
}

// matchesWhole matches as Envoy does: all of the text, not a part of it.
func matchesWhole(pattern, text string) bool {
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return err == nil && re.MatchString(text)
}
