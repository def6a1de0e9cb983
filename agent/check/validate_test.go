package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

const s10 = api.Duration(10 * time.Second)

func TestValidate(t *testing.T) {
	good := []api.CheckDefinition{
		{TTL: s10},
		{TTL: s10, Status: "warning"},
		{HTTP: "https://[::1]:8080/x?y", Interval: s10, Method: "HEAD"},
		{TCP: "db.example:5432", Interval: s10},
		{UDP: "127.0.0.1:1", Interval: s10},
		{GRPC: "127.0.0.1:1/svc", Interval: s10},
		{H2PING: "127.0.0.1:1", Interval: s10},
		{AliasService: "x"},
		{AliasNode: "n", AliasService: "x"},
	}
	for _, def := range good {
		if err := check.Validate(&def, check.NoScripts, false); err != nil {
			t.Errorf("%+v: %s", def, err)
		}
	}
	bad := []struct {
		def    api.CheckDefinition
		status int
		phrase string
	}{
		{api.CheckDefinition{}, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{api.CheckDefinition{TTL: -1}, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{api.CheckDefinition{TTL: s10, Status: "weird"}, 400, "Bad check status"},
		{api.CheckDefinition{HTTP: "http://127.0.0.1/"}, 400, "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{api.CheckDefinition{TTL: s10, HTTP: "http://127.0.0.1/", Interval: s10}, 400, "Invalid check: Interval and TTL cannot both be specified"},
		{api.CheckDefinition{TTL: s10, HTTP: "http://127.0.0.1/"}, 400, "HTTP and TTL cannot both be specified"},
		{api.CheckDefinition{TCP: "a:1", HTTP: "http://127.0.0.1/", Interval: s10}, 400, "HTTP and TCP cannot both be specified"},
		{api.CheckDefinition{TTL: s10, OutputMaxSize: -1}, 400, "Invalid check: MaxOutputMaxSize must be positive"},
		{api.CheckDefinition{HTTP: "ftp://x/", Interval: s10}, 400, "http://"},
		{api.CheckDefinition{HTTP: "http://", Interval: s10}, 400, "names no host"},
		{api.CheckDefinition{HTTP: "http://x:99999/", Interval: s10}, 400, "port"},
		{api.CheckDefinition{HTTP: "http://a b/", Interval: s10}, 400, "HTTP:"},
		{api.CheckDefinition{HTTP: "http://x/", Method: "G T", Interval: s10}, 400, "Method"},
		{api.CheckDefinition{HTTP: "http://x/", Header: map[string][]string{"a b": {"c"}}, Interval: s10}, 400, "Header"},
		{api.CheckDefinition{HTTP: "http://x/", Header: map[string][]string{"A": {"b\nC: d"}}, Interval: s10}, 400, "Header"},
		{api.CheckDefinition{TCP: "nothing", Interval: s10}, 400, "TCP: \"nothing\" is not host:port"},
		{api.CheckDefinition{TCP: "x:0", Interval: s10}, 400, "TCP"},
		{api.CheckDefinition{UDP: ":53", Interval: s10}, 400, "UDP"},
		{api.CheckDefinition{GRPC: "svc", Interval: s10}, 400, "GRPC"},
		{api.CheckDefinition{H2PING: "x:y", Interval: s10}, 400, "H2PING"},
		{api.CheckDefinition{TTL: s10, Timeout: -1}, 400, "Timeout"},
		{api.CheckDefinition{TTL: s10, DeregisterCriticalServiceAfter: -1}, 400, "DeregisterCriticalServiceAfter"},
		{api.CheckDefinition{TTL: s10, SuccessBeforePassing: -1}, 400, "SuccessBeforePassing"},
		{api.CheckDefinition{TTL: s10, FailuresBeforeWarning: 4, FailuresBeforeCritical: 2}, 400, "FailuresBeforeWarning"},
		{api.CheckDefinition{OSService: "x", Interval: s10}, 500, "not implemented"},
		{api.CheckDefinition{Args: []string{"true"}, Interval: s10}, 500, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"},
		{api.CheckDefinition{DockerContainerID: "c", Shell: "/bin/sh", Args: []string{"true"}, Interval: s10}, 500, "Scripts are disabled on this agent from remote calls"},
	}
	for _, tc := range bad {
		err := check.Validate(&tc.def, check.NoScripts, false)
		if api.StatusOf(err) != tc.status || !strings.Contains(err.Error(), tc.phrase) {
			t.Errorf("%+v: %d %v, want %d with %q", tc.def, api.StatusOf(err), err, tc.status, tc.phrase)
		}
	}
}

func TestValidateScripts(t *testing.T) {
	script := api.CheckDefinition{Args: []string{"true"}, Interval: s10}
	for _, tc := range []struct {
		policy   check.ScriptPolicy
		fromFile bool
		ok       bool
	}{
		{check.NoScripts, true, false},
		{check.NoScripts, false, false},
		{check.FileScripts, true, true},
		{check.FileScripts, false, false},
		{check.AllScripts, true, true},
		{check.AllScripts, false, true},
	} {
		if err := check.Validate(&script, tc.policy, tc.fromFile); (err == nil) != tc.ok {
			t.Errorf("policy %d, from a file %t: %v", tc.policy, tc.fromFile, err)
		}
	}
	docker := api.CheckDefinition{DockerContainerID: "c", Args: []string{"true"}, Interval: s10}
	if err := check.Validate(&docker, check.AllScripts, false); err == nil || !strings.Contains(err.Error(), "DockerContainerID") {
		t.Errorf("docker: %v", err)
	}
	if err := check.Validate(&api.CheckDefinition{Args: []string{" "}, Interval: s10}, check.AllScripts, false); err == nil {
		t.Error("an empty command is accepted")
	}
}

func TestKindOf(t *testing.T) {
	for kind, def := range map[string]api.CheckDefinition{
		check.KindTTL: {TTL: s10}, check.KindHTTP: {HTTP: "x"}, check.KindTCP: {TCP: "x"}, check.KindUDP: {UDP: "x"}, check.KindGRPC: {GRPC: "x"},
		check.KindH2Ping: {H2PING: "x"}, check.KindScript: {Args: []string{"x"}}, check.KindDocker: {Args: []string{"x"}, DockerContainerID: "c"},
		check.KindAlias: {AliasService: "x"}, check.KindOSService: {OSService: "x"},
	} {
		if got := check.KindOf(&def); got != kind {
			t.Errorf("%+v is of kind %s, want %s", def, got, kind)
		}
	}
}
