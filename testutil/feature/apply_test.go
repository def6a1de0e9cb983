package feature

import (
	"os"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestApply keeps config entries in files, as an operator does: nothing happens before all of it is right, a second run has
// nothing to do, and what left the files is removed when that is wanted, and nothing else.
func TestApply(t *testing.T) {
	a := testutil.Dev(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("mesh", 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) {
		t.Helper()
		if err := os.WriteFile("mesh/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(wantCode int, wants string, args ...string) {
		t.Helper()
		out, errs, code := a.Run(append([]string{"apply", "-f", "mesh"}, args...)...)
		if code != wantCode {
			t.Errorf("%q: exit status %d, want %d: %s%s", args, code, wantCode, out, errs)
		}
		if got := out + errs; got != wants {
			t.Errorf("%q:\n got %s\nwant %s", args, got, wants)
		}
	}
	const web = `entry {
  kind     = "service-defaults"
  name     = "web"
  protocol = "http"
}
entry {
  kind = "service-router"
  name = "web"
  routes = [
    { match { http { path_prefix = "/a" } } destination { service = "api" request_timeout = "3s" } },
    { match { http { path_regex = "/(" } } }
  ]
}
`
	file("web.hcl", web)
	file("api.json", `[
 {"Kind": "service-defaults", "Name": "api", "Protocol": "http"},
 {"Kind": "service-splitter", "Name": "api", "Splits": [{"Weight": 60}, {"Weight": 30, "Service": "api2"}]}
]`)
	file("notes.txt", "not an entry")
	run(1, `+ service-defaults/api                           mesh/api.json:2
+ service-defaults/web                           mesh/web.hcl:1
+ service-splitter/api                           mesh/api.json:3
+ service-router/web                             mesh/web.hcl:6
Error: mesh/api.json:3: service-splitter/api: the sum of all split weights must be 100, not 90.000000
Error: mesh/web.hcl:11: service-router/web: Routes[1].Match.HTTP.PathRegex: error parsing regexp: missing closing ): `+"`/(`"+`
Error: nothing was changed
`)
	file("web.hcl", strings.Replace(web, `"/("`, `"/b+"`, 1))
	file("api.json", `[
 {"Kind": "service-defaults", "Name": "api", "Protocol": "http"},
 {"Kind": "service-splitter", "Name": "api", "Splits": [{"Weight": 70}, {"Weight": 30, "Service": "api2"}]}
]`)
	run(1, `+ service-defaults/api                           mesh/api.json:2
+ service-defaults/web                           mesh/web.hcl:1
+ service-splitter/api                           mesh/api.json:3
+ service-router/web                             mesh/web.hcl:6
Error: mesh/api.json:3: service-defaults/api: discovery chain of "api": service-splitter "api" Splits[1]: inconsistent protocols: `+
		`service "api2" speaks tcp, but "api" speaks http: set the same Protocol in the service-defaults of both (while they change, lead from one to the other no more)
Error: mesh/api.json:3: service-defaults/web: discovery chain of "web": service-router "web" Routes[0]: service-splitter "api" Splits[1]: inconsistent protocols: `+
		`service "api2" speaks tcp, but "web" speaks http: set the same Protocol in the service-defaults of both (while they change, lead from one to the other no more)
Error: nothing was changed
`)
	if got := a.Must("config", "list", "-kind", "service-defaults"); got != "" {
		t.Errorf("something was written: %s", got)
	}
	file("api2.hcl", "Kind = \"service-defaults\"\nName = \"api2\"\nProtocol = \"http\"\n")
	all := `+ service-defaults/api                           mesh/api.json:2
+ service-defaults/api2                          mesh/api2.hcl:1
+ service-defaults/web                           mesh/web.hcl:1
+ service-splitter/api                           mesh/api.json:3
+ service-router/web                             mesh/web.hcl:6
`
	run(0, all+"Would apply: 5 new, 0 changed, 0 removed.\n", "-dry-run")
	run(0, all+"Applied: 5 new, 0 changed, 0 removed.\n")
	run(0, "Nothing to do: 5 entries are as the files have them.\n", "--prune")

	a.Must("config", "write", "mesh/api2.hcl") // by hand: no longer the set's
	file("api.json", `{"Kind": "service-defaults", "Name": "api", "Protocol": "http", "Meta": {"team": "a"}}`)
	if err := os.Remove("mesh/api2.hcl"); err != nil {
		t.Fatal(err)
	}
	diff := `~ service-defaults/api                           mesh/api.json:1
    Meta.team: (none) → "a"
`
	run(0, diff+"Would apply: 0 new, 1 changed, 0 removed.\n", "--dry-run")
	run(0, diff+"- service-splitter/api\nApplied: 0 new, 1 changed, 1 removed.\n", "--prune")
	if got := a.Must("config", "list", "-kind", "service-defaults"); got != "api\napi2\nweb\n" {
		t.Errorf("left: %s", got)
	}

	file("again.json", `{"Kind": "service-defaults", "Name": "api"}`)
	run(1, "Error: mesh/api.json:1: service-defaults/api stands in mesh/again.json:1 already\n")
	file("again.json", `{"Kind": "service-defaults", "Name": "x", "Protocl": "http"}`)
	run(1, "Error: mesh/again.json:1: unknown key Protocl (did you mean protocol?)\n")
	file("again.json", `{"Kind": "tcp-route", "Name": "t"}`)
	run(0, `+ tcp-route/t                                    mesh/again.json:1
Applied: 1 new, 0 changed, 0 removed.
Warning: tcp-route "t" is stored, but the kind has no effect in this release yet
`)
	out, errs, code := a.Run("config", "write", "mesh/again.json")
	if code != 0 || out != "Config entry written: tcp-route/t\n" || errs != "Warning: tcp-route \"t\" is stored, but the kind has no effect in this release yet\n" {
		t.Errorf("config write: %d %q %q", code, out, errs)
	}
	if out := a.Must("config", "delete", "-filename", "mesh/again.json"); out != "Config entry deleted: tcp-route/t\n" {
		t.Errorf("config delete: %q", out)
	}
}
