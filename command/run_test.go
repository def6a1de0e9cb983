package command_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/command"
)

// TestRequests looks at what reaches the agent.
func TestRequests(t *testing.T) {
	p := startPeer(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ env, line, request, token string }{
		{"", "catalog nodes -stale -datacenter dc2 -near _agent -filter Node==x -node-meta a=b", "GET /v1/catalog/nodes?dc=dc2&filter=Node%3D%3Dx&near=_agent&node-meta=a%3Ab&stale=", ""},
		{"", "kv get -recurse -token t -namespace team -partition p a", "GET /v1/kv/a?ns=team&partition=p&recurse=", "t"},
		{"from-env", "kv get -recurse a", "GET /v1/kv/a?recurse=", "from-env"},
		{"from-env", "kv get -recurse -token-file " + file + " a", "GET /v1/kv/a?recurse=", "from-file"},
		{"from-env", "kv get -recurse a -token t", "GET /v1/kv/a?recurse=", "t"},
		{"", "members -wan", "GET /v1/agent/members?wan=1", ""},
		{"", "join -wan 192.0.2.1", "PUT /v1/agent/join/192.0.2.1?wan=1", ""},
		{"", "force-leave -prune n", "PUT /v1/agent/force-leave/n?prune=1", ""},
		{"", "maint -enable -reason busy", "PUT /v1/agent/maintenance?enable=true&reason=busy", ""},
		{"", "kv get -keys -separator / a", "GET /v1/kv/a?keys=&separator=%2F", ""},
		{"", "config list -kind service-defaults -filter Name==x", "GET /v1/config/service-defaults?filter=Name%3D%3Dx", ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Setenv("CONSUL_HTTP_TOKEN", c.env)
			p.requests = nil
			if _, errs, code := run("", strings.Fields("parley "+c.line)...); code != 0 {
				t.Errorf("exit status %d, %s", code, errs)
			}
			if !slices.Contains(p.requests, c.request) || p.token != c.token {
				t.Errorf("got %q with token %q", p.requests, p.token)
			}
		})
	}
}

// TestRegistration looks at a service that was described by flags.
func TestRegistration(t *testing.T) {
	p := startPeer(t)
	_, errs, code := run("", "parley", "services", "register", "-name=web", "-id=w1", "-tag=a", "-tags=b, c", "-tag=d,e", "-address=192.0.2.1", "-port=80",
		"-meta=k=v=w", "-kind=mesh-gateway", "-tagged-address=lan=192.0.2.1:81", "-tagged-address=v6=[2001:db8::1]:82", "-tagged-address=bare=192.0.2.3")
	if code != 0 {
		t.Fatal(errs)
	}
	d := p.services["w1"]
	if d.Name != "web" || d.Address != "192.0.2.1" || d.Port != 80 || d.Kind != api.KindMeshGateway || d.Meta["k"] != "v=w" {
		t.Errorf("got %+v", d)
	}
	if want := []string{"a", "d,e", "b", "c"}; !slices.Equal(d.Tags, want) {
		t.Errorf("tags %q, want %q", d.Tags, want)
	}
	for name, want := range map[string]api.ServiceAddress{
		"lan": {Address: "192.0.2.1", Port: 81}, "v6": {Address: "2001:db8::1", Port: 82}, "bare": {Address: "192.0.2.3"},
	} {
		if d.TaggedAddresses[name] != want {
			t.Errorf("%s: %+v, want %+v", name, d.TaggedAddresses[name], want)
		}
	}
}

// TestLeaveWaits sees to it that a leave is told of when it is over, drain included, and not before.
func TestLeaveWaits(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-over
	}))
	defer server.Close()
	var out bytes.Buffer // is read after the command, or before it can have written
	done := make(chan int)
	go func() {
		done <- command.Run([]string{"parley", "leave", "-http-addr=" + server.URL}, strings.NewReader(""), &out, &out)
	}()
	<-asked
	select {
	case code := <-done:
		t.Errorf("ended with status %d while the agent leaves: %s", code, &out)
		close(over)
		return
	default:
	}
	close(over)
	if code := <-done; code != 0 || out.String() != "Graceful leave complete\n" {
		t.Errorf("exit status %d, %s", code, &out)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestUnwritableOutput(t *testing.T) {
	var errs strings.Builder
	if code := command.Run([]string{"parley", "version"}, strings.NewReader(""), full{}, &errs); code != 1 || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit status %d, %q", code, &errs)
	}
}

// TestHelp sees to it that every command has a page, which asks nobody anything.
func TestHelp(t *testing.T) {
	for _, line := range []string{
		"services register", "services deregister", "catalog services", "catalog nodes", "catalog datacenters", "members", "info", "join", "leave",
		"force-leave", "reload", "maint", "kv get", "kv put", "kv delete", "kv export", "kv import", "operator raft list-peers", "operator raft remove-peer", "operator raft transfer-leader",
		"operator autopilot get-config", "operator autopilot set-config", "operator autopilot state", "operator usage instances", "keyring",
		"tls ca create", "tls cert create", "intention create",
		"intention list", "intention check", "intention get", "intention delete", "intention match", "config read", "config write", "config list",
		"config delete", "connect ca get-config", "connect ca set-config", "connect envoy", "connect proxy", "version", "validate", "keygen", "agent",
	} {
		out, errs, code := run("", strings.Fields("parley "+line+" -h")...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, "Usage: parley "+line) {
			t.Errorf("%s: exit status %d, %q, %q", line, code, out, errs)
		}
	}
}
