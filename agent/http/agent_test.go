package http_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
)

func TestAgent(t *testing.T) {
	a := start(t)
	var self api.Self
	a.do("GET", "/v1/agent/self").is(200, "node-1").json(&self)
	if self.Config.NodeName != "node-1" {
		t.Errorf("self: %+v", self)
	}
	a.do("PUT", "/v1/agent/self").is(405, "method PUT not allowed").has("Allow", "OPTIONS,GET")
	a.do("GET", "/v1/agent/version").is(200, `"HumanVersion":"1.2.3"`)
	a.do("GET", "/v1/agent/nothing").is(404, "not a recognized HTTP API endpoint")
	a.do("GET", "/v1/agent/metrics").is(200, `"Timestamp"`)
	a.do("GET", "/v1/agent/metrics?format=prometheus").is(200, "").has("X-Consul-Reason", "Prometheus is not enabled since its retention time is not positive")
	a.do("PUT", "/v1/agent/reload").is(200, "")
	a.do("GET", "/v1/agent/reload").is(405, "method GET not allowed")
	a.do("PUT", "/v1/agent/leave").is(200, "")
	a.do("GET", "/v1/agent/host").is(200, `"CollectionTime"`)
}

func TestMembers(t *testing.T) {
	a := start(t)
	for query, want := range map[string]string{
		"": "node-1", "?wan": "node-1", "?wan=0": "node-1.dc1", "?wan=1": "node-1.dc1", "?filter=Status == 1": "node-1", "?filter=Status == 4": "",
	} {
		var members []api.Member
		a.do("GET", "/v1/agent/members"+query).is(200, "[").json(&members)
		if got := len(members); got > 1 || got == 1 && members[0].Name != want || (got == 0) != (want == "") {
			t.Errorf("%s: got %+v, want %q", query, members, want)
		}
	}
	if got := a.do("GET", "/v1/agent/members?token=root"); !strings.Contains(got.body, "secret-2") {
		t.Errorf("root does not see all: %s", got.body)
	}
	a.do("GET", "/v1/agent/members?token=bogus").is(403, "ACL not found")
	a.do("GET", "/v1/agent/members?segment=x").is(500, "Network segments are not supported in this version of")
	a.do("GET", "/v1/agent/members?filter=Nope == 1").is(400, "Failed to create boolean expression evaluator")

	a.do("PUT", "/v1/agent/join/127.0.0.1:1").is(500, "connection refused")
	a.do("PUT", "/v1/agent/join/").is(500, "Missing the address")
	a.do("PUT", "/v1/agent/join/10.0.0.9?wan=1").is(200, "")
	a.do("GET", "/v1/agent/join/10.0.0.9").is(405, "").has("Allow", "OPTIONS,PUT")
	a.do("PUT", "/v1/agent/force-leave/nothing").is(500, "No node found with name 'nothing'")
	a.do("PUT", "/v1/agent/force-leave/").is(500, "No node found with name ''")
	a.do("PUT", "/v1/agent/force-leave/secret-2?prune").is(200, "")
	if len(a.pool.joined) != 1 || a.pool.joined[0] != "[10.0.0.9] true" || len(a.pool.left) != 1 || a.pool.left[0] != "secret-2true false" {
		t.Errorf("joined %q, left %q", a.pool.joined, a.pool.left)
	}
}

// What fails within the agent is told, and what may not be is refused before it is done.
func TestAgentRefusals(t *testing.T) {
	failing := func(context.Context) error { return errors.New(`prl.hcl: key "datacentre" is not known`) }
	a := start(t, func(o *agenthttp.Options) {
		o.Node = "secret-node"
		o.Reload = failing
		o.Prometheus = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "# HELP x\n") })
	})
	for _, c := range []struct{ method, path string }{
		{"GET", "self"}, {"GET", "version"}, {"GET", "metrics"}, {"GET", "monitor"}, {"PUT", "join/x"}, {"PUT", "leave"}, {"PUT", "reload"},
		{"PUT", "maintenance?enable=true"},
	} {
		a.do(c.method, "/v1/agent/"+c.path).is(403, "Permission denied").is(403, "it is secret")
	}
	root := "X-Consul-Token: root"
	a.do("PUT", "/v1/agent/reload", "", root).is(500, "datacentre")
	a.do("GET", "/v1/agent/metrics?format=prometheus", "", root).is(200, "# HELP").has("Content-Type", "text/plain; charset=utf-8")
}

func TestMonitor(t *testing.T) {
	began := make(chan slog.Level, 1)
	ended := make(chan error, 1)
	a := start(t, func(o *agenthttp.Options) {
		o.Monitor = func(ctx context.Context, level slog.Level, asJSON bool, write func([]byte) error) error {
			began <- level
			if err := write([]byte("a line\n")); err != nil {
				return err
			}
			<-ctx.Done()
			ended <- ctx.Err()
			return nil
		}
	})
	a.do("GET", "/v1/agent/monitor?loglevel=nothing").is(400, "Unknown log level: nothing")
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", a.url+"/v1/agent/monitor?loglevel=trace", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if level := <-began; level != slog.LevelDebug {
		t.Errorf("level %v", level)
	}
	line := make([]byte, 7)
	if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != "a line\n" {
		t.Errorf("got %q, %v", line, err)
	}
	cancel()
	<-ended

	// The server's end ends it too.
	resp, err = a.http.Get(a.url + "/v1/agent/monitor")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-began
	closeAPI(t, a)
	<-ended
}

func closeAPI(t *testing.T, a *agent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.api.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestMaintenance(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/agent/service/register", `{"ID": "w1", "Name": "web", "Port": 1}`).is(200, "")
	for path, want := range map[string]string{
		"service/maintenance/?enable=true":        "400 Missing service ID",
		"service/maintenance/w1":                  "400 Missing value for enable",
		"service/maintenance/w1?enable=maybe":     `400 Invalid value for enable: "maybe"`,
		"service/maintenance/nothing?enable=true": `404 Unknown service ID "nothing". Ensure that the service ID is passed`,
		"maintenance":              "400 Missing value for enable",
		"maintenance?enable=maybe": "400 Invalid value for enable",
	} {
		a.do("PUT", "/v1/agent/"+path).want(want)
	}
	a.do("GET", "/v1/agent/checks").is(200, "{}")
	a.do("PUT", "/v1/agent/service/maintenance/w1?enable=true&reason=upgrade").is(200, "")
	a.do("GET", "/v1/agent/checks").is(200, `"Notes":"upgrade"`)
	a.do("GET", "/v1/agent/health/service/id/w1?format=text").is(503, "maintenance").has("Content-Type", "text/plain")
	a.do("PUT", "/v1/agent/service/maintenance/w1?enable=false").is(200, "")
	a.do("PUT", "/v1/agent/maintenance?enable=1&reason=reboot").is(200, "")
	a.do("GET", "/v1/agent/health/service/name/web").is(503, `"AggregatedStatus":"maintenance"`)
	a.do("PUT", "/v1/agent/maintenance?enable=0").is(200, "")
	a.do("GET", "/v1/agent/checks").is(200, "{}")
}
