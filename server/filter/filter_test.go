package filter_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/filter"
)

func entry() *api.ServiceEntry {
	return &api.ServiceEntry{
		Node: api.Node{Node: "n1", Meta: map[string]string{"rack": "r1"}},
		Service: api.Service{
			ID: "web-1", Service: "web", Port: 8080, Tags: []string{"a", "b"}, Meta: map[string]string{"v": "2"},
			Proxy: &api.Proxy{Config: map[string]any{"limits": map[string]any{"max": 5.0}, "names": []any{"x", 1.0, nil}}},
		},
		Checks: []api.Check{{CheckID: "c1", Status: "passing"}, {CheckID: "c2", Status: "critical"}},
	}
}

func TestMatch(t *testing.T) {
	for expression, want := range map[string]bool{
		`Service.Port == 8080`:                                     true,
		`Service.Port != 8080`:                                     false,
		`Service.Meta.v == "2"`:                                    true,
		`Service.Meta.v == 2`:                                      true,
		`Service.Meta.none == ""`:                                  false,
		`Service.Meta.none != "x"`:                                 true,
		`Service.Meta.none is empty`:                               true,
		`Service.Meta is not empty`:                                true,
		`v in Service.Meta`:                                        true,
		`w not in Service.Meta`:                                    true,
		`"a" in Service.Tags`:                                      true,
		`Service.Tags contains "c"`:                                false,
		`"a" in Service.Tags and Node.Meta.rack == "r1"`:           true,
		`not ("a" in Service.Tags)`:                                false,
		`Node.Node == n2 or Service.ID matches "web-[12]"`:         true,
		`Service.ID not matches "^w"`:                              false,
		`Checks.Status == critical`:                                true,
		`Checks.Status == warning`:                                 false,
		`Checks.Status != passing`:                                 true,
		`any Checks as c { c.Status == critical }`:                 true,
		`all Checks as c { c.Status == critical }`:                 false,
		`all Checks as i, c { c.Status != warning }`:               true,
		`any Service.Meta as k, v { k == "v" and v == "2" }`:       true,
		`any Service.Tags as t { t == "b" }`:                       true,
		`Service.Locality.Zone == "z"`:                             false, // there is no locality
		`Service.Locality.Zone != "z"`:                             true,
		`Service.Proxy.Config.limits.max == 5`:                     true,
		`Service.Proxy.Config.limits.none == 5`:                    false,
		`Service.Proxy.Config.limits.max.deeper == 5`:              false,
		`Service.Proxy.Upstreams.DestinationName == db`:            false,
		`Service.Proxy.Upstreams is empty`:                         true,
		`"x" in Service.Proxy.Config.names`:                        true,
		`"1" in Service.Proxy.Config.names`:                        true,
		`"y" in Service.Proxy.Config.names`:                        false,
		`Service.EnableTagOverride == false`:                       true,
		`Service.Service contains "eb"`:                            true,
		`any Service.Tags as t { any Service.Tags as u {u == t} }`: false, // compares with the word "t"
	} {
		f, err := filter.Compile(expression, reflect.TypeFor[*api.ServiceEntry]())
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := f.Match(entry()); got != want {
			t.Errorf("%s: got %v, want %v", expression, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for expression, want := range map[string]string{
		``:                                 "no match found",
		`bad(`:                             "no match found",
		`Nothing == 1`:                     `selector "Nothing" is not valid`,
		`Node.Nothing == 1`:                `no field "Nothing"`,
		`Service.Port == eighty`:           "invalid syntax",
		`Service.Port is empty`:            "a number",
		`Service.Port > 1`:                 "no match found",
		`Node == 1`:                        "an object",
		`Service.Tags == a`:                "a list",
		`Service.ID matches "("`:           "missing closing",
		`a in Service.Port`:                "holds no values",
		`any Service.Port as p { p == 1 }`: "not a list",
		`Service.Tags.x == 1`:              "no list of objects",
		`Service.ID.x == 1`:                "nothing is inside",
		strings.Repeat("(", 9000):          "at most 8192",
		strings.Repeat("(", 8000):          "max",
	} {
		_, err := filter.Compile(expression, reflect.TypeFor[*api.ServiceEntry]())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want an error with %q", expression, err, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`Checks.Status == critical and not ("a" in Service.Tags)`)
	f.Add(`any Service.Meta as k, v { k == "v" or v matches "x" }`)
	f.Add(`Service.Proxy.Config.a.b is empty`)
	row := entry()
	f.Fuzz(func(_ *testing.T, expression string) {
		if m, err := filter.Compile(expression, reflect.TypeOf(row)); err == nil {
			m.Match(row)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, err := filter.Compile(`"a" in Service.Tags and Node.Meta.rack == "r1"`, reflect.TypeFor[*api.ServiceEntry]())
	if err != nil {
		b.Fatal(err)
	}
	row := entry()
	for b.Loop() {
		f.Match(row)
	}
}
