package local_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
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
		if n := kept(t, dir); n != 0 {
			t.Errorf("%d are kept of nothing", n)
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

// A service that becomes another's sidecar is kept once, and can be removed.
func TestServiceBecomesASidecar(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	h.register(`{"Name": "web-sidecar-proxy", "Port": 5, "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "web"}, "Check": {"TTL": "1h"}}`)
	h.register(`{"Name": "web", "Port": 80, "Connect": {"SidecarService": {"Port": 6}}}`)
	h.stop()
	if n := kept(t, dir); n != 1 {
		t.Errorf("%d are kept, want one", n)
	}
	again := start(t, withDir(nil, dir))
	if s, _ := again.Service("web-sidecar-proxy"); s == nil || s.Port != 6 {
		t.Errorf("the sidecar is %+v", s)
	}
	for _, id := range []string{"web", "web-sidecar-proxy"} {
		if err := again.DeregisterService(id); err != nil && api.StatusOf(err) != 404 {
			t.Error(err)
		}
	}
	if n := kept(t, dir); n != 0 {
		t.Errorf("%d are kept of nothing", n)
	}
}

// Whatever a crash has left of the last change, it is there as a whole or not at all, and what was acknowledged before it is.
func TestTornRegistration(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	h.register(`{"Name": "db", "Check": {"TTL": "1h"}}`)
	before, err := os.ReadFile(dir.Path(journal))
	if err != nil {
		t.Fatal(err)
	}
	h.register(`{"Name": "web", "Checks": [{"TTL": "1h"}, {"TTL": "1h"}], "Connect": {"SidecarService": {"Port": 6, "Check": {"TTL": "1h"}}}}`)
	all := h.all()
	h.stop()
	after, err := os.ReadFile(dir.Path(journal))
	if err != nil {
		t.Fatal(err)
	}
	for n := len(before); n <= len(after); n += max(1, min(37, len(after)-n)) {
		if err := os.WriteFile(dir.Path(journal), after[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		h := start(t, withDir(nil, dir))
		switch n {
		case len(after):
			h.is(all)
		default:
			h.is("db | service:db=critical")
			if torn := n > len(before); h.logged("is cut off") == 1 != torn {
				t.Errorf("cut after %d bytes of %d, the log says %s", n, len(after), h.log)
			}
		}
		h.stop()
		if n == len(after) {
			return
		}
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
	flipped := func(good string) string { return good[:60] + string(good[60]^1) + good[61:] }
	for file, bad := range map[string][]string{
		"local/status.json": {"", "{", `{"version":1,"data":[]}`, `{"version":9,"data":{}}`},
		journal:             {"", "{", "parley journal 9\n", flipped(read(t, dir, journal))},
	} {
		good := read(t, dir, file)
		for _, bad := range bad {
			if err := os.WriteFile(dir.Path(file), []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := tryStart(t, withDir(nil, dir)); err == nil || !strings.Contains(err.Error(), dir.Path(file)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s with %q: %v, want an error that names it", file, bad, err)
			}
			if now := read(t, dir, file); now != bad {
				t.Errorf("%s was written over: %q", file, now)
			}
		}
		if err := os.WriteFile(dir.Path(file), []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		dir.Close()
		dir = mustOpen(t, path) // which forgets what was damaged
	}
	again := start(t, withDir(nil, dir))
	again.is("web | mem=critical service:web=passing")
}

// What is whole but makes no sense here is not dropped either.
func TestKeptThatMakesNoSense(t *testing.T) {
	sidecar := `{"Definition":{"ID":"web-sidecar-proxy","Name":"x","Port":9,"Kind":"connect-proxy","Proxy":{"DestinationServiceName":"web"}}}`
	for _, c := range []struct{ key, value, want string }{
		{"service/web", `{"Service":{"Definition":{"ID":"web","Name":"web","Port":80000}}}`, "Port 80000"},
		{"service/db", `{"Service":{"Definition":{"ID":"web","Name":"web"}}}`, `service "db" cannot be understood: the definition has another id`},
		{"service/web", `{"Service":{"Definition":{"ID":"web","Name":"web"}},"Odd":1}`, `unknown field "Odd"`},
		{"service/web", `{"Service":`, `service "web" cannot be understood`},
		{"service/db", `{"Service":{"Definition":{"ID":"db","Name":"db"}},"Sidecar":` + sidecar + `}`, `not the id of the sidecar`},
		{"check/mem", `{"Check":{"Definition":{"ID":"cpu"}}}`, `check "mem" cannot be understood`},
		{"check/mem", `[]`, `check "mem" cannot be understood`},
		{"node/x", `{}`, `"node/x" is not known`},
	} {
		dir := mustOpen(t, t.TempDir())
		j, err := dir.OpenJournal(journal, 1, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Append([]datadir.Change{{Key: c.key, Value: []byte(c.value)}}), j.Close()); err != nil {
			t.Fatal(err)
		}
		before := read(t, dir, journal)
		if _, err := tryStart(t, withDir(nil, dir)); err == nil || !strings.Contains(err.Error(), dir.Path(journal)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s: %v, want %s", c.key, c.value, err, c.want)
		}
		if read(t, dir, journal) != before {
			t.Errorf("%s = %s: the file was changed", c.key, c.value)
		}
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
	mend := h.BreakJournal()
	if err := h.tryRegister(`{"Name": "db"}`, "", false); err == nil || !strings.Contains(err.Error(), "nothing is changed") || !strings.Contains(err.Error(), dir.Path(journal)) {
		t.Errorf("registered without being kept: %v", err)
	}
	h.is("web | service:web=passing")
	if kept := start(t, withDir(nil, crash(t, dir))).all(); kept != h.all() {
		t.Errorf("kept is %s", kept)
	}
	mend()
	h.register(`{"Name": "late"}`)
	if kept := start(t, withDir(nil, crash(t, dir))).all(); kept != h.all() {
		t.Errorf("kept is %s", kept)
	}
}

// Registrations that arrive together are carried out as if they had come one after the other, and each is on disk when it is answered.
func TestManyAtOnce(t *testing.T) {
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(nil, dir))
	var many sync.WaitGroup
	for client := range 8 {
		many.Go(func() {
			for i := range 30 {
				own := fmt.Sprintf("own-%d-%d", client, i%5)
				if err := h.tryRegister(fmt.Sprintf(`{"Name": %q, "Port": %d, "Check": {"TTL": "1h"}}`, own, i), "", true); err != nil {
					t.Error(err)
				}
				shared := fmt.Sprintf(`{"Name": "shared", "Port": %d, "Check": {"CheckID": "c-%d", "TTL": "1h"}, "Connect": {"SidecarService": {}}}`, client, client)
				if err := h.tryRegister(shared, "", true); err != nil {
					t.Error(err)
				}
				if err := h.tryRegister(`{"Name": "bad", "Port": 70000}`, "", true); api.StatusOf(err) != 400 {
					t.Errorf("a wrong port: %v", err)
				}
				if i%7 == 0 {
					if err := h.DeregisterService(own); err != nil {
						t.Error(err)
					}
				}
				// Of two that claim one CheckID, one is refused, whoever came first.
				if err := h.tryRegister(fmt.Sprintf(`{"Name": "rival-%d", "Check": {"CheckID": "one", "TTL": "1h"}}`, client), "", false); err != nil && api.StatusOf(err) != 400 {
					t.Error(err)
				}
				if err := h.DeregisterService(fmt.Sprintf("rival-%d", client)); err != nil && api.StatusOf(err) != 404 {
					t.Error(err)
				}
			}
		})
	}
	many.Wait()
	if s, _ := h.Service("shared"); h.Check(fmt.Sprintf("c-%d", s.Port)) == nil {
		t.Errorf("shared has port %d and not the check that came with it: %s", s.Port, h.all())
	}
	want := h.all()
	if n := strings.Count(want, "c-"); n != 1 {
		t.Errorf("shared has %d checks: %s", n, want)
	}
	again := start(t, withDir(nil, crash(t, dir)))
	if got := again.all(); got != want {
		t.Errorf("killed, it is\n%s\nwas\n%s", got, want)
	}
	for _, s := range h.Services() {
		if same, _ := again.Service(s.ID); same == nil || same.Port != s.Port {
			t.Errorf("service %s is %+v, was %+v", s.ID, same, s)
		}
	}
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
		if n := kept(t, dir); n != 2 {
			t.Errorf("%d are kept; what files define is not", n)
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
		if h.logged("check forgotten") != 1 || kept(t, dir) != 1 {
			t.Error("a check without its service is kept")
		}

		// A file's service takes the place of one that was registered.
		must(h.Reload(services(`{"name": "mine", "port": 7}`), nil))
		must(h.Reload(nil, nil))
		h.is("|")
		if n := kept(t, dir); n != 0 {
			t.Errorf("%d are kept", n)
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
