package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// prometheus is a running Prometheus.
type prometheus struct{ addr string }

// read reads one of its HTTP API's answers.
func (p prometheus) read(ctx context.Context, path string, into any) error {
	body, err := fetch(ctx, "http://"+p.addr+"/api/v1/"+path)
	if err == nil {
		err = json.Unmarshal([]byte(body), &struct{ Data any }{into})
	}
	return err
}

// want waits until a job has just these targets: of each address, the labels and how it is.
func (p prometheus) want(t *testing.T, job string, want map[string]string) {
	t.Helper()
	testutil.Eventually(t, fmt.Sprintf("targets %v of job %s", want, job), func(ctx context.Context) error {
		var data struct {
			ActiveTargets []struct {
				Labels    map[string]string
				ScrapeURL string
				Health    string
				LastError string
			}
		}
		if err := p.read(ctx, "targets?state=active", &data); err != nil {
			return err
		}
		got, why := map[string]string{}, ""
		for _, target := range data.ActiveTargets {
			if l := target.Labels; l["job"] == job {
				got[l["instance"]] = fmt.Sprintf("%s %s %s %s", l["id"], l["tags"], l["zone"], target.Health)
				why += target.LastError
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("it has %v %s", got, why)
		}
		return nil
	})
}

// value waits until an expression has one value, and returns it with its labels.
func (p prometheus) value(t *testing.T, expression string) (labels map[string]string, value string) {
	t.Helper()
	testutil.Eventually(t, "a value of "+expression, func(ctx context.Context) error {
		var data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
		if err := p.read(ctx, "query?query="+url.QueryEscape(expression), &data); err != nil {
			return err
		}
		if len(data.Result) != 1 {
			return fmt.Errorf("got %v", data.Result)
		}
		labels, value = data.Result[0].Metric, fmt.Sprint(data.Result[0].Value[1])
		return nil
	})
	return labels, value
}

// TestPrometheus has Prometheus find its targets in the catalog, drop those that go, and scrape the agent itself.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	bin := client(t, "PARLEY_PROMETHEUS")
	a := testutil.Dev(t, `-hcl=telemetry { prometheus_retention_time = "1m" disable_hostname = true }`)
	exporter := func(name string) (port int, addr string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, "flavour{of=%q} 1\n", name) }))
		t.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if port, err = strconv.Atoi(u.Port()); err != nil {
			t.Fatal(err)
		}
		return port, u.Host
	}
	port1, addr1 := exporter("web-1")
	port2, addr2 := exporter("web-2")
	port3, addr3 := exporter("db-1")
	register(t, a, api.ServiceDefinition{
		ID: "web-1", Name: "web", Tags: []string{"blue", "metrics"}, Address: "127.0.0.1", Port: port1,
		Meta: map[string]string{"zone": "a"},
	})
	// An instance without an address of its own has its node's.
	register(t, a, api.ServiceDefinition{ID: "web-2", Name: "web", Port: port2})

	p := prometheus{"127.0.0.1:" + strconv.Itoa(testutil.FreePorts(t).HTTP)}
	dir := t.TempDir()
	conf := writeFile(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 400ms}
scrape_configs:
- job_name: all
  consul_sd_configs: [{refresh_interval: 500ms, server: '%[1]s'}]
  relabel_configs: &labels
  - {source_labels: [__meta_consul_service], regex: consul, action: drop}
  - {source_labels: [__meta_consul_service_id], target_label: id}
  - {source_labels: [__meta_consul_tags], target_label: tags}
  - {source_labels: [__meta_consul_service_metadata_zone], target_label: zone}
- job_name: blue
  consul_sd_configs: [{refresh_interval: 500ms, server: '%[1]s', services: [web], tags: [blue]}]
  relabel_configs: *labels
- job_name: healthy
  consul_sd_configs: [{refresh_interval: 500ms, server: '%[1]s', services: [web], allow_stale: false}]
  relabel_configs:
  - {source_labels: [__meta_consul_health], regex: passing, action: keep}
  - {source_labels: [__meta_consul_node, __meta_consul_dc, __meta_consul_address], separator: /, target_label: zone}
- job_name: agent
  metrics_path: /v1/agent/metrics
  params: {format: [prometheus]}
  static_configs: [{targets: ['%[1]s']}]
`, a.HTTPAddr()))
	start(t, exec.Command(bin, "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr))

	p.want(t, "all", map[string]string{addr1: "web-1 ,blue,metrics, a up", addr2: "web-2 ,,  up"})
	p.want(t, "blue", map[string]string{addr1: "web-1 ,blue,metrics, a up"})
	p.want(t, "healthy", map[string]string{addr1: "  dev/dc1/127.0.0.1 up", addr2: "  dev/dc1/127.0.0.1 up"})
	if labels, _ := p.value(t, `flavour{job="blue"}`); labels["of"] != "web-1" {
		t.Errorf("scraped: %v", labels)
	}

	// A service that is new, an instance that is critical, one that is gone.
	register(t, a, api.ServiceDefinition{ID: "db-1", Name: "db", Address: "127.0.0.1", Port: port3})
	p.want(t, "all", map[string]string{addr1: "web-1 ,blue,metrics, a up", addr2: "web-2 ,,  up", addr3: "db-1 ,,  up"})
	if err := a.API.Agent().UpdateTTL(t.Context(), "alive-web-2", api.Critical, "", nil); err != nil {
		t.Fatal(err)
	}
	p.want(t, "healthy", map[string]string{addr1: "  dev/dc1/127.0.0.1 up"})
	for _, id := range []string{"web-1", "db-1"} {
		if err := a.API.Agent().DeregisterService(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.want(t, "all", map[string]string{addr2: "web-2 ,,  up"})
	p.want(t, "blue", map[string]string{})
	p.want(t, "healthy", map[string]string{})

	// The agent's own figures, under the names that dashboards know.
	p.want(t, "agent", map[string]string{a.HTTPAddr(): "   up"})
	if _, v := p.value(t, "consul_server_isLeader"); v != "1" {
		t.Errorf("the leader: %s", v)
	}
}
