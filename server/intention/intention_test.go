package intention

import (
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

// read is an intention as a test writes it: "web -> db allow".
func read(t testing.TB, line string) api.Intention {
	t.Helper()
	words := strings.Fields(line)
	if len(words) != 4 || words[1] != "->" {
		t.Fatalf("%q is not like \"web -> db allow\"", line)
	}
	return api.Intention{SourceName: words[0], DestinationName: words[2], Action: words[3]}
}

func upsert(t testing.TB, s *nounstore.Store, lines ...string) {
	t.Helper()
	for _, line := range lines {
		nounstore.Do[bool](t, s, Upsert{read(t, line)})
	}
}

// lines are intentions as tests write them, with their precedence.
func lines(t testing.TB, s *nounstore.Store, q verb.Query) string {
	t.Helper()
	var out []string
	for _, x := range nounstore.Values[*api.Intention](t, s, q) {
		out = append(out, fmt.Sprintf("%d %s -> %s %s", x.Precedence, x.SourceName, x.DestinationName, x.Action))
	}
	return strings.Join(out, "\n")
}

func fails(t testing.TB, err error, status int, phrase string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Message, phrase) {
		t.Errorf("got %v (status %d), want status %d and %q", err, api.StatusOf(err), status, phrase)
	}
}

func TestOrder(t *testing.T) {
	s := nounstore.New()
	upsert(t, s, "* -> * deny", "web -> * allow", "* -> db deny", "web -> db allow", "api -> db deny", "web -> cache allow")
	for _, c := range []struct {
		q    verb.Query
		want string
	}{
		{List{}, "9 web -> cache allow\n9 api -> db deny\n9 web -> db allow\n8 * -> db deny\n6 web -> * allow\n5 * -> * deny"},
		{Match{api.MatchDestination, "db"}, "9 api -> db deny\n9 web -> db allow\n8 * -> db deny\n6 web -> * allow\n5 * -> * deny"},
		{Match{api.MatchDestination, "other"}, "6 web -> * allow\n5 * -> * deny"},
		{Match{api.MatchDestination, "*"}, "6 web -> * allow\n5 * -> * deny"},
		{Match{api.MatchSource, "web"}, "9 web -> cache allow\n9 web -> db allow\n8 * -> db deny\n6 web -> * allow\n5 * -> * deny"},
		{Match{api.MatchSource, "other"}, "8 * -> db deny\n5 * -> * deny"},
		{Match{api.MatchSource, "*"}, "8 * -> db deny\n5 * -> * deny"},
		{Exact{"web", "db"}, "9 web -> db allow"},
		{Exact{"*", "db"}, "8 * -> db deny"},
		{Exact{"other", "db"}, ""},
		{Exact{"web", "other"}, ""},
	} {
		if got := lines(t, s, c.q); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.q, got, c.want)
		}
	}
}

// TestUpsert follows one intention through its life by names.
func TestUpsert(t *testing.T) {
	s := nounstore.New()
	x := read(t, "web -> db allow")
	x.Description = "upsert"
	if !nounstore.Do[bool](t, s, Upsert{x}) {
		t.Error("it says that it has not been written")
	}
	want := api.Intention{
		SourceNS: "default", SourceName: "web", DestinationNS: "default", DestinationName: "db", SourceType: "consul",
		Action: "allow", Description: "upsert", Precedence: 9, CreateIndex: 10, ModifyIndex: 10,
	}
	if got := *nounstore.Values[*api.Intention](t, s, Exact{"web", "db"})[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	upsert(t, s, "web -> db deny")
	want.Action, want.Description, want.ModifyIndex = "deny", "", 11
	if got := *nounstore.Values[*api.Intention](t, s, Exact{"web", "db"})[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	upsert(t, s, "* -> db deny")
	if !nounstore.Do[bool](t, s, Delete{"web", "db"}) || nounstore.Do[bool](t, s, Delete{"web", "db"}) {
		t.Error("want the first delete to find it and the second not to")
	}
	if got := lines(t, s, List{}); got != "8 * -> db deny" {
		t.Errorf("the others are %s", got)
	}
	nounstore.Do[bool](t, s, Delete{"*", "db"})
	if e := state.ServiceIntentions(s.State.Read(), "db"); e != nil {
		t.Errorf("an empty entry stands: %+v", e)
	}
}

// TestByID follows one intention through its life by id.
func TestByID(t *testing.T) {
	s := nounstore.New()
	upsert(t, s, "* -> db deny")
	x := read(t, "web -> db allow")
	x.Description, x.Meta = "d", map[string]string{"k": "v"}
	id := nounstore.Do[string](t, s, Create{x})
	if id != nounstore.ID(1) {
		t.Fatalf("id %q", id)
	}
	get := func() api.Intention {
		t.Helper()
		return *nounstore.Values[*api.Intention](t, s, ByID{id})[0]
	}
	made := get()
	if made.ID != id || made.Description != "d" || made.Meta["k"] != "v" || len(made.Hash) == 0 || made.Precedence != 9 ||
		!made.CreatedAt.Equal(nounstore.Clock(11)) || !made.UpdatedAt.Equal(nounstore.Clock(11)) {
		t.Errorf("got %+v", made)
	}
	_, _, err := s.Apply(t, Create{read(t, "web -> db allow")})
	fails(t, err, 500, `Sources[1] defines "web" more than once`)

	y := read(t, "web -> db deny")
	y.ID = id
	if got := nounstore.Do[string](t, s, Update{y}); got != id {
		t.Errorf("update answers %q", got)
	}
	changed := get()
	if changed.Action != "deny" || changed.Description != "" || changed.Meta != nil || !changed.CreatedAt.Equal(made.CreatedAt) ||
		!changed.UpdatedAt.Equal(nounstore.Clock(13)) || reflect.DeepEqual(changed.Hash, made.Hash) {
		t.Errorf("got %+v", changed)
	}
	if r := nounstore.Values[*Rule](t, s, Policy{"db"})[0]; r.ID != id {
		t.Errorf("the rule is called %q", r.ID)
	}

	z := read(t, "web -> other deny")
	z.ID = id
	_, _, err = s.Apply(t, Update{z})
	fails(t, err, 500, "Cannot modify DestinationName")

	upsert(t, s, "web -> db allow") // by its names
	if kept := get(); kept.Action != "allow" || !kept.CreatedAt.Equal(made.CreatedAt) || !kept.UpdatedAt.Equal(nounstore.Clock(15)) {
		t.Errorf("got %+v", kept)
	}

	nounstore.Do[bool](t, s, DeleteByID{id})
	if got := nounstore.Values[*api.Intention](t, s, ByID{id}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	_, _, err = s.Apply(t, DeleteByID{id})
	fails(t, err, 500, "Cannot delete non-existent intention: '"+id+"'")
	_, _, err = s.Apply(t, Update{y})
	fails(t, err, 500, "Cannot modify non-existent intention: '"+id+"'")
	if got := lines(t, s, List{}); got != "8 * -> db deny" {
		t.Errorf("the others are %s", got)
	}
}

func TestBadInput(t *testing.T) {
	http := &api.IntentionHTTP{PathPrefix: "/"}
	permission := func(p api.IntentionPermission) Upsert {
		return Upsert{api.Intention{SourceName: "w2", DestinationName: "api", Permissions: []api.IntentionPermission{p}}}
	}
	onHTTP := func(h api.IntentionHTTP) Upsert {
		return permission(api.IntentionPermission{Action: "allow", HTTP: &h})
	}
	header := func(h api.IntentionHTTPHeader) Upsert {
		return onHTTP(api.IntentionHTTP{Header: []api.IntentionHTTPHeader{h}})
	}
	const absent = "00000000-1111-2222-3333-444444444444"
	for _, c := range []struct {
		c      verb.Command
		status int
		want   string
	}{
		{Create{}, 403, "Permission denied"},
		{Create{api.Intention{SourceName: "a", Action: "allow"}}, 403, "Permission denied"},
		{Create{read(t, "a* -> b allow")}, 500, "SourceName: wildcard character '*' cannot be used with partial values"},
		{Create{read(t, "a -> b* allow")}, 500, "DestinationName: wildcard character"},
		{Create{read(t, "a/b -> b allow")}, 500, "Sources[0].Name \"a/b\": write the name alone"},
		{Create{api.Intention{DestinationName: "b", Action: "allow"}}, 500, "SourceName must be set"},
		{Create{api.Intention{ID: absent, SourceName: "a", DestinationName: "b", Action: "allow"}}, 500, "ID must be empty"},
		{Create{api.Intention{SourceName: "a", DestinationName: "b", Action: "allow", SourceType: "other"}}, 500, "SourceType must be set to 'consul'"},
		{Create{api.Intention{SourceName: "a", DestinationName: "b", Action: "allow", SourceNS: "team"}}, 500, `SourceNS "team"`},
		{Create{api.Intention{SourceName: "a", DestinationName: "b", Action: "allow", Meta: map[string]string{"": "v"}}}, 500, "Meta:"},
		{Create{api.Intention{SourceName: "w2", DestinationName: "api", Permissions: []api.IntentionPermission{{Action: "allow", HTTP: http}}}},
			500, "Action must be set to 'allow' or 'deny'; Permissions must not be set when using the legacy APIs"},
		{Update{api.Intention{ID: absent, SourceName: "a", DestinationName: "b", Action: "allow"}}, 500, "Cannot modify non-existent intention: '" + absent + "'"},
		{Update{api.Intention{ID: "x", SourceName: "a", DestinationName: "b", Action: "allow"}}, 500, "Intention lookup failed"},
		{DeleteByID{"not-a-uuid"}, 500, "Intention lookup failed: failed config entry lookup: index error: UUID must be 36 characters"},
		{DeleteByID{absent}, 500, "Cannot delete non-existent intention"},
		{Delete{Source: "a"}, 400, "Missing destination"},
		{Upsert{api.Intention{SourceName: "a", Action: "allow"}}, 400, "Missing destination"},
		{Upsert{api.Intention{SourceName: "w2", DestinationName: "api"}}, 500, "Sources[1].Action must be set to 'allow' or 'deny'"},
		{Upsert{read(t, "w2 -> api maybe")}, 500, "Sources[1].Action must be set to 'allow' or 'deny'"},
		{Upsert{api.Intention{SourceName: "w2", DestinationName: "api", Action: "allow", Permissions: []api.IntentionPermission{{Action: "allow", HTTP: http}}}},
			500, "Sources[1].Action must be omitted if Permissions are specified"},
		{Upsert{api.Intention{SourceName: "w2", DestinationName: "tcp", Permissions: []api.IntentionPermission{{Action: "allow", HTTP: http}}}},
			500, `service "tcp" has protocol "tcp", which is incompatible with L7 intentions permissions`},
		{Upsert{api.Intention{SourceName: "w2", DestinationName: "*", Permissions: []api.IntentionPermission{{Action: "allow", HTTP: http}}}},
			500, "wildcarded destinations"},
		{Upsert{api.Intention{ID: absent, SourceName: "a", DestinationName: "b", Action: "allow"}}, 500, "ID must be empty"},
		{Upsert{api.Intention{SourceName: "a", DestinationName: "b", Action: "allow", Meta: map[string]string{"k": "v"}}}, 500, "Meta must be omitted"},
		{permission(api.IntentionPermission{Action: "allow"}), 500, "Sources[1].Permissions[0].HTTP is required"},
		{permission(api.IntentionPermission{HTTP: http}), 500, "Sources[1].Permissions[0].Action must be set"},
		{permission(api.IntentionPermission{Action: "allow", HTTP: http, JWT: &api.IntentionJWT{Providers: []api.IntentionJWTProvider{{Name: "okta"}}}}),
			500, "Referenced JWT Provider does not exist. Provider Name: okta"},
		{onHTTP(api.IntentionHTTP{PathExact: "/a", PathPrefix: "/b"}), 500, "Sources[1].Permissions[0].HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex"},
		{onHTTP(api.IntentionHTTP{PathExact: "no-slash"}), 500, "Sources[1].Permissions[0].HTTP.PathExact doesn't start with '/'"},
		{onHTTP(api.IntentionHTTP{PathRegex: "("}), 500, "Sources[1].Permissions[0].HTTP.PathRegex"},
		{onHTTP(api.IntentionHTTP{PathExact: "/", Methods: []string{"NOPE"}}), 500, `Sources[1].Permissions[0].HTTP.Methods contains an invalid method "NOPE"`},
		{onHTTP(api.IntentionHTTP{}), 500, "Sources[1].Permissions[0].HTTP should not be empty"},
		{header(api.IntentionHTTPHeader{Name: "x"}), 500, "Sources[1].Permissions[0].HTTP.Header[0] should only contain one of Present"},
		{header(api.IntentionHTTPHeader{Exact: "x"}), 500, "Sources[1].Permissions[0].HTTP.Header[0].Name is required"},
		{header(api.IntentionHTTPHeader{Name: "x", Regex: "("}), 500, "Sources[1].Permissions[0].HTTP.Header[0].Regex"},
	} {
		s := nounstore.New()
		tx := s.State.Write()
		tx.At(api.Tenant{}, 5)
		state.PutConfigEntry(tx, &api.ServiceDefaults{Kind: api.KindServiceDefaults, Name: "api", Protocol: "http"})
		tx.Commit()
		upsert(t, s, "web -> api allow")
		_, _, err := s.Apply(t, c.c)
		fails(t, err, c.status, c.want)
		if got := lines(t, s, List{}); got != "9 web -> api allow" {
			t.Errorf("%+v has changed something: %s", c.c, got)
		}
	}
	fails(t, ByID{"not-a-uuid"}.Validate(), 400, "failed config entry lookup: index error: UUID must be 36 characters")
	fails(t, Match{By: "x", Name: "a"}.Validate(), 500, "parameter must be one of")
	fails(t, Check{Source: "a"}.Validate(), 400, "Missing destination")
	fails(t, Policy{}.Validate(), 400, "Missing destination")
}

func TestPermissions(t *testing.T) {
	s := nounstore.New()
	tx := s.State.Write()
	tx.At(api.Tenant{}, 5)
	state.PutConfigEntry(tx, &api.ProxyDefaults{Kind: api.KindProxyDefaults, Name: "global", Config: map[string]any{"protocol": "http"}})
	tx.Commit()
	permissions := []api.IntentionPermission{
		{Action: "allow", HTTP: &api.IntentionHTTP{PathPrefix: "/v1", Methods: []string{"GET"}, Header: []api.IntentionHTTPHeader{{Name: "x", Present: true}}}},
		{Action: "deny", HTTP: &api.IntentionHTTP{PathExact: "/admin"}},
	}
	nounstore.Do[bool](t, s, Upsert{api.Intention{SourceName: "web", DestinationName: "api", Permissions: permissions}})
	if got := nounstore.Values[*api.Intention](t, s, Exact{"web", "api"})[0]; !reflect.DeepEqual(got.Permissions, permissions) || got.Action != "" {
		t.Errorf("got %+v", got)
	}
	r := nounstore.Values[*Rule](t, s, Policy{"api"})[0]
	if !r.HTTP || r.Allow {
		t.Errorf("got %+v", r)
	}
	if d := nounstore.Values[*api.Decision](t, s, Check{"web", "api"})[0]; d.Allowed || d.Rule != "intention:web->api" || !strings.Contains(d.Why, "HTTP") {
		t.Errorf("got %+v", d)
	}
}

// TestNeeds tells who is asked for what.
func TestNeeds(t *testing.T) {
	s := nounstore.New()
	id := nounstore.Do[string](t, s, Create{read(t, "web -> db allow")})
	tx := s.State.Read()
	tx.At(api.Tenant{}, 0)
	moved := read(t, "web -> other allow")
	moved.ID = id
	for _, c := range []struct {
		needs []api.Permission
		want  string
	}{
		{Create{read(t, "web -> db allow")}.Needs(tx), "[{intention db write}]"},
		{Upsert{read(t, "web -> db allow")}.Needs(tx), "[{intention db write}]"},
		{Update{moved}.Needs(tx), "[{intention other write} {intention db write}]"},
		{DeleteByID{id}.Needs(tx), "[{intention db write}]"},
		{Delete{"web", "db"}.Needs(tx), "[{intention db write}]"},
		{SetDefault{}.Needs(tx), "[{operator  write}]"},
		{Policy{"db"}.Needs(), "[{intention db read}]"},
		{Check{"web", "db"}.Needs(), "[{intention db read}]"},
		{Match{"source", "web"}.Needs(), "[{intention web read}]"},
	} {
		if got := fmt.Sprint(c.needs); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	rows, _, _ := s.Ask(t, List{})
	if got := fmt.Sprint(rows[0].Needs); got != "[{intention db read}]" {
		t.Errorf("a row of the list needs %s", got)
	}
}

func TestSnapshot(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[bool](t, s, SetDefault{true, "because"})
	x := read(t, "web -> db allow")
	x.Meta = map[string]string{"k": "v"}
	id := nounstore.Do[string](t, s, Create{x})
	upsert(t, s, "* -> * deny", "gone -> gone deny")
	nounstore.Do[bool](t, s, Delete{"gone", "gone"})
	nounstore.Same(t, s, s.Reloaded(t), List{}, ByID{id}, Policy{"db"}, Policy{"gone"}, Check{"web", "db"}, Exact{"gone", "gone"},
		Match{api.MatchSource, "web"})
}
