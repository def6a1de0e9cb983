package configentry

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write is the command for an entry as a user writes it.
func write(t testing.TB, text string) Put {
	t.Helper()
	e, err := api.DecodeConfigEntry([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return NewPut(e, nil)
}

func put(t testing.TB, s *nounstore.Store, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !nounstore.Do[bool](t, s, write(t, text)) {
			t.Errorf("%s: not written", text)
		}
	}
}

// shown is an entry as the API shows it, without what the servers count.
func shown(t testing.TB, s *nounstore.Store, kind, name string) string {
	t.Helper()
	rows, _, _ := s.Ask(t, Get{kind, name})
	if len(rows) == 0 {
		return ""
	}
	data, err := rows[0].JSON()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["Hash"] == nil || fields["CreateIndex"] == nil || fields["ModifyIndex"] == nil {
		t.Errorf("%s/%s: no hash or no index in %s", kind, name, data)
	}
	delete(fields, "Hash")
	delete(fields, "CreateIndex")
	delete(fields, "ModifyIndex")
	data, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func fails(t testing.TB, err error, status int, phrase string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Message, phrase) {
		t.Errorf("got %v (status %d), want status %d and %q", err, api.StatusOf(err), status, phrase)
	}
}

func ptr(n uint64) *uint64 { return &n }

const (
	webHTTP  = `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`
	webTCP   = `{"Kind":"service-defaults","Name":"web","Protocol":"tcp"}`
	allHTTP  = `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"}}`
	allTCP   = `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"tcp"}}`
	requests = `{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/"}}]}]}`
)

func TestKinds(t *testing.T) {
	for _, c := range []struct{ kind, name, in, want string }{
		{"service-defaults", "web", `{"Kind":"service-defaults","Name":"web","Protocol":"http","Meta":{"a":"b"}}`,
			`{"Expose":{},"Kind":"service-defaults","MeshGateway":{},"Meta":{"a":"b"},"Name":"web","Protocol":"http","TransparentProxy":{}}`},
		{"service-defaults", "lower", `{"kind":"service-defaults","name":"lower","mesh_gateway":{"mode":"local"},"upstream_config":{"defaults":{"connect_timeout_ms":5}}}`,
			`{"Expose":{},"Kind":"service-defaults","MeshGateway":{"Mode":"local"},"Name":"lower","Protocol":"","TransparentProxy":{},` +
				`"UpstreamConfig":{"Defaults":{"ConnectTimeoutMs":5,"MeshGateway":{},"Peer":""}}}`},
		{"service-defaults", "web", `{"Kind":"service-defaults","Name":"web","Protocol":"http","Mode":"transparent","TransparentProxy":{"OutboundListenerPort":15002,` +
			`"DialedDirectly":true},"Expose":{"Paths":[{"Path":"/h","ListenerPort":1,"LocalPathPort":2,"Protocol":"http"}]},"UpstreamConfig":{"Overrides":[{"Name":"db",` +
			`"Protocol":"tcp","MeshGateway":{"Mode":"none"}}]},"MaxInboundConnections":10,"BalanceInboundConnections":"exact_balance",` +
			`"EnvoyExtensions":[{"Name":"builtin/lua","Arguments":{"Script":"x"}}],"Destination":{"Addresses":["a.example.org"],"Port":443}}`,
			`{"BalanceInboundConnections":"exact_balance","Destination":{"Addresses":["a.example.org"],"Port":443},"EnvoyExtensions":[{"Arguments":{"Script":"x"},` +
				`"ConsulVersion":"","EnvoyVersion":"","Name":"builtin/lua","Required":false}],"Expose":{"Paths":[{"ListenerPort":1,"LocalPathPort":2,"Path":"/h",` +
				`"Protocol":"http"}]},"Kind":"service-defaults","MaxInboundConnections":10,"MeshGateway":{},"Mode":"transparent","Name":"web","Protocol":"http",` +
				`"TransparentProxy":{"DialedDirectly":true,"OutboundListenerPort":15002},"UpstreamConfig":{"Overrides":[{"MeshGateway":{"Mode":"none"},"Name":"db",` +
				`"Peer":"","Protocol":"tcp"}]}}`},
		{"proxy-defaults", "global", `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","local_connect_timeout_ms":1000},"MeshGateway":{"Mode":"local"},` +
			`"Expose":{"Checks":true},"AccessLogs":{"Enabled":true,"Type":"stdout"}}`,
			`{"AccessLogs":{"Enabled":true,"Type":"stdout"},"Config":{"local_connect_timeout_ms":1000,"protocol":"http"},"Expose":{"Checks":true},` +
				`"Kind":"proxy-defaults","MeshGateway":{"Mode":"local"},"Name":"global","TransparentProxy":{}}`},
		{"service-intentions", "db", `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"*","Action":"deny"},{"Name":"web","Action":"allow","Namespace":"default"},` +
			`{"Name":"api","Action":"allow","Description":"d"}]}`,
			`{"Kind":"service-intentions","Name":"db","Sources":[{"Action":"allow","Name":"web","Precedence":9,"Type":"consul"},` +
				`{"Action":"allow","Description":"d","Name":"api","Precedence":9,"Type":"consul"},{"Action":"deny","Name":"*","Precedence":8,"Type":"consul"}]}`},
		{"service-intentions", "*", `{"Kind":"service-intentions","Name":"*","Sources":[{"Name":"*","Action":"deny"},{"Name":"web","Action":"allow"}]}`,
			`{"Kind":"service-intentions","Name":"*","Sources":[{"Action":"allow","Name":"web","Precedence":6,"Type":"consul"},` +
				`{"Action":"deny","Name":"*","Precedence":5,"Type":"consul"}]}`},
	} {
		s := nounstore.New()
		put(t, s, c.in)
		if got := shown(t, s, c.kind, c.name); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestCheckAndSet(t *testing.T) {
	s := nounstore.New()
	cas := func(text string, index uint64) Put {
		p := write(t, text)
		p.CAS = ptr(index)
		return p
	}
	for _, step := range []struct {
		does string
		c    verb.Command
		want bool
	}{
		{"create, at 10", cas(webHTTP, 0), true},
		{"it is there already", cas(webTCP, 0), false},
		{"change, at 12", cas(webTCP, 10), true},
		{"no longer that index", cas(webHTTP, 10), false},
		{"the same again, no new index", write(t, webTCP), true},
		{"delete with an old index", Delete{Kind: "service-defaults", Name: "web", CAS: ptr(10)}, false},
		{"delete with 0", Delete{Kind: "service-defaults", Name: "web", CAS: ptr(0)}, false},
		{"delete", Delete{Kind: "service-defaults", Name: "web", CAS: ptr(12)}, true},
		{"it is gone", Delete{Kind: "service-defaults", Name: "web", CAS: ptr(5)}, true},
		{"it is gone, without an index", Delete{Kind: "service-defaults", Name: "web"}, true},
		{"nothing is named", Delete{Kind: "service-defaults", Name: ""}, true},
		{"absent, with an index", cas(webHTTP, 99), false},
		{"create anew", cas(webHTTP, 0), true},
	} {
		if got := nounstore.Do[bool](t, s, step.c); got != step.want {
			t.Errorf("%s: got %v", step.does, got)
		}
	}
	e := nounstore.Values[*api.ServiceDefaults](t, s, Get{"service-defaults", "web"})[0]
	if e.CreateIndex != s.Index || e.ModifyIndex != s.Index || e.Protocol != "http" {
		t.Errorf("got %+v", e)
	}
}

func TestList(t *testing.T) {
	s := nounstore.New()
	put(t, s, webHTTP, `{"Kind":"service-defaults","Name":"api"}`, allHTTP, `{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"}]}`)
	list := func(kind string) string {
		var out []string
		for _, e := range nounstore.Values[api.ConfigEntry](t, s, List{kind}) {
			out = append(out, e.EntryKind()+"/"+e.EntryName())
		}
		return strings.Join(out, " ")
	}
	if got, want := list("service-defaults"), "service-defaults/api service-defaults/web"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := list(""), "proxy-defaults/global service-defaults/api service-defaults/web service-intentions/web"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	rows, _, _ := s.Ask(t, List{})
	for i, want := range []string{"[]", "[{service api read}]", "[{service web read}]", "[{intention web read}]"} {
		if got := fmt.Sprint(rows[i].Needs); got != want {
			t.Errorf("%q needs %s, want %s", rows[i].Key, got, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	defaults := func(fields string) string { return `{"Kind":"service-defaults","Name":"x",` + fields + `}` }
	sources := func(list string) string {
		return `{"Kind":"service-intentions","Name":"web","Sources":[` + list + `]}`
	}
	for _, c := range []struct{ in, want string }{
		{`{"Kind":"service-defaults"}`, "Name is required"},
		{`{"Kind":"service-defaults","Name":"*"}`, `Name: "*" is no service`},
		{`{"Kind":"service-defaults","Name":"a b"}`, "Name"},
		{defaults(`"Protocol":"7"`), "invalid value for protocol: 7"},
		{defaults(`"Namespace":"team"`), `Namespace "team"`},
		{defaults(`"Mode":"other"`), `Mode "other" is not known`},
		{defaults(`"MeshGateway":{"Mode":"other"}`), `MeshGateway.Mode "other"`},
		{defaults(`"Expose":{"Paths":[{"Path":"/","ListenerPort":1,"LocalPathPort":2},{"Path":"/","ListenerPort":70000,"LocalPathPort":2}]}`), "Expose.Paths[1].ListenerPort 70000 is out of range"},
		{defaults(`"Expose":{"Paths":[{"Path":"x","ListenerPort":1,"LocalPathPort":2}]}`), "Expose.Paths[0].Path doesn't start with '/'"},
		{defaults(`"EnvoyExtensions":[{"Name":""}]`), "EnvoyExtensions[0].Name is required"},
		{defaults(`"UpstreamConfig":{"Defaults":{"Name":"db"}}`), "UpstreamConfig.Defaults.Name must be empty"},
		{defaults(`"UpstreamConfig":{"Overrides":[{"Protocol":"http"}]}`), "UpstreamConfig.Overrides[0].Name is required"},
		{defaults(`"UpstreamConfig":{"Overrides":[{"Name":"db","Protocol":"no"}]}`), "UpstreamConfig.Overrides[0].Protocol"},
		{defaults(`"Destination":{"Addresses":[],"Port":1}`), "Destination.Addresses must not be empty"},
		{defaults(`"Destination":{"Addresses":["a"],"Port":0}`), "Destination.Port 0 is out of range"},
		{defaults(`"RateLimits":{"InstanceLevel":{"RequestsPerSecond":5}}`), "invalid rate_limits config"},
		{defaults(`"LocalConnectTimeoutMs":-1`), "LocalConnectTimeoutMs must not be negative"},
		{`{"Kind":"proxy-defaults","Name":"x"}`, `invalid name ("x"), only "global" is supported`},
		{`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":7}}`, "invalid value for protocol: 7"},
		{`{"Kind":"proxy-defaults","Name":"global","AccessLogs":{"Type":"file"}}`, "AccessLogs.Path is required"},
		{`{"Kind":"service-intentions","Name":"web"}`, "At least one source must be specified"},
		{`{"Kind":"service-intentions","Name":"we*","Sources":[{"Name":"a","Action":"allow"}]}`, "Name: wildcard character '*' cannot be used with partial values"},
		{sources(`{"Name":"*","Action":"deny"},{"Action":"allow"}`), "Sources[1].Name is required"}, // as written, not as sorted
		{sources(`{"Name":"a","Action":"allow"},{"Name":"a","Action":"deny"}`), `Sources[1] defines "a" more than once`},
		{sources(`{"Name":"a","Action":"allow","Type":"other"}`), "Sources[0].Type must be set to 'consul'"},
		{sources(`{"Name":"a","Action":"allow","SamenessGroup":"g"}`), "Sources[0].SamenessGroup"},
		{sources(`{"Name":"a","Action":"allow","Partition":"p"}`), `Sources[0].Partition "p"`},
		{sources(`{"Name":"a","Action":"allow","LegacyID":"x"}`), "Sources[0].LegacyID must be omitted"},
		{sources(`{"Name":"a","Action":"allow","LegacyMeta":{"k":"v"}}`), "Sources[0].LegacyMeta must be omitted"},
		{sources(`{"Name":"a","Action":"allow","LegacyCreateTime":"2026-01-01T00:00:00Z"}`), "Sources[0].LegacyCreateTime must be omitted"},
		{requests, `service "web" has protocol "tcp", which is incompatible with L7 intentions permissions`},
		{`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"}],"JWT":{"Providers":[{"Name":"okta"}]}}`,
			"Referenced JWT Provider does not exist. Provider Name: okta"},
	} {
		s := nounstore.New()
		_, _, err := s.Apply(t, write(t, c.in))
		fails(t, err, 500, c.want)
		if rows, _, _ := s.Ask(t, List{}); len(rows) != 0 {
			t.Errorf("%s stands", c.in)
		}
	}
	fails(t, Get{Kind: "bogus"}.Validate(), 500, "invalid config entry kind: bogus")
	fails(t, List{Kind: "bogus"}.Validate(), 500, "invalid config entry kind: bogus")
	fails(t, Delete{Kind: "bogus"}.Validate(), 400, "invalid config entry kind: bogus")
	fails(t, Chain{Datacenter: "dc1"}.Validate(), 400, "Missing chain name")
	fails(t, Chain{Service: "web"}.Validate(), 400, "without a datacenter")
	fails(t, Put{Entry: []byte("{")}.Validate(), 400, "decode config entry")
	fails(t, Put{Entry: []byte(`{"Kind":"bogus"}`)}.Validate(), 400, "invalid config entry kind: bogus")
	fails(t, NewPut(&api.ProxyDefaults{Kind: "proxy-defaults", Config: map[string]any{"x": make(chan int)}}, nil).Validate(), 400, "chan int")
}

// TestHTTPIsNotTakenAway: what intentions by request rely on cannot be removed under them.
func TestHTTPIsNotTakenAway(t *testing.T) {
	const phrase = `service "web" has protocol "tcp", which is incompatible with L7 intentions permissions`
	s := nounstore.New()
	put(t, s, webHTTP, requests)
	for _, c := range []verb.Command{write(t, webTCP), Delete{Kind: "service-defaults", Name: "web"}} {
		_, _, err := s.Apply(t, c)
		fails(t, err, 500, phrase)
	}
	put(t, s, allHTTP)
	nounstore.Do[bool](t, s, Delete{Kind: "service-defaults", Name: "web"})
	for _, c := range []verb.Command{write(t, allTCP), Delete{Kind: "proxy-defaults", Name: "global"}, write(t, webTCP)} {
		_, _, err := s.Apply(t, c)
		fails(t, err, 500, phrase)
	}
	nounstore.Do[bool](t, s, Delete{Kind: "service-intentions", Name: "web"})
	nounstore.Do[bool](t, s, Delete{Kind: "proxy-defaults", Name: "global"})
}

// TestLegacyFields: an entry that was read can be written back, and one that leaves an id out ends it.
func TestLegacyFields(t *testing.T) {
	s := nounstore.New()
	made := &api.ServiceIntentions{Kind: api.KindServiceIntentions, Name: "db", Sources: []api.SourceIntention{{
		Name: "web", Action: "allow", Type: "consul", Precedence: 9, LegacyID: nounstore.ID(7), LegacyMeta: map[string]string{"k": "v"},
		LegacyCreateTime: nounstore.Clock(1), LegacyUpdateTime: nounstore.Clock(2),
	}}}
	tx := s.State.Write()
	tx.At(api.Tenant{}, 5)
	state.PutConfigEntry(tx, made)
	tx.Commit()
	before := shown(t, s, "service-intentions", "db")

	read := *nounstore.Values[*api.ServiceIntentions](t, s, Get{"service-intentions", "db"})[0]
	nounstore.Do[bool](t, s, NewPut(&read, nil))
	if got := shown(t, s, "service-intentions", "db"); got != before {
		t.Errorf("written back:\n got %s\nwant %s", got, before)
	}
	read.Sources = append([]api.SourceIntention{{Name: "*", Action: "deny"}}, read.Sources...)
	nounstore.Do[bool](t, s, NewPut(&read, nil))
	if got := state.ServiceIntentions(s.State.Read(), "db").Sources; len(got) != 2 || got[0].LegacyID != nounstore.ID(7) || got[0].LegacyMeta["k"] != "v" {
		t.Errorf("with another source: got %+v", got)
	}
	moved := read
	moved.Sources = []api.SourceIntention{read.Sources[1]}
	moved.Sources[0].Name = "other"
	_, _, err := s.Apply(t, NewPut(&moved, nil))
	fails(t, err, 500, "Sources[0].LegacyID must be omitted")
	put(t, s, `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Action":"allow"}]}`)
	if got := state.ServiceIntentions(s.State.Read(), "db").Sources[0]; got.LegacyID != "" || got.LegacyMeta != nil || !got.LegacyCreateTime.IsZero() {
		t.Errorf("without an id: got %+v", got)
	}
}

func TestNeeds(t *testing.T) {
	for _, c := range []struct {
		needs []api.Permission
		want  string
	}{
		{write(t, webHTTP).Needs(nil), "[{service web write}]"},
		{write(t, allHTTP).Needs(nil), "[{operator  write}]"},
		{write(t, requests).Needs(nil), "[{intention web write}]"},
		{Put{}.Needs(nil), "[{operator  write}]"},
		{Delete{Kind: "service-intentions", Name: "web"}.Needs(nil), "[{intention web write}]"},
		{Delete{Kind: "bogus"}.Needs(nil), "[{operator  write}]"},
		{Get{"service-defaults", "web"}.Needs(), "[{service web read}]"},
		{Get{"proxy-defaults", "global"}.Needs(), "[]"},
		{Chain{Service: "web"}.Needs(), "[{service web read}]"},
	} {
		if got := fmt.Sprint(c.needs); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestChain(t *testing.T) {
	s := nounstore.New()
	ask := func() (*api.DiscoveryChain, uint64) {
		rows, _, _ := s.Ask(t, Chain{Service: "web", Datacenter: "dc1"})
		return rows[0].Value.(*api.DiscoveryChain), rows[0].Version
	}
	c, first := ask()
	if c.Protocol != "tcp" || !c.Default || c.Targets["web.default.default.dc1"].SNI != "" {
		t.Errorf("got %+v", c)
	}
	root := func(id, domain string, index uint64) {
		tx := s.State.Write()
		tx.At(api.Tenant{}, index)
		state.PutRoot(tx, state.Root{Public: api.CARoot{ID: id, Active: true}, TrustDomain: domain})
		tx.Commit()
	}
	root("r1", "td.consul", 5)
	c, second := ask()
	if got := c.Targets["web.default.default.dc1"].SNI; got != "web.default.dc1.internal.td.consul" || first == second {
		t.Errorf("SNI %q, version %d after %d", got, second, first)
	}
	root("r2", "td.consul", 6)
	if _, third := ask(); third != second {
		t.Error("a root of the same trust domain makes it another chain")
	}
	for _, step := range []struct{ text, want string }{{allHTTP, "http"}, {webTCP, "tcp"}, {webHTTP, "http"}} {
		put(t, s, step.text)
		if c, _ := ask(); c.Protocol != step.want {
			t.Errorf("after %s: protocol %s", step.text, c.Protocol)
		}
	}
}

func TestWakes(t *testing.T) {
	s := nounstore.New()
	queries := []verb.Query{
		Get{"service-defaults", "web"}, List{"service-defaults"}, List{}, Chain{Service: "web", Datacenter: "dc1"}, Chain{Service: "other", Datacenter: "dc1"}, Get{"service-intentions", "web"},
	}
	names := []string{"get", "list", "all", "chain", "other-chain", "intentions"}
	for _, c := range []struct {
		does string
		c    verb.Command
		want string
	}{
		{"create", write(t, webHTTP), "get list all chain"},
		{"the same again", write(t, webHTTP), ""},
		{"change", write(t, webTCP), "get list all chain"},
		{"another of the kind", write(t, `{"Kind":"service-defaults","Name":"webx"}`), "list all"},
		{"defaults of all proxies", write(t, allHTTP), "all chain other-chain"},
		{"intentions", write(t, `{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"}]}`), "all intentions"},
		{"delete", Delete{Kind: "service-defaults", Name: "web"}, "get list all chain"},
		{"delete nothing", Delete{Kind: "service-defaults", Name: "web"}, ""},
	} {
		var got []string
		for i, woken := range s.Wakes(t, c.c, queries...) {
			if woken {
				got = append(got, names[i])
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s wakes %q, want %q", c.does, got, c.want)
		}
	}
}

func TestSnapshot(t *testing.T) {
	s := nounstore.New()
	put(t, s, webHTTP, allHTTP, requests, `{"Kind":"service-defaults","Name":"gone"}`)
	nounstore.Do[bool](t, s, Delete{Kind: "service-defaults", Name: "gone"})
	nounstore.Same(t, s, s.Reloaded(t), List{}, List{"service-defaults"}, Get{"service-defaults", "gone"}, Get{"proxy-defaults", "global"}, Chain{Service: "web", Datacenter: "dc1"})
}

// FuzzPut throws entries at the whole way of a write: whatever is accepted stands, is found, and says the same when it is
// written once more.
func FuzzPut(f *testing.F) {
	for _, text := range append([]string{
		webHTTP, allHTTP, requests, `{"kind":"service-intentions","name":"*","sources":{"name":"*","action":"deny"}}`,
		`{"Kind":"service-defaults","Name":"x","UpstreamConfig":{"Overrides":[{"Name":"db","ConnectTimeoutMs":1}]}}`,
		`{"Kind":"proxy-defaults","Name":"global","Config":{"a":[1,null,{"b":1e300}]},"Meta":{"k":"v"}}`,
	}, whole...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := api.DecodeConfigEntry(data)
		if err != nil {
			return
		}
		s := nounstore.New()
		if _, _, err := s.Apply(t, NewPut(e, nil)); err != nil {
			return
		}
		q := Get{e.EntryKind(), e.EntryName()}
		rows, index, _ := s.Ask(t, q)
		if len(rows) != 1 || index != nounstore.First {
			t.Fatalf("%d rows at %d", len(rows), index)
		}
		nounstore.Do[bool](t, s, NewPut(rows[0].Value.(api.ConfigEntry), nil))
		again, index, _ := s.Ask(t, q)
		if index != nounstore.First || !reflect.DeepEqual(again[0].Value, rows[0].Value) {
			t.Errorf("written back: got %+v, want %+v", again[0].Value, rows[0].Value)
		}
	})
}
