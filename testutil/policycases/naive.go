package policycases

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Naive says with which status a request of a source is answered.
func (c Case) Naive(source string, q Request) int {
	var decides *api.SourceIntention
	var entry *api.ServiceIntentions
	for _, e := range []*api.ServiceIntentions{c.All, c.DB} { // what is found later is more particular
		for _, name := range []string{api.Wildcard, source} {
			if e == nil {
				continue
			}
			if i := slices.IndexFunc(e.Sources, func(s api.SourceIntention) bool { return s.Name == name }); i >= 0 {
				decides, entry = &e.Sources[i], e
			}
		}
	}
	allowed, asked := c.DefaultAllow, []*api.IntentionJWT(nil)
	if decides != nil {
		allowed, asked = decides.Action == api.Allow, []*api.IntentionJWT{entry.JWT}
		for i := len(decides.Permissions) - 1; i >= 0; i-- { // the first comes last, and so wins
			if p := decides.Permissions[i]; naiveMatch(p.HTTP, q) {
				allowed, asked = p.Action == api.Allow, []*api.IntentionJWT{entry.JWT, p.JWT}
			}
		}
	}
	if !allowed {
		return http.StatusForbidden
	}
	status := http.StatusOK
	for _, j := range asked {
		status = max(status, naiveToken(j, q))
	}
	if slices.ContainsFunc(asked, func(j *api.IntentionJWT) bool { return naiveToken(j, q) == http.StatusUnauthorized }) {
		return http.StatusUnauthorized
	}
	return status
}

func naiveToken(j *api.IntentionJWT, q Request) int {
	if j == nil {
		return http.StatusOK
	}
	status := http.StatusUnauthorized
	for _, p := range j.Providers {
		claims, ok := q.Tokens[p.Name]
		if !ok {
			continue
		}
		if status == http.StatusUnauthorized {
			status = http.StatusForbidden
		}
		all := true
		for _, want := range p.VerifyClaims {
			all = all && naiveClaim(claims, want.Path, want.Value)
		}
		if all {
			status = http.StatusOK
		}
	}
	return status
}

func naiveClaim(v any, path []string, want string) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(path) > 0 && naiveClaim(v[path[0]], path[1:], want)
	case []any:
		return len(path) == 0 && slices.Contains(v, any(want))
	case string:
		return len(path) == 0 && v == want
	}
	return false
}

func naiveMatch(h *api.IntentionHTTP, q Request) bool {
	if h.PathExact != "" && h.PathExact != q.Path || h.PathPrefix != "" && !strings.HasPrefix(q.Path, h.PathPrefix) {
		return false
	}
	if h.PathRegex != "" && !whole(h.PathRegex, q.Path) || h.Methods != nil && !slices.Contains(h.Methods, q.Method) {
		return false
	}
	for _, c := range h.Header {
		found := 0
		for _, value := range q.Header[http.CanonicalHeaderKey(c.Name)] {
			if naiveHeader(c, value) {
				found++
			}
		}
		if found > 0 == c.Invert {
			return false
		}
	}
	return true
}

func naiveHeader(c api.IntentionHTTPHeader, value string) bool {
	pattern := ".*"
	quote := regexp.QuoteMeta
	switch {
	case c.Exact != "":
		pattern = quote(c.Exact)
	case c.Prefix != "":
		pattern = quote(c.Prefix) + ".*"
	case c.Suffix != "":
		pattern = ".*" + quote(c.Suffix)
	case c.Contains != "":
		pattern = ".*" + quote(c.Contains) + ".*"
	case c.Regex != "":
		pattern = c.Regex
	}
	if c.IgnoreCase {
		pattern = "(?i)" + pattern
	}
	return whole(pattern, value)
}

// whole tells whether a pattern's longest match is all of the text.
func whole(pattern, text string) bool {
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	re.Longest()
	return re.FindString(text) == text && re.MatchString(text)
}
