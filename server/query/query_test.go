package query_test

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(p api.PreparedQuery) query.Create { return query.Create{PreparedQuery: p} }

func about(service string) api.ServiceQuery { return api.ServiceQuery{Service: service} }

func template(name, service string) api.PreparedQuery {
	return api.PreparedQuery{Name: name, Service: about(service), Template: api.QueryTemplate{Type: api.QueryNamePrefixMatch}}
}

// names are those of the queries that answer for some names.
func explained(t *testing.T, s *nounstore.Store, names ...string) string {
	t.Helper()
	var out []string
	for _, name := range names {
		rows := nounstore.Values[*api.PreparedQuery](t, s, query.Explain{Query: name})
		if len(rows) == 0 {
			out = append(out, "-")
			continue
		}
		out = append(out, rows[0].Service.Service)
	}
	return strings.Join(out, " ")
}

func TestLife(t *testing.T) {
	s := nounstore.New()
	id := nounstore.Do[string](t, s, create(api.PreparedQuery{Name: "Web", Service: about("web")}))
	if id != nounstore.ID(1) {
		t.Fatal(id)
	}
	if got := explained(t, s, id, "web", "WEB", "we", "webs"); got != "web web web - -" {
		t.Error(got)
	}
	nounstore.Do[any](t, s, query.Update{PreparedQuery: api.PreparedQuery{ID: id, Name: "Web", Service: about("web2")}})
	p := nounstore.Values[*api.PreparedQuery](t, s, query.Get{ID: id})[0]
	if p.Service.Service != "web2" || p.CreateIndex != nounstore.First || p.ModifyIndex != nounstore.First+1 {
		t.Errorf("%+v", p)
	}
	again := query.Update{PreparedQuery: api.PreparedQuery{ID: id, Name: "Web", Service: about("web2")}}
	if woken := s.Wakes(t, again, query.Get{ID: id}); woken[0] {
		t.Error("an update that changes nothing wakes")
	}

	nounstore.Do[string](t, s, create(template("", "any-${name.full}")))
	nounstore.Do[string](t, s, create(template("we", "we-${name.suffix}")))
	nounstore.Do[string](t, s, create(template("web-", "web-${name.suffix}")))
	if got := explained(t, s, "web", "x", "weather", "WEB-1", "web-"); got != "web2 any-x we-ather web-1 web-" {
		t.Error(got)
	}
	nounstore.Same(t, s, s.Reloaded(t), query.List{}, query.Explain{Query: "web-1"})

	nounstore.Do[any](t, s, query.Delete{ID: id})
	if got := explained(t, s, "web", id); got != "we-b any-"+id {
		t.Error(got)
	}
	if rows := nounstore.Values[*api.PreparedQuery](t, s, query.List{}); len(rows) != 3 {
		t.Errorf("%d are left", len(rows))
	}
}

func TestRefusals(t *testing.T) {
	s := nounstore.New()
	id := nounstore.Do[string](t, s, create(api.PreparedQuery{Name: "web", Service: about("web")}))
	nounstore.Do[string](t, s, create(template("", "x")))
	nounstore.Do[string](t, s, create(template("web", "x"))) // a template may share a name
	with := func(change func(*api.PreparedQuery)) query.Create {
		c := create(api.PreparedQuery{Name: "new", Service: about("web")})
		change(&c.PreparedQuery)
		return c
	}
	for _, c := range []struct {
		command verb.Command
		want    string
	}{
		{create(api.PreparedQuery{ID: id, Name: "x", Service: about("web")}), "ID must be empty"},
		{create(api.PreparedQuery{Service: about("web")}), "Must be bound to a session"},
		{create(api.PreparedQuery{Name: "x"}), "Must provide a Service name"},
		{create(api.PreparedQuery{Name: "WEB", Service: about("web")}), "aliases an existing query name"},
		{create(api.PreparedQuery{Name: id, Service: about("web")}), "aliases an existing query ID"},
		{create(template("", "y")), "a query template with an empty name already exists"},
		{create(template("Web", "y")), "already exists"},
		{create(template("t", "${nope}")), "Bad evaluation for '${nope}' in Service.Service: 1:3: unknown variable accessed: nope"},
		{with(func(p *api.PreparedQuery) { p.Session = "none" }), `invalid session "none"`},
		{with(func(p *api.PreparedQuery) { p.Template.Type = "x" }), "Bad Template.Type 'x'"},
		{with(func(p *api.PreparedQuery) { p.Template.Regexp = "x" }), "Template.Type"},
		{with(func(p *api.PreparedQuery) {
			p.Template = api.QueryTemplate{Type: api.QueryNamePrefixMatch, Regexp: "("}
		}), "Bad Regexp"},
		{with(func(p *api.PreparedQuery) { p.DNS.TTL = "x" }), "Bad DNS TTL 'x'"},
		{with(func(p *api.PreparedQuery) { p.DNS.TTL = "-1s" }), "must be >=0"},
		{with(func(p *api.PreparedQuery) { p.Service.Failover.NearestN = -1 }), "Bad NearestN '-1', must be >= 0"},
		{with(func(p *api.PreparedQuery) {
			p.Service.Failover = api.QueryFailover{NearestN: 1, Targets: []api.QueryTarget{{Peer: "p"}}}
		}), "Failover.Targets"},
		{with(func(p *api.PreparedQuery) {
			p.Service.Failover.Targets = []api.QueryTarget{{Peer: "p", Datacenter: "d"}}
		}), "Failover.Targets[0]"},
		{with(func(p *api.PreparedQuery) { p.Name = strings.Repeat("x", 600) }), "Bad Name"},
		{query.Update{PreparedQuery: api.PreparedQuery{ID: nounstore.ID(99), Service: about("web")}}, "Cannot modify non-existent"},
		{query.Update{PreparedQuery: api.PreparedQuery{ID: id, Service: about("web")}}, "Must be bound to a session"},
		{query.Update{PreparedQuery: api.PreparedQuery{ID: "bad", Name: "x", Service: about("web")}}, "UUID must be 36 characters"},
		{query.Delete{ID: nounstore.ID(99)}, "Cannot modify non-existent"},
		{query.Delete{ID: strings.Repeat("x", 36)}, "not a UUID"},
	} {
		if _, _, err := s.Apply(t, c.command); err == nil || !strings.Contains(err.Error(), c.want) || api.StatusOf(err) != 500 {
			t.Errorf("%+v: got %v, want %q", c.command, err, c.want)
		}
	}
}

func register(node, id string, s api.Service, status string) catalog.Register {
	s.ID, s.Service = id, "web"
	return catalog.Register{Registration: api.Registration{
		Node: node, Address: "192.0.2.1", NodeMeta: map[string]string{"rack": node}, Service: &s,
		Checks: []api.Check{{CheckID: "c-" + id, ServiceID: id, Status: status}},
	}}
}

// found are the ids of what a query finds, in its order.
func found(t *testing.T, s *nounstore.Store, q query.Execute) string {
	t.Helper()
	rows, _, _ := s.Ask(t, q)
	if len(rows) == 0 {
		return "none"
	}
	_, entries := query.Split(rows)
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Service.ID)
	}
	return strings.Join(ids, " ")
}

func TestExecute(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[any](t, s, register("n1", "a", api.Service{Tags: []string{"V1", "prod"}, Meta: map[string]string{"k": "v"}}, api.Passing))
	nounstore.Do[any](t, s, register("n2", "b", api.Service{Tags: []string{"v2", "prod"}}, api.Warning))
	nounstore.Do[any](t, s, register("n3", "c", api.Service{Tags: []string{"v2"}}, api.Critical))
	nounstore.Do[any](t, s, catalog.Register{Registration: api.Registration{Node: "n3", Address: "192.0.2.3", NodeMeta: map[string]string{"rack": "n3"}, Service: &api.Service{
		Kind: api.KindConnectProxy, ID: "px", Service: "web-px", Proxy: &api.Proxy{DestinationServiceName: "web"}}}})
	for i, c := range []struct {
		change func(*api.ServiceQuery)
		want   string
	}{
		{func(*api.ServiceQuery) {}, "a b"},
		{func(q *api.ServiceQuery) { q.OnlyPassing = true }, "a"},
		{func(q *api.ServiceQuery) { q.IgnoreCheckIDs = []string{"c-c"} }, "a b c"},
		{func(q *api.ServiceQuery) { q.Tags = []string{"v1"} }, "a"},
		{func(q *api.ServiceQuery) { q.Tags = []string{"prod", "!V1"} }, "b"},
		{func(q *api.ServiceQuery) { q.NodeMeta = map[string]string{"rack": "n2"} }, "b"},
		{func(q *api.ServiceQuery) { q.ServiceMeta = map[string]string{"k": "v"} }, "a"},
		{func(q *api.ServiceQuery) { q.Near = "N2" }, "b a"},
		{func(q *api.ServiceQuery) { q.Near = "_agent" }, "b a"},
		{func(q *api.ServiceQuery) { q.Connect = true }, "px"},
		{func(q *api.ServiceQuery) { q.Peer = "other" }, ""},
		{func(q *api.ServiceQuery) { q.Service = "absent" }, ""},
		{func(q *api.ServiceQuery) { q.Service, q.Failover.Datacenters = "absent", []string{"dc2"} }, ""},
	} {
		p := api.PreparedQuery{Name: string(rune('a' + i)), Service: about("web"), DNS: api.QueryDNS{TTL: "9s"}}
		c.change(&p.Service)
		nounstore.Do[string](t, s, create(p))
		if got := found(t, s, query.Execute{Query: p.Name, Agent: "n2"}); got != c.want {
			t.Errorf("%+v: got %q, want %q", p.Service, got, c.want)
		}
	}
	if got := found(t, s, query.Execute{Query: "a", Connect: true, Near: "n3"}); got != "px" {
		t.Error(got)
	}
	if got := found(t, s, query.Execute{Query: "zz"}); got != "none" {
		t.Error(got)
	}

	woken := s.Wakes(t, register("n2", "b", api.Service{}, api.Critical), query.Execute{Query: "a"}, query.Execute{Query: "l"}, query.List{})
	if !slices.Equal(woken, []bool{true, false, false}) {
		t.Errorf("woken: %v", woken)
	}
	woken = s.Wakes(t, create(template("z", "web")), query.Execute{Query: "zz"})
	if !woken[0] || found(t, s, query.Execute{Query: "zz"}) != "a" {
		t.Errorf("a new template: %v", woken)
	}
}
