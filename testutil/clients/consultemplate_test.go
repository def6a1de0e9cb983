package clients

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestConsulTemplate has consul-template render a file, and again whenever what the file tells has changed.
func TestConsulTemplate(t *testing.T) {
	t.Parallel()
	bin := client(t, "PARLEY_CONSUL_TEMPLATE")
	a := testutil.Dev(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "web.conf")
	put := func(key, value string) {
		t.Helper()
		if err := a.API.KV().Put(t.Context(), &api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("web/title", "first")
	put("web/limits/rate", "10")
	register(t, a, api.ServiceDefinition{
		ID: "web-1", Name: "web", Tags: []string{"blue"}, Address: "10.0.0.1", Port: 8001,
		Meta: map[string]string{"zone": "a"},
	})
	p := start(t, exec.Command(bin, "-consul-addr="+a.HTTPAddr(), "-template="+template(t)+":"+out, "-wait=10ms:50ms"))
	p.end = os.Interrupt

	wantFile(t, out, `title first
rate = 10
colour is none
web-1 10.0.0.1:8001 a passing
tagged 1, all 1, node dev
services: consul web
`)
	// A change of each kind of thing is a new file: a key, a new key, an instance, its health, its end.
	put("web/title", "second")
	put("web/limits/burst", "20")
	put("web/colour", "red")
	register(t, a, api.ServiceDefinition{ID: "web-2", Name: "web", Address: "10.0.0.2", Port: 8002, Meta: map[string]string{"zone": "b"}})
	wantFile(t, out, `title second
burst = 20
rate = 10
colour is red
web-1 10.0.0.1:8001 a passing
web-2 10.0.0.2:8002 b passing
tagged 1, all 2, node dev
services: consul web
`)
	if err := a.API.Agent().UpdateTTL(t.Context(), "alive-web-1", api.Critical, "broken", nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, out, `title second
burst = 20
rate = 10
colour is red
web-2 10.0.0.2:8002 b passing
tagged 0, all 2, node dev
services: consul web
`)
	if err := a.API.Agent().DeregisterService(t.Context(), "web-1", nil); err != nil {
		t.Fatal(err)
	}
	register(t, a, api.ServiceDefinition{ID: "db-1", Name: "db", Address: "10.0.0.3", Port: 5432})
	wantFile(t, out, `title second
burst = 20
rate = 10
colour is red
web-2 10.0.0.2:8002 b passing
tagged 0, all 1, node dev
services: consul db web
`)
	if said := p.log.String(); strings.Contains(said, "[ERR]") || strings.Contains(said, "(retry attempt") {
		t.Errorf("consul-template met errors:\n%s", said)
	}
}

// TestConsulTemplateDeduplicates lets two of them share the work, of which one renders and the other takes what it rendered.
func TestConsulTemplateDeduplicates(t *testing.T) {
	t.Parallel()
	bin := client(t, "PARLEY_CONSUL_TEMPLATE")
	a := testutil.Dev(t)
	dir := t.TempDir()
	register(t, a, api.ServiceDefinition{ID: "web-1", Name: "web", Address: "10.0.0.1", Port: 8001})
	tpl := writeFile(t, filepath.Join(dir, "short.tpl"), `{{range service "web"}}{{.Address}} {{end}}`)
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, out := range []string{one, two} {
		start(t, exec.Command(bin, "-consul-addr="+a.HTTPAddr(), "-template="+tpl+":"+out, "-wait=10ms:50ms", "-dedup")).end = os.Interrupt
	}
	wantFile(t, one, "10.0.0.1 ")
	wantFile(t, two, "10.0.0.1 ")
	testutil.Eventually(t, "one that leads", func(ctx context.Context) error {
		pairs, _, err := a.API.KV().List(ctx, "consul-template/dedup/", nil)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if p.Session != "" {
				return nil
			}
		}
		return errors.New("no lock is held")
	})
	register(t, a, api.ServiceDefinition{ID: "web-2", Name: "web", Address: "10.0.0.2", Port: 8001})
	wantFile(t, one, "10.0.0.1 10.0.0.2 ")
	wantFile(t, two, "10.0.0.1 10.0.0.2 ")
}

// template returns the path of the template, with every function that people use.
func template(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("testdata/web.tpl")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
