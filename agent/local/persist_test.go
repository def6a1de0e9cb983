package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/agent/datadir"
	"github.com/parleymesh/parley/agent/local"
	"github.com/parleymesh/parley/api"
)

func withDir(s *servers, dir *datadir.Dir) local.Options {
	o := options(s)
	o.Dir = dir
	return o
}

func TestRestartKeepsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := mustOpen(t, t.TempDir())
		s := newServers(t)
		h := start(t, withDir(s, dir))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(h.tryRegister(`{"ID": "web/1", "Name": "web", "Port": 80, "Tags": ["a"], "Address": "10.0.0.1", "Meta": {"k": "v"},
			"Checks": [{"TTL": "1h", "Notes": "n"}, {"TTL": "1h", "CheckID": "two"}],
			"Connect": {"SidecarService": {"Proxy": {"Config": {"n": 1.5}, "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9}]}}}}`, "secret", false))
		must(h.tryRegister(`{"Name": "gone"}`, "", false))
		must(h.RegisterCheck(checkDef(t, `{"Name": "mem", "TTL": "1h"}`), "other"))
		must(h.RegisterCheck(checkDef(t, `{"Name": "extra", "ServiceID": "web/1", "TTL": "1h"}`), ""))
		must(h.RegisterCheck(checkDef(t, `{"Name": "gone", "TTL": "1h"}`), ""))
		must(h.ServiceMaintenance("web/1", true, "why", ""))
		must(h.NodeMaintenance(true, "", ""))
		must(h.DeregisterService("gone"))
		must(h.DeregisterCheck("gone"))
		must(h.UpdateTTL("service:web/1:1", api.Passing, "fine"))
		must(h.UpdateTTL("mem", api.Warning, "low"))
		want, shown := h.all(), asText(*h.Check("service:web/1:1"))
		sidecar, _ := h.Service("web/1-sidecar-proxy")
		settle()
		h.stop()
		s.commands()

		again := start(t, withDir(s, dir))
		must(again.LoadDefinitions(nil, nil))
		settle()
		if got := again.all(); got != want {
			t.Errorf("after a restart it is\n%s\nwas\n%s", got, want)
		}
		if got := asText(*again.Check("service:web/1:1")); got != shown {
			t.Errorf("the check is\n%s\nwas\n%s", got, shown)
		}
		got, _ := again.Service("web/1-sidecar-proxy")
		if a, b := asText(*got.Proxy), asText(*sidecar.Proxy); a != b || got.Port != sidecar.Port {
			t.Errorf("the sidecar is\n%s\nwas\n%s", a, b)
		}
		if n := s.commands(); n != 0 {
			t.Errorf("%d commands after a restart that has changed nothing", n)
		}
		tokens := map[string]bool{}
		s.mu.Lock()
		s.refuse = func(token string, _ verbCommand) error { tokens[token] = true; return nil }
		s.mu.Unlock()
		must(again.DeregisterService("web/1"))
		must(again.DeregisterCheck("mem"))
		settle()
		if !tokens["secret"] || !tokens["other"] {
			t.Errorf("the tokens are not kept: %v", tokens)
		}
		must(again.NodeMaintenance(false, "", ""))
		if n := files(t, dir); n != 0 {
			t.Errorf("%d files are left of nothing", n)
		}
	})
}

func TestAcknowledgedSurvivesAKill(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	for i := range 20 {
		id := fmt.Sprintf("web-%d", i%7)
		var err error
		switch {
		case i%5 == 4:
			err = h.DeregisterService(id)
		case i%3 == 0:
			err = h.tryRegister(fmt.Sprintf(`{"ID": %q, "Name": "web", "Port": %d, "Connect": {"SidecarService": {"Port": 9}}}`, id, i), "", true)
		default:
			err = h.tryRegister(fmt.Sprintf(`{"ID": %q, "Name": "web", "Port": %d, "Check": {"TTL": "1h", "Status": "passing"}}`, id, i), "", true)
		}
		if err != nil && api.StatusOf(err) != 404 {
			t.Fatal(err)
		}
		after := start(t, withDir(nil, crash(t, dir)))
		if a, b := ids(after), ids(h); a != b {
			t.Fatalf("killed after step %d\n%s\nwas\n%s", i, a, b)
		}
		for _, s := range h.Services() {
			if same, _ := after.Service(s.ID); asText(same) != asText(s) && same.Port != s.Port {
				t.Errorf("step %d: service %s has port %d, had %d", i, s.ID, same.Port, s.Port)
			}
		}
		after.stop()
	}
}

// ids lists services and checks without statuses.
func ids(h *host) string {
	var out []string
	for f := range strings.FieldsSeq(h.all()) {
		id, _, _ := strings.Cut(f, "=")
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// A kill between two files of one change leaves either what was or what was to be, and nothing that cannot be removed.
func TestKillBetweenTwoFiles(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	h.register(`{"Name": "web-sidecar-proxy", "Port": 5, "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "web"}, "Check": {"TTL": "1h"}}`)
	old, err := filepath.Glob(dir.Path("local", "services", "*"))
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	data, err := os.ReadFile(old[0])
	if err != nil {
		t.Fatal(err)
	}
	h.register(`{"Name": "web", "Port": 80, "Connect": {"SidecarService": {"Port": 6}}}`)
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files, want one", n)
	}
	h.stop()
	if err := os.WriteFile(old[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, withDir(nil, dir))
	if s, _ := again.Service("web-sidecar-proxy"); s == nil || s.Port != 5 {
		t.Errorf("the sidecar is %+v", s)
	}
	for _, id := range []string{"web", "web-sidecar-proxy"} {
		if err := again.DeregisterService(id); err != nil && api.StatusOf(err) != 404 {
			t.Error(err)
		}
	}
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files are left of nothing", n)
	}
}

func TestStatusesAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := mustOpen(t, t.TempDir())
		h := start(t, withDir(nil, dir))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		defs := []api.ServiceDefinition{*serviceDef(t, `{"Name": "db", "Check": {"TTL": "1h"}}`)}
		must(h.LoadDefinitions(defs, nil))
		h.register(`{"Name": "web", "Check": {"TTL": "1h"}}`)
		must(h.UpdateTTL("service:web", api.Passing, "fine"))
		must(h.UpdateTTL("service:db", api.Warning, "hm"))
		time.Sleep(3 * time.Second)
		// Killed, so that nothing is written at the end.
		again := start(t, withDir(nil, crash(t, dir)))
		must(again.LoadDefinitions(defs, nil))
		again.is("db web | service:db=warning service:web=passing")
		if got := again.Check("service:web").Output; got != "fine" {
			t.Errorf("the output is %q", got)
		}
		// A whole TTL passes before it is called critical.
		time.Sleep(59 * time.Minute)
		again.is("db web | service:db=warning service:web=passing")
		time.Sleep(2 * time.Minute)
		again.is("db web | service:db=critical service:web=critical")
	})
}

func TestDamagedFilesStopTheStart(t *testing.T) {
	path := t.TempDir()
	dir := mustOpen(t, path)
	h := start(t, withDir(nil, dir))
	h.register(web)
	h.registerCheck(`{"Name": "mem", "TTL": "1h"}`)
	h.stop()
	for _, sub := range []string{"services/*.json", "checks/*.json", "status.json"} {
		names, err := filepath.Glob(dir.Path("local", sub))
		if err != nil || len(names) != 1 {
			t.Fatal(sub, names, err)
		}
		good, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "{", `{"version":1,"data":[]}`, `{"version":9,"data":{}}`, `{"version":1,"data":{"Odd":1}}`, string(good[:len(good)/2])} {
			if sub == "status.json" && strings.Contains(bad, "Odd") {
				continue // a check may be called so
			}
			if err := os.WriteFile(names[0], []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := tryStart(t, withDir(nil, dir)); err == nil || !strings.Contains(err.Error(), names[0]) {
				t.Errorf("%s with %q: %v, want an error that names it", names[0], bad, err)
			}
			if now, err := os.ReadFile(names[0]); err != nil || string(now) != bad {
				t.Errorf("%s was written over: %q, %v", names[0], now, err)
			}
		}
		if err := os.WriteFile(names[0], good, 0o600); err != nil {
			t.Fatal(err)
		}
		dir.Close()
		dir = mustOpen(t, path) // which forgets what was damaged
	}
	again := start(t, withDir(nil, dir))
	again.is("web | mem=critical service:web=passing")
	again.stop()

	// What is whole but makes no sense here is not dropped either.
	names, _ := filepath.Glob(dir.Path("local", "services", "*.json"))
	good, _ := os.ReadFile(names[0])
	bad := strings.Replace(string(good), `"Port":80`, `"Port":80000`, 1)
	if err := os.WriteFile(names[0], []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, withDir(nil, dir)); err == nil || !strings.Contains(err.Error(), names[0]) || !strings.Contains(err.Error(), "Port 80000") {
		t.Errorf("with a port out of range: %v", err)
	}
	if err := os.Rename(names[0], dir.Path("local", "services", "other.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, withDir(nil, dir)); err == nil || !strings.Contains(err.Error(), "other.json") {
		t.Errorf("with a file of another name: %v", err)
	}
}

func TestCheckThatMayNotRunAnyMore(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	o := withDir(nil, dir)
	o.Scripts = check.AllScripts
	h := start(t, o)
	h.register(`{"Name": "web", "Check": {"Args": ["/bin/true"], "Interval": "10m"}}`)
	if h.Scripts() != 1 {
		t.Errorf("%d scripts", h.Scripts())
	}
	h.stop()
	h = start(t, withDir(nil, dir))
	c := h.Check("service:web")
	if c == nil || c.Status != api.Critical || !strings.Contains(c.Output, "enable_script_checks") {
		t.Errorf("the check is %+v", c)
	}
	if h.logged("not run any more") != 1 {
		t.Error("it is not logged")
	}
	h.register(`{"Name": "web", "Port": 5}`) // and it stays with its service
	h.stop()
	h = start(t, o)
	if c := h.Check("service:web"); c == nil || c.Type != "script" {
		t.Errorf("the check is %+v", c)
	}
}

func TestDiskThatRefuses(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	h.register(web)
	if err := os.RemoveAll(dir.Path("local", "services")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir.Path("local", "services"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.tryRegister(`{"Name": "db"}`, "", false); err == nil || !strings.Contains(err.Error(), `keep service "db"`) {
		t.Errorf("registered without being kept: %v", err)
	}
	h.is("web | service:web=passing")
}

func TestDefinitionsOfFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := mustOpen(t, t.TempDir())
		s := newServers(t)
		h := start(t, withDir(s, dir))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		services := func(defs ...string) (out []api.ServiceDefinition) {
			for _, d := range defs {
				out = append(out, *serviceDef(t, d))
			}
			return out
		}
		checks := []api.CheckDefinition{*checkDef(t, `{"id": "node-ttl", "name": "node ttl", "status": "warning", "ttl": "60m"}`)}
		w1 := `{"id": "w1", "name": "web", "port": 80, "tags": ["a"], "tagged_addresses": {"wan": {"address": "198.51.100.9", "port": 8}},
			"checks": [{"name": "alive", "status": "passing", "ttl": "60m"}]}`
		px := `{"name": "px", "port": 90, "connect": {"sidecar_service": {"proxy": {"upstreams": [{"destination_name": "db", "local_bind_port": 9000}]}}}}`
		must(h.LoadDefinitions(services(w1, px), checks))
		h.shows("w1", `{"Address": "", "Datacenter": "dc1", "EnableTagOverride": false, "ID": "w1", "Meta": {}, "Port": 80, "Service": "web",
			"TaggedAddresses": {"wan": {"Address": "198.51.100.9", "Port": 8}}, "Tags": ["a"], "Weights": {"Passing": 1, "Warning": 1}}`)
		sameJSON(t, h.Check("node-ttl"), `{"CheckID": "node-ttl", "CreateIndex": 0, "Definition": {}, "ExposedPort": 0, "Interval": "0s", "ModifyIndex": 0,
			"Name": "node ttl", "Node": "node-1", "Notes": "", "Output": "", "ServiceID": "", "ServiceName": "", "ServiceTags": [], "Status": "warning",
			"Timeout": "0s", "Type": ""}`)
		h.register(`{"Name": "mine"}`)
		h.registerCheck(`{"Name": "on w1", "ServiceID": "w1", "TTL": "60m", "Status": "passing"}`)
		must(h.UpdateTTL("service:w1", api.Warning, "hm"))
		must(h.UpdateTTL("node-ttl", api.Passing, ""))
		all := "mine px px-sidecar-proxy w1 | node-ttl=passing on w1=passing service:px-sidecar-proxy:1=critical service:px-sidecar-proxy:2=passing service:w1=warning"
		settle()
		s.has(all)
		if n := files(t, dir); n != 2 {
			t.Errorf("%d files; what files define is not kept", n)
		}

		// A reload that changes nothing disturbs nothing.
		s.commands()
		_, changed := h.Service("w1")
		must(h.Reload(services(px, w1), checks))
		settle()
		h.is(all)
		select {
		case <-changed:
			t.Error("a service that is as it was is told to have changed")
		default:
		}
		if n := s.commands(); n != 0 {
			t.Errorf("%d commands for a reload that changes nothing", n)
		}

		// One that is wrong in its last part changes nothing at all.
		bad := services(`{"name": "new"}`, w1, `{"name": "px", "port": 70000}`)
		if err := h.Reload(bad, nil); err == nil || !strings.Contains(err.Error(), `service "px"`) {
			t.Errorf("a wrong definition: %v", err)
		}
		if err := h.Reload(services(w1, w1), nil); err == nil || !strings.Contains(err.Error(), `"w1" is defined twice`) {
			t.Errorf("a service twice: %v", err)
		}
		if err := h.Reload(nil, append(checks, checks...)); err == nil || !strings.Contains(err.Error(), `"node-ttl" is defined twice`) {
			t.Errorf("a check twice: %v", err)
		}
		h.is(all)

		// What was removed here comes back, what changes keeps its statuses, and what is not there any more goes.
		must(h.DeregisterService("px"))
		must(h.Reload(services(strings.Replace(w1, `"port": 80`, `"port": 81`, 1), px), nil))
		settle()
		all = "mine px px-sidecar-proxy w1 | on w1=passing service:px-sidecar-proxy:1=critical service:px-sidecar-proxy:2=passing service:w1=warning"
		h.is(all)
		s.has(all)
		if w, _ := h.Service("w1"); w.Port != 81 {
			t.Errorf("port %d", w.Port)
		}
		h.stop()

		// After a restart the checks that the API has added to a file's service are there again.
		h = start(t, withDir(s, dir))
		must(h.LoadDefinitions(services(w1), nil))
		settle()
		h.is("mine w1 | on w1=passing service:w1=warning")
		h.stop()

		// When the file has gone meanwhile, they are forgotten, and it is said.
		h = start(t, withDir(s, dir))
		must(h.LoadDefinitions(nil, nil))
		settle()
		h.is("mine |")
		s.has("mine |")
		if h.logged("check forgotten") != 1 || files(t, dir) != 1 {
			t.Error("a check without its service is kept")
		}

		// A file's service takes the place of one that was registered.
		must(h.Reload(services(`{"name": "mine", "port": 7}`), nil))
		must(h.Reload(nil, nil))
		h.is("|")
		if n := files(t, dir); n != 0 {
			t.Errorf("%d files are left", n)
		}
	})
}

func TestSidecarPortsOfFilesStay(t *testing.T) {
	h := start(t, options(nil))
	def := func(name string) api.ServiceDefinition {
		return *serviceDef(t, fmt.Sprintf(`{"name": %q, "port": 80, "connect": {"sidecar_service": {}}}`, name))
	}
	if err := h.LoadDefinitions([]api.ServiceDefinition{def("a"), def("b")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Reload([]api.ServiceDefinition{def("c"), def("b"), def("a")}, nil); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"a": 21000, "b": 21001, "c": 21002} {
		if s, _ := h.Service(id + "-sidecar-proxy"); s == nil || s.Port != want {
			t.Errorf("the sidecar of %s is %+v", id, s)
		}
	}
	if err := h.Reload([]api.ServiceDefinition{def("d"), def("e"), def("b")}, nil); err != nil {
		t.Fatal(err)
	}
	if s, _ := h.Service("b-sidecar-proxy"); s.Port != 21001 {
		t.Errorf("port %d", s.Port)
	}
}
