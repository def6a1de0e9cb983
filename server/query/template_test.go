package query

import (
	"reflect"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

func environmentOf(groups ...string) *environment {
	return &environment{
		variables: map[string]string{"name.full": "geo-web", "agent.segment": ""},
		match: func(n int) string {
			if n < 0 || n >= len(groups) {
				return ""
			}
			return groups[n]
		},
	}
}

func TestInterpolate(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"web":                            "web",
		"$ { } $$ $x":                    "$ { } $$ $x",
		"${name.full}":                   "geo-web",
		"a-${ name.full }-b":             "a-geo-web-b",
		"${agent.segment}":               "",
		"$${name.full}":                  "${name.full}",
		"${match(0)}":                    "geo-web-v1",
		"${match( 1 )}.${match(2)}":      "web.v1",
		"${match(3)}":                    "",
		"${match(\"1\")}":                "web",
		"${\"a \\\"b\\\" ${\"}":          `a "b" ${`,
		"${7}":                           "7",
		"x ${nope}":                      "error 1:5: unknown variable accessed: nope",
		"a\nb ${nope}":                   "error 2:5: unknown variable accessed: nope",
		"é${nope}":                       "error 1:4: unknown variable accessed: nope",
		"${other(1)}":                    "error 1:3: unknown function called: other",
		"${match()}":                     "error 1:9: expected expression but found ')'",
		"${match(1}":                     "error 1:10: expected ')' but found '}'",
		"${match(name.full)}":            `error 1:3: match takes the number of a group, not "geo-web"`,
		"${":                             "error 1:3: expected an expression but found the end of the text",
		"${name.full":                    "error 1:12: expected '}' but found the end of the text",
		"${name.full name.full}":         "error 1:13: expected '}' but found 'n'",
		"${\"a}":                         "error 1:3: the text that begins here has no end",
		"${match(99999999999999999999)}": `error 1:3: match takes the number of a group, not "99999999999999999999"`,
	} {
		got, err := interpolate(text, environmentOf("geo-web-v1", "web", "v1"))
		if err != nil {
			got = "error " + err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if _, err := interpolate("${"+strings.Repeat("match(", 10_000), environmentOf()); err == nil {
		t.Error("calls may be nested without end")
	}
}

func FuzzInterpolate(f *testing.F) {
	for _, text := range []string{"", "${name.full}", "$${x}", "${match(1)}", `${"a\"b"}`, "${match(match(0))}", "${", "$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := interpolate(text, environmentOf("a", "b"))
		if err == nil && !strings.Contains(text, "${") && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestCompile(t *testing.T) {
	q := &api.PreparedQuery{
		Name:     "geo-",
		Template: api.QueryTemplate{Type: api.QueryNamePrefixMatch, Regexp: "^geo-(.*?)-([^-]+)?$", RemoveEmptyTags: true},
		Service: api.ServiceQuery{
			Service: "${match(1)}", Near: "${name.prefix}", Tags: []string{"${match(2)}", "!${name.suffix}"},
			NodeMeta: map[string]string{"segment": "${agent.segment}"}, ServiceMeta: map[string]string{"full": "${name.full}"},
			Failover:       api.QueryFailover{Datacenters: []string{"dc-${match(1)}"}, Targets: []api.QueryTarget{{Peer: "p-${match(1)}"}}},
			IgnoreCheckIDs: []string{"c-${match(1)}"}, Peer: "${match(9)}",
		},
	}
	before := *q
	before.Service.Tags = append([]string(nil), q.Service.Tags...)
	got, err := compile(q, call{Name: "geo-web-", Segment: "alpha"})
	if err != nil {
		t.Fatal(err)
	}
	want := api.ServiceQuery{
		Service: "web", Near: "geo-", Tags: []string{"!web-"},
		NodeMeta: map[string]string{"segment": "alpha"}, ServiceMeta: map[string]string{"full": "geo-web-"},
		Failover:       api.QueryFailover{Datacenters: []string{"dc-web"}, Targets: []api.QueryTarget{{Peer: "p-web"}}},
		IgnoreCheckIDs: []string{"c-web"},
	}
	if !reflect.DeepEqual(got.Service, want) {
		t.Errorf("got %+v\nwant %+v", got.Service, want)
	}
	if !reflect.DeepEqual(*q, before) {
		t.Errorf("the template itself was changed: %+v", q)
	}
	plain := &api.PreparedQuery{Name: "x", Service: api.ServiceQuery{Service: "${name.full}"}}
	if got, err := compile(plain, call{Name: "x"}); err != nil || got != plain {
		t.Errorf("a query that is no template: %+v, %v", got, err)
	}
}
