package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestWorstStatus(t *testing.T) {
	for want, statuses := range map[string][]string{
		api.Passing:     {"", "passing", "passing passing"},
		api.Warning:     {"passing warning", "warning passing"},
		api.Critical:    {"critical", "warning critical passing", "passing weird"},
		api.Maintenance: {"critical _node_maintenance", "_service_maintenance:web", "_node_maintenance critical"},
	} {
		for _, line := range statuses {
			var checks []api.Check
			for _, word := range strings.Fields(line) {
				c := api.Check{CheckID: "c", Status: word}
				if word[0] == '_' {
					c = api.Check{CheckID: word, Status: api.Critical}
				}
				checks = append(checks, c)
			}
			if got := api.WorstStatus(checks); got != want {
				t.Errorf("%q: got %s, want %s", line, got, want)
			}
		}
	}
}

// TestHealthCheckDefinition reads either of the two names that each duration has.
func TestHealthCheckDefinition(t *testing.T) {
	want := api.HealthCheckDefinition{
		HTTP: "http://x/", Interval: api.Duration(10 * time.Second), Timeout: api.Duration(time.Second),
		DeregisterCriticalServiceAfter: api.Duration(time.Minute),
	}
	for _, data := range []string{
		`{"HTTP": "http://x/", "Interval": "10s", "Timeout": "1s", "DeregisterCriticalServiceAfter": "1m"}`,
		`{"http": "http://x/", "IntervalDuration": "10s", "TimeoutDuration": "1s", "DeregisterCriticalServiceAfterDuration": "1m"}`,
		`{"HTTP": "http://x/", "IntervalDuration": 10000000000, "TimeoutDuration": "1s", "Timeout": "", "DeregisterCriticalServiceAfterDuration": "60s"}`,
	} {
		var got api.HealthCheckDefinition
		if err := json.Unmarshal([]byte(data), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", data, got, err)
		}
	}
}

func TestStatusOf(t *testing.T) {
	err := api.Errorf(403, "not permitted: %s", "x")
	if got := api.StatusOf(fmt.Errorf("register: %w", err)); got != 403 {
		t.Errorf("wrapped: %d", got)
	}
	if got := api.StatusOf(errors.New("x")); got != 500 {
		t.Errorf("unknown: %d", got)
	}
	if got := api.StatusOf(nil); got != 200 {
		t.Errorf("nil: %d", got)
	}
	if err.Error() != "not permitted: x" {
		t.Errorf("message: %s", err)
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "a b", "a\tb", "a\x00b", strings.Repeat("x", 129)} {
		err := api.CheckName("service name", bad)
		if api.StatusOf(err) != 400 || !strings.HasPrefix(err.Error(), "service name") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"web", "web_1", "Wéb", "a.b", strings.Repeat("x", 128)} {
		if err := api.CheckName("service name", good); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]bool{
		"web": true, "Web-1": true, "a": true, "": false, "-a": false, "a-": false, "a_b": false, "a.b": false, strings.Repeat("x", 64): false,
	} {
		if api.DNSName(name) != want {
			t.Errorf("DNSName(%q) is not %v", name, want)
		}
	}
}

func TestDNSWarnings(t *testing.T) {
	d := &api.ServiceDefinition{Name: "web_1", Tags: []string{"v1", "v1.2", "a_b", "traefik.enable=true", strings.Repeat("x", 64)}}
	got := d.DNSWarnings()
	for i, want := range []string{`service name "web_1" is no name for DNS`, `tag "a_b" of service "web_1"`, `tag "xxxx`} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("warning %d is not %s: %q", i, want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d warnings: %q", len(got), got)
	}
}

func TestTargetID(t *testing.T) {
	for want, got := range map[string]string{
		"web.default.default.dc1":           api.TargetID("web", "", "", "", "dc1", ""),
		"v1.web.default.default.dc1":        api.TargetID("web", "v1", "default", "default", "dc1", ""),
		"web.default.default.external.east": api.TargetID("web", "", "", "", "dc1", "east"),
		"web.team.blue.dc2":                 api.TargetID("web", "", "team", "blue", "dc2", ""),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
