package telemetry

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func open(t *testing.T, o Options) *Metrics {
	t.Helper()
	o.Prefix, o.Logger = "consul", slog.New(slog.DiscardHandler)
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	m.Prometheus().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/agent/metrics?format=prometheus", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("status %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// display reads the metrics as JSON.
func display(t *testing.T, m *Metrics) gometrics.MetricsSummary {
	t.Helper()
	v, err := m.DisplayMetrics(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var s gometrics.MetricsSummary
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrometheusShowsWhatIsCountedAndWhatSourcesTell(t *testing.T) {
	m := open(t, Options{Retention: time.Minute})
	var timer Timer
	timer.observe(Now(), 3*time.Millisecond)
	m.Add(func(r *Reading) {
		r.Gauge("members.servers", 3, Label{Name: "datacenter", Value: "dc1"})
		r.Sample("api.http", timer.Sample(), Label{Name: "method", Value: "GET"}, Label{Name: "path", Value: "v1.kv._"})
	})
	gometrics.IncrCounter([]string{"serf", "member", "join"}, 2)
	gometrics.SetGauge([]string{"raft", "peers"}, 5)
	gometrics.AddSample([]string{"raft", "commitTime"}, 4)

	got := scrape(t, m)
	for name, want := range map[string]float64{"consul_serf_member_join": 2, "consul_raft_apply": 0} {
		if f := got[name]; f == nil || f.GetMetric()[0].GetCounter().GetValue() != want {
			t.Errorf("%s is %v, want %v", name, f, want)
		}
	}
	for name, want := range map[string]float64{"consul_members_servers": 3, "consul_raft_peers": 5} {
		if f := got[name]; f == nil || f.GetMetric()[0].GetGauge().GetValue() != want {
			t.Errorf("%s is %v, want %v", name, f, want)
		}
	}
	http := got["consul_api_http"]
	if http == nil || http.GetMetric()[0].GetSummary().GetSampleCount() != 1 || http.GetMetric()[0].GetSummary().GetSampleSum() != 3 {
		t.Errorf("consul_api_http is %v", http)
	}
	if labels := http.GetMetric()[0].GetLabel(); len(labels) != 2 || labels[1].GetValue() != "v1.kv._" {
		t.Errorf("consul_api_http has the labels %v", labels)
	}
	if s := got["consul_raft_commitTime"].GetMetric()[0].GetSummary(); s.GetSampleCount() != 1 || len(s.GetQuantile()) != 3 {
		t.Errorf("consul_raft_commitTime is %v", s)
	}
	for _, name := range []string{"consul_runtime_alloc_bytes", "consul_runtime_gc_pause_ns", "go_goroutines", "process_resident_memory_bytes"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestGaugesBearTheHostsNameUnlessToldNotTo(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, Options{Retention: time.Minute, Hostname: true})
	m.Add(func(r *Reading) { r.Gauge("told", 1); r.Sample("timed", Sample{}) })
	gometrics.SetGauge([]string{"counted"}, 1)
	got := scrape(t, m)
	for _, name := range []string{"consul_" + flat(host) + "_told", "consul_" + flat(host) + "_counted", "consul_timed"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, g := range display(t, m).Gauges {
		if !strings.HasPrefix(g.Name, "consul."+host+".") {
			t.Errorf("gauge %s does not bear the host's name", g.Name)
		}
	}
}

func TestFilterShowsWhatItsLongestRuleShows(t *testing.T) {
	m := open(t, Options{Retention: time.Minute, Filter: []string{"-consul.raft", "+consul.raft.apply", "-consul.runtime", "+", "-"}})
	gometrics.SetGauge([]string{"raft", "peers"}, 5)
	m.Add(func(r *Reading) { r.Gauge("raft.applied_index", 5); r.Gauge("server.isLeader", 1) })
	got := scrape(t, m)
	for name, want := range map[string]bool{
		"consul_raft_peers": false, "consul_raft_applied_index": false, "consul_raft_commitTime": false, "consul_runtime_alloc_bytes": false,
		"consul_raft_apply": true,
	} {
		if (got[name] != nil) != want {
			t.Errorf("%s: shown %v, want %v", name, got[name] != nil, want)
		}
	}

	m = open(t, Options{Hidden: true, Filter: []string{"+consul.server"}})
	m.Add(func(r *Reading) { r.Gauge("server.isLeader", 1) })
	if got := display(t, m).Gauges; len(got) != 1 || got[0].Name != "consul.server.isLeader" {
		t.Errorf("gauges are %v", got)
	}
}

func TestJSONHasTheLastFinishedInterval(t *testing.T) {
	m := open(t, Options{})
	if m.Prometheus() != nil {
		t.Error("Prometheus is shown something though it is not switched on")
	}
	var timer Timer
	now := time.Now()
	timer.observe(at(now.Add(-interval)), 10*time.Millisecond)
	timer.observe(at(now.Add(-interval)), 20*time.Millisecond)
	m.Add(func(r *Reading) {
		r.Gauge("server.isLeader", 1)
		r.Sample("api.http", sampleOf(at(now), []*Timer{&timer}))
	})
	got := display(t, m)
	if len(got.Samples) != 1 || got.Samples[0].Count != 2 || got.Samples[0].Mean != 15 || got.Samples[0].Min != 10 || got.Samples[0].Max != 20 {
		t.Errorf("samples are %+v", got.Samples)
	}
	i := 0
	for _, g := range got.Gauges {
		if g.Name == "consul.server.isLeader" {
			i++
		}
	}
	if i != 1 {
		t.Errorf("gauges are %v", got.Gauges)
	}
}

func TestCloseLeavesAnotherAgentsMetricsAlone(t *testing.T) {
	first := open(t, Options{})
	second := open(t, Options{Retention: time.Minute})
	first.Close()
	gometrics.SetGauge([]string{"raft", "peers"}, 5)
	if scrape(t, second)["consul_raft_peers"] == nil {
		t.Error("the second agent does not count any more")
	}
}
