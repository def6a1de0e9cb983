package policycases

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// Sources are the callers of db.
var Sources = []string{"web", "web2", "api", "job"}

// Case is who may call db, as it stands in config entries.
type Case struct {
	DB, All      *api.ServiceIntentions // to db, and to all; nil: none
	DefaultAllow bool
	Issuers      []*Issuer
}

// Request is a request with the tokens that it carries.
type Request struct {
	intention.Request
	Query string
}

// New makes a case.
func New(r *rand.Rand, issuers []*Issuer) Case {
	c := Case{DefaultAllow: r.IntN(2) == 0, Issuers: issuers}
	if r.IntN(8) > 0 {
		c.DB = c.entry(r, "db")
	}
	if r.IntN(2) == 0 {
		c.All = c.entry(r, api.Wildcard)
	}
	return c
}

func (c Case) entry(r *rand.Rand, destination string) *api.ServiceIntentions {
	e := &api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: destination}
	if destination != api.Wildcard && r.IntN(4) == 0 {
		e.JWT = c.asked(r)
	}
	for _, name := range append([]string{api.Wildcard}, Sources...) {
		if r.IntN(2) == 0 {
			continue
		}
		s := api.SourceIntention{Name: name}
		if destination == api.Wildcard || r.IntN(3) == 0 {
			s.Action = action(r)
		} else {
			for range 1 + r.IntN(4) {
				p := api.IntentionPermission{Action: action(r), HTTP: match(r)}
				if r.IntN(3) == 0 {
					p.JWT = c.asked(r)
				}
				s.Permissions = append(s.Permissions, p)
			}
		}
		e.Sources = append(e.Sources, s)
	}
	if len(e.Sources) == 0 {
		e.Sources = []api.SourceIntention{{Name: "web", Action: action(r)}}
	}
	return e
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func action(r *rand.Rand) string { return pick(r, api.Allow, api.Deny) }

func (c Case) asked(r *rand.Rand) *api.IntentionJWT {
	j := &api.IntentionJWT{}
	for _, i := range r.Perm(len(c.Issuers))[:1+r.IntN(len(c.Issuers))] {
		p := api.IntentionJWTProvider{Name: c.Issuers[i].Name}
		for range r.IntN(3) {
			p.VerifyClaims = append(p.VerifyClaims, pick(r,
				api.IntentionJWTClaim{Path: []string{"role"}, Value: "admin"},
				api.IntentionJWTClaim{Path: []string{"groups"}, Value: "b"},
				api.IntentionJWTClaim{Path: []string{"org", "team"}, Value: "x"},
				api.IntentionJWTClaim{Path: []string{"org"}, Value: "x"},
				api.IntentionJWTClaim{Path: []string{"role", "deeper"}, Value: "admin"},
			))
		}
		j.Providers = append(j.Providers, p)
	}
	return j
}

func match(r *rand.Rand) *api.IntentionHTTP {
	for {
		h := &api.IntentionHTTP{}
		switch r.IntN(5) {
		case 0:
			h.PathExact = pick(r, "/", "/a", "/admin", "/public/admin")
		case 1:
			h.PathPrefix = pick(r, "/", "/a", "/admin", "/admin/")
		case 2:
			h.PathRegex = pick(r, "/a.*", "/(a|admin)", ".*/admin", "/[a-z]+", "^/a$", "(?i)/ADMIN.*", "/a|/admin/x")
		}
		if r.IntN(3) == 0 {
			h.Methods = pick(r, []string{"GET"}, []string{"GET", "POST"}, []string{"DELETE"})
		}
		for range r.IntN(3) {
			h.Header = append(h.Header, header(r))
		}
		if h.PathExact+h.PathPrefix+h.PathRegex != "" || len(h.Methods)+len(h.Header) > 0 {
			return h
		}
	}
}

func header(r *rand.Rand) api.IntentionHTTPHeader {
	h := api.IntentionHTTPHeader{Name: pick(r, "x-a", "X-B", "host"), Invert: r.IntN(3) == 0, IgnoreCase: r.IntN(3) == 0}
	text := pick(r, "v", "Value", "e", "v,w", "DB")
	switch r.IntN(6) {
	case 0:
		h.Present, h.IgnoreCase = true, false
	case 1:
		h.Exact = text
	case 2:
		h.Prefix = text
	case 3:
		h.Suffix = text
	case 4:
		h.Contains = text
	default:
		h.Regex, h.IgnoreCase = pick(r, "v.*", "[a-z]*", "V|v", ".*,.*", "db"), false
	}
	return h
}

// Request makes a request.
func (c Case) Request(t testing.TB, r *rand.Rand) Request {
	t.Helper()
	q := Request{Query: pick(r, "", "", "?x=1", "?/admin", "?a=/public/admin"), Request: intention.Request{
		Method: pick(r, "GET", "GET", "POST", "DELETE"), Header: http.Header{"Host": {pick(r, "db", "other")}},
		Path: pick(r, "/", "/a", "/a/b", "/admin", "/admin/x", "/A", "/public/admin", "/ADMIN"), Tokens: map[string]map[string]any{},
	}}
	for _, name := range []string{"X-A", "X-B"} {
		for range r.IntN(5) - 2 {
			q.Header.Add(name, pick(r, "", "v", "V", "value", "Value", "w"))
		}
	}
	for _, i := range c.Issuers {
		claims := pick(r, map[string]any{"role": "admin", "groups": []any{"a", "b"}, "org": map[string]any{"team": "x"}},
			map[string]any{"role": "user", "groups": "b"}, map[string]any{"role": []any{"user", "admin"}, "org": "x"}, map[string]any{"role": 7})
		switch r.IntN(8) {
		case 0, 1:
		case 2: // of another key
			q.Header.Set(i.Header(), NewIssuer(t, i.Name).Token(t, claims))
		case 3:
			q.Header.Set(i.Header(), i.Token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}))
		case 4:
			q.Header.Set(i.Header(), i.Token(t, map[string]any{"aud": "elsewhere"}))
		default:
			q.Header.Set(i.Header(), i.Token(t, claims))
			q.Tokens[i.Name] = claims
		}
	}
	return q
}

// Rules writes the case's entries into a store and returns the rules that the servers make of them.
func (c Case) Rules(t testing.TB) []*intention.Rule {
	t.Helper()
	s := nounstore.New()
	nounstore.Do[bool](t, s, intention.SetDefault{Allow: c.DefaultAllow, Why: "the test says so"})
	entries := []api.ConfigEntry{&api.ServiceDefaults{Kind: api.KindServiceDefaults, Name: "db", Protocol: "http"}}
	for _, i := range c.Issuers {
		entries = append(entries, i.Provider(t))
	}
	for _, e := range []*api.ServiceIntentions{c.DB, c.All} {
		if e != nil {
			entries = append(entries, e)
		}
	}
	for _, e := range entries {
		nounstore.Do[bool](t, s, configentry.NewPut(e, nil))
	}
	return nounstore.Values[*intention.Rule](t, s, intention.Policy{Destination: "db"})
}
