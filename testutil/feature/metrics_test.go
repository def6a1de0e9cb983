package feature

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// scrape reads an agent's metrics as Prometheus does.
func scrape(ctx context.Context, a *testutil.Agent) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.HTTPAddr()+"/v1/agent/metrics?format=prometheus", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		return nil, fmt.Errorf("status %d, content type %q", resp.StatusCode, kind)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	return p.TextToMetricFamilies(resp.Body)
}

// TestPrometheusFindsWhatDashboardsScrape reads the figures of Raft, of gossip, of the catalog, of the API and of the process from one
// agent, by the names that dashboards have.
func TestPrometheusFindsWhatDashboardsScrape(t *testing.T) {
	file := filepath.Join(t.TempDir(), "telemetry.hcl")
	settings := `telemetry { prometheus_retention_time = "10m" disable_hostname = true prefix_filter = ["-consul.memberlist"] }`
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	a := testutil.Dev(t, "-config-file="+file)
	ctx := t.Context()
	if err := a.API.KV().Put(ctx, &api.KVPair{Key: "a", Value: []byte("b")}, nil); err != nil {
		t.Fatal(err)
	}
	a.Must("services", "register", "-name=web", "-port=80")
	kinds := map[string]dto.MetricType{
		"consul_dns_domain_query":           dto.MetricType_SUMMARY,
		"consul_dns_ptr_query":              dto.MetricType_SUMMARY,
		"consul_dns_stale_queries":          dto.MetricType_COUNTER,
		"consul_raft_apply":                 dto.MetricType_COUNTER,
		"consul_raft_commitTime":            dto.MetricType_SUMMARY,
		"consul_raft_leader_lastContact":    dto.MetricType_SUMMARY,
		"consul_raft_state_leader":          dto.MetricType_COUNTER,
		"consul_raft_applied_index":         dto.MetricType_GAUGE,
		"consul_raft_peers":                 dto.MetricType_GAUGE,
		"consul_serf_member_join":           dto.MetricType_COUNTER,
		"consul_serf_member_flap":           dto.MetricType_COUNTER,
		"consul_server_isLeader":            dto.MetricType_GAUGE,
		"consul_kvs_apply":                  dto.MetricType_SUMMARY,
		"consul_catalog_register":           dto.MetricType_SUMMARY,
		"consul_api_http":                   dto.MetricType_SUMMARY,
		"consul_rpc_queries_blocking":       dto.MetricType_GAUGE,
		"consul_members_servers":            dto.MetricType_GAUGE,
		"consul_state_nodes":                dto.MetricType_GAUGE,
		"consul_state_services":             dto.MetricType_GAUGE,
		"consul_state_service_instances":    dto.MetricType_GAUGE,
		"consul_state_kv_entries":           dto.MetricType_GAUGE,
		"consul_state_connect_instances":    dto.MetricType_GAUGE,
		"consul_mesh_active_root_ca_expiry": dto.MetricType_GAUGE,
		"consul_runtime_alloc_bytes":        dto.MetricType_GAUGE,
		"consul_runtime_num_goroutines":     dto.MetricType_GAUGE,
		"consul_runtime_gc_pause_ns":        dto.MetricType_SUMMARY,
		"consul_version":                    dto.MetricType_GAUGE,
		"go_goroutines":                     dto.MetricType_GAUGE,
		"process_open_fds":                  dto.MetricType_GAUGE,
		"process_cpu_seconds_total":         dto.MetricType_COUNTER,
	}
	testutil.Eventually(t, "scraping", func(ctx context.Context) error {
		got, err := scrape(ctx, a)
		if err != nil {
			return err
		}
		for name, kind := range kinds {
			if f := got[name]; f == nil || f.GetType() != kind {
				return fmt.Errorf("%s is %v, want a %v", name, f, kind)
			}
		}
		for name := range got {
			if strings.HasPrefix(name, "consul_memberlist") {
				return fmt.Errorf("%s is shown against the filter", name)
			}
		}
		// "consul", the servers' own service, and web.
		if n := got["consul_state_services"].GetMetric()[0].GetGauge().GetValue(); n != 2 {
			return fmt.Errorf("%v services", n)
		}
		if n := got["consul_server_isLeader"].GetMetric()[0].GetGauge().GetValue(); n != 1 {
			return fmt.Errorf("isLeader is %v", n)
		}
		return nil
	})
	got, err := scrape(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range got["consul_api_http"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["method"] == "PUT" && labels["path"] == "v1.kv._" {
			found = true
			if m.GetSummary().GetSampleCount() != 1 || m.GetSummary().GetSampleSum() <= 0 || len(m.GetSummary().GetQuantile()) != 3 {
				t.Errorf("the PUT is shown as %v", m)
			}
		}
	}
	if !found {
		t.Errorf("the PUT is not shown: %v", got["consul_api_http"])
	}
}
