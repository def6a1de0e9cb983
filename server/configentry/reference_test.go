package configentry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// TestReferences: what does not fit the entries that stand is refused when it is written, and so is the removal of what others need.
func TestReferences(t *testing.T) {
	const (
		otherHTTP = `{"Kind":"service-defaults","Name":"other","Protocol":"http"}`
		router    = `{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"PathPrefix":"/o"}},"Destination":{"Service":"other"}}]}`
		subsets   = `{"Kind":"service-resolver","Name":"other","Subsets":{"v1":{"Filter":"Service.Meta.v == 1"}}}`
		splitter  = `{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":50},{"Weight":50,"Service":"other","ServiceSubset":"v1"}]}`
		okta      = `{"Kind":"jwt-provider","Name":"okta","JSONWebKeySet":{"Local":{"Filename":"/k"}}}`
		tokens    = `{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/"},"JWT":{"Providers":[{"Name":"okta"}]}}]}]}`
		open      = `{"Kind":"service-defaults","Name":"web","Protocol":"http","MutualTLSMode":"permissive"}`
		exports   = `{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Peer":"p"}]}]}`
		elsewhere = `{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Datacenters":["dc2"]}}}`
	)
	del := func(kind, name string) verb.Command { return Delete{Kind: kind, Name: name} }
	for _, c := range []struct {
		name  string
		stand []string
		do    verb.Command
		want  string
	}{
		{"a router for TCP", nil, write(t, router), `service-router "web" needs requests, but service "web" speaks tcp`},
		{"a router to TCP", []string{webHTTP}, write(t, router), `service "other" speaks tcp, but "web" speaks http`},
		{"the destination turns to TCP", []string{webHTTP, otherHTTP, router}, write(t, strings.Replace(otherHTTP, "http", "tcp", 1)), `"other" speaks tcp`},
		{"the destination's defaults go", []string{webHTTP, otherHTTP, router}, del("service-defaults", "other"), `"other" speaks tcp`},
		{"the defaults of all go", []string{allHTTP, router}, del("proxy-defaults", "global"), `speaks tcp`},
		{"a subset that is not there", []string{allHTTP}, write(t, splitter), `"v1"`},
		{"the subset goes", []string{allHTTP, subsets, splitter}, write(t, strings.Replace(subsets, "v1", "v2", 1)), `"v1"`},
		{"the resolver goes", []string{allHTTP, subsets, splitter}, del("service-resolver", "other"), `"v1"`},
		{"a splitter back, past a subset", []string{allHTTP, subsets, splitter}, write(t, `{"Kind":"service-splitter","Name":"other","Splits":[{"Weight":100,"Service":"web"}]}`), ""},
		{"a loop of two splitters", []string{allHTTP, `{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":100,"Service":"b"}]}`},
			write(t, `{"Kind":"service-splitter","Name":"b","Splits":[{"Weight":100,"Service":"a"}]}`), "circular"},
		{"a loop of redirects", []string{`{"Kind":"service-resolver","Name":"a","Redirect":{"Service":"b"}}`},
			write(t, `{"Kind":"service-resolver","Name":"b","Redirect":{"Service":"a"}}`), "circular"},
		{"a provider that is not there", []string{webHTTP}, write(t, tokens), "Sources[0].Permissions[0].JWT.Providers[0]: Referenced JWT Provider does not exist. Provider Name: okta"},
		{"the provider goes", []string{webHTTP, okta, tokens}, del("jwt-provider", "okta"),
			"cannot delete jwt provider config entry referenced by an intention. Provider name: okta, intention name: web"},
		{"plain text without leave", nil, write(t, open), `MutualTLSMode cannot be set to "permissive"`},
		{"an export that fails over elsewhere", []string{elsewhere}, write(t, exports), `peer exported service "web" contains cross-datacenter failover`},
		{"an exported service fails over elsewhere", []string{exports}, write(t, elsewhere), `peer exported service "web" contains cross-datacenter failover`},
		{"what nobody needs", []string{webHTTP, otherHTTP, router}, del("service-router", "web"), ""},
		{"plain text with leave", []string{`{"Kind":"mesh","AllowEnablingPermissiveMutualTLS":true}`}, write(t, open), ""},
	} {
		s := nounstore.New()
		put(t, s, c.stand...)
		_, _, err := s.Apply(t, c.do)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s is taken", c.name)
			continue
		}
		fails(t, err, 500, c.want)
	}
}

// TestPermissiveStays: leave that is taken back closes nothing, and opens nothing more.
func TestPermissiveStays(t *testing.T) {
	s := nounstore.New()
	open := func(name string) string {
		return `{"Kind":"service-defaults","Name":"` + name + `","MutualTLSMode":"permissive"}`
	}
	put(t, s, `{"Kind":"mesh","AllowEnablingPermissiveMutualTLS":true}`, open("web"), `{"Kind":"mesh"}`)
	put(t, s, strings.Replace(open("web"), `"web"`, `"web","Protocol":"http"`, 1))
	_, _, err := s.Apply(t, write(t, open("db")))
	fails(t, err, 500, "AllowEnablingPermissiveMutualTLS")
}

func changes(t *testing.T, texts ...string) []Change {
	t.Helper()
	var out []Change
	for _, text := range texts {
		if kind, name, ok := strings.Cut(text, "/"); ok && text[0] != '{' {
			out = append(out, Change{Kind: kind, Name: name})
			continue
		}
		out = append(out, Change{Entry: write(t, text).Entry})
	}
	return out
}

// TestBatch: what can only be changed together is, and what has a mistake in it is not changed at all.
func TestBatch(t *testing.T) {
	defaults := func(name, protocol string) string {
		return fmt.Sprintf(`{"Kind":"service-defaults","Name":%q,"Protocol":%q}`, name, protocol)
	}
	router := `{"Kind":"service-router","Name":"a","Routes":[{"Match":{"HTTP":{"PathPrefix":"/b"}},"Destination":{"Service":"b"}}]}`
	s := nounstore.New()
	made := func(c ...Change) []api.EntryProblem { return nounstore.Do[[]api.EntryProblem](t, s, Batch{Changes: c}) }
	if got := made(changes(t, router, defaults("a", "http"), defaults("b", "http"))...); len(got) != 0 {
		t.Fatalf("got %+v", got)
	}
	_, _, err := s.Apply(t, write(t, defaults("b", "grpc")))
	fails(t, err, 500, "inconsistent protocols")
	_, _, err = s.Apply(t, write(t, defaults("a", "grpc")))
	fails(t, err, 500, "inconsistent protocols")
	if got := made(changes(t, defaults("a", "grpc"), defaults("b", "grpc"))...); len(got) != 0 {
		t.Fatalf("together: %+v", got)
	}

	before := s.Index
	wrong := changes(t, defaults("c", "http"), defaults("b", "tcp"), "service-defaults/c2")
	wrong[0].CAS, wrong[2].CAS = ptr(5), ptr(0)
	rehearsed := nounstore.Values[*api.EntryProblem](t, s, Rehearse{Changes: wrong})
	got := made(wrong...)
	if len(got) != 2 || got[0].Change != 0 || !strings.Contains(got[0].Message, "its index is not 5") || got[1].Change != 1 || got[1].Name != "b" ||
		!strings.Contains(got[1].Message, "inconsistent protocols") {
		t.Errorf("got %+v", got)
	}
	for i := range got {
		if len(rehearsed) != len(got) || *rehearsed[i] != got[i] {
			t.Fatalf("the rehearsal says %+v, want %+v", rehearsed, got)
		}
	}
	for _, e := range nounstore.Values[api.ConfigEntry](t, s, List{}) {
		if e.Common().ModifyIndex > before || e.EntryName() == "c" {
			t.Errorf("%s/%s has been written", e.EntryKind(), e.EntryName())
		}
	}
	if got := made(changes(t, "service-router/a", "service-defaults/a", "service-defaults/b")...); len(got) != 0 {
		t.Fatalf("deleted together: %+v", got)
	}
	if rows, _, _ := s.Ask(t, List{}); len(rows) != 0 {
		t.Errorf("%d entries are left", len(rows))
	}
}

func TestCheckChanges(t *testing.T) {
	got := CheckChanges(append(changes(t, webHTTP, `{"Kind":"service-splitter","Name":"x"}`, "service-defaults/web", "bogus/x"), Change{Entry: []byte("{")}))
	want := []string{"1 service-splitter no splits configured", "2 service-defaults it is changed twice, see change 0", "3 bogus invalid config entry kind", "4  decode config entry"}
	for i, p := range got {
		if text := fmt.Sprintf("%d %s %s", p.Change, p.Kind, p.Message); i >= len(want) || !strings.HasPrefix(text, want[i]) {
			t.Errorf("got %s", text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %+v", got)
	}
	fails(t, Batch{Changes: changes(t, "bogus/x")}.Validate(), 500, "bogus/x: invalid config entry kind")
	if got := fmt.Sprint(Batch{Changes: changes(t, webHTTP, "service-intentions/web")}.Needs(nil)); got != "[{service web write} {intention web write}]" {
		t.Errorf("needs %s", got)
	}
}

// TestBinding: routes find their listeners, whichever is written first, and lose them with the gateway.
func TestBinding(t *testing.T) {
	s := nounstore.New()
	bound := func() string {
		t.Helper()
		var out []string
		for _, g := range nounstore.Values[*api.BoundAPIGateway](t, s, List{api.KindBoundAPIGateway}) {
			for _, l := range g.Listeners {
				line := g.Name + "." + l.Name + ":"
				for _, r := range l.Routes {
					line += " " + r.Name
				}
				for _, c := range l.Certificates {
					line += " " + c.Name
				}
				out = append(out, line)
			}
		}
		return strings.Join(out, ", ")
	}
	conditions := func(kind, name string) string {
		t.Helper()
		e := nounstore.Values[api.ConfigEntry](t, s, Get{kind, name})[0]
		var out []string
		for _, c := range status(e).Conditions {
			if c.LastTransitionTime.IsZero() {
				t.Errorf("%s/%s: %s has no time", kind, name, c.Type)
			}
			out = append(out, strings.TrimSpace(c.Resource.SectionName+" "+c.Reason))
		}
		return strings.Join(out, ", ")
	}
	route := func(name, hosts string) string {
		return fmt.Sprintf(`{"Kind":"http-route","Name":%q,"Hostnames":[%s],"Parents":[{"Name":"gw","SectionName":"h"}],"Rules":[{"Services":[{"Name":"web"}]}]}`, name, hosts)
	}
	gateway := `{"Kind":"api-gateway","Name":"gw","Listeners":[{"Name":"h","Port":80,"Protocol":"http","Hostname":"*.example.org",
		"TLS":{"Certificates":[{"Kind":"file-system-certificate","Name":"c"}]}},{"Name":"t","Port":81,"Protocol":"tcp"}]}`
	tcp := func(name string) string {
		return fmt.Sprintf(`{"Kind":"tcp-route","Name":%q,"Parents":[{"Name":"gw"}],"Services":[{"Name":"db"}]}`, name)
	}
	check := func(does, gotten, want string) {
		t.Helper()
		if gotten != want {
			t.Errorf("%s: got %q, want %q", does, gotten, want)
		}
	}
	put(t, s, route("r", `"a.example.org"`))
	check("a route alone", conditions("http-route", "r"), "Accepted, h GatewayNotFound")
	put(t, s, gateway)
	check("its gateway comes", conditions("http-route", "r"), "Accepted, h Bound")
	check("its gateway comes", conditions("api-gateway", "gw"), "InvalidCertificates, h NoConflict, h InvalidCertificateRef, t NoConflict, t ResolvedRefs")
	since := nounstore.Values[*api.HTTPRoute](t, s, Get{"http-route", "r"})[0]
	put(t, s, `{"Kind":"file-system-certificate","Name":"c","Certificate":"/c","PrivateKey":"/k"}`)
	check("its certificate comes", conditions("api-gateway", "gw"), "Accepted, h NoConflict, h ResolvedRefs, t NoConflict, t ResolvedRefs")
	put(t, s, route("other", `"a.example.com"`), tcp("t1"), tcp("t2"))
	check("a route to other hosts", conditions("http-route", "other"), "Accepted, h FailedToBind")
	check("two TCP routes", conditions("api-gateway", "gw"), "Accepted, h NoConflict, h ResolvedRefs, t RouteConflict, t ResolvedRefs")
	check("all", bound(), "gw.h: r c, gw.t: t1 t2")
	if now := nounstore.Values[*api.HTTPRoute](t, s, Get{"http-route", "r"})[0]; now.ModifyIndex != since.ModifyIndex || now.Status.Conditions[1] != since.Status.Conditions[1] {
		t.Errorf("a route that nothing changed for is another: %+v", now)
	}
	put(t, s, gateway) // as sent, without the status
	check("the same again", bound(), "gw.h: r c, gw.t: t1 t2")
	nounstore.Do[bool](t, s, Delete{Kind: "api-gateway", Name: "gw"})
	check("without the gateway", bound(), "")
	check("without the gateway", conditions("http-route", "r"), "Accepted, h GatewayNotFound")
	put(t, s, `{"Kind":"http-route","Name":"empty"}`)
	check("a route to nothing", conditions("http-route", "empty"), "NoUpstreamServicesTargeted")
	nounstore.Same(t, s, s.Reloaded(t), List{})
}

// crowd is a store with as many services of HTTP, each with a router that leads to the next and to one that all share.
func crowd(t testing.TB, n int) *nounstore.Store {
	s := nounstore.New()
	texts := []string{allHTTP}
	for i := range n {
		texts = append(texts, fmt.Sprintf(`{"Kind":"service-router","Name":"s%d","Routes":[{"Match":{"HTTP":{"PathPrefix":"/n"}},"Destination":{"Service":"s%d"}},
			{"Match":{"HTTP":{"PathPrefix":"/a"}},"Destination":{"Service":"auth"}}]}`, i, i+1))
	}
	var b Batch
	for _, text := range texts {
		b.Changes = append(b.Changes, Change{Entry: write(t, text).Entry})
	}
	if got := nounstore.Do[[]api.EntryProblem](t, s, b); len(got) != 0 {
		t.Fatalf("got %+v", got[0])
	}
	return s
}

// BenchmarkAdmit writes one entry among 5,000 others: one that few refer to, and one that all do.
func BenchmarkAdmit(b *testing.B) {
	s := crowd(b, 5000)
	for _, name := range []string{"s2500", "auth"} {
		b.Run(name, func(b *testing.B) {
			p := write(b, fmt.Sprintf(`{"Kind":"service-resolver","Name":%q,"ConnectTimeout":"3s"}`, name))
			for b.Loop() {
				nounstore.Do[bool](b, s, p)
			}
		})
	}
}
