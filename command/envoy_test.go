package command_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/envoy"
)

// startWithWeb starts a peer with which web is registered, with a sidecar.
func startWithWeb(t *testing.T) *peer {
	t.Helper()
	p := startPeer(t)
	for _, id := range []string{"web", "db-1"} {
		name, _, _ := strings.Cut(id, "-")
		p.services[id] = api.ServiceDefinition{ID: id, Name: name, Connect: &api.Connect{SidecarService: &api.ServiceDefinition{}}}
	}
	return p
}

func TestEnvoyBootstrap(t *testing.T) {
	p := startWithWeb(t)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := func(change func(*envoy.BootstrapOptions)) envoy.BootstrapOptions {
		o := envoy.BootstrapOptions{ProxyID: "web-sidecar-proxy", Service: "web", NodeName: "node-1", Datacenter: "dc1", GRPCAddr: "127.0.0.1:18502"}
		if change != nil {
			change(&o)
		}
		return o
	}
	for _, c := range []struct {
		name, line string
		change     func(*envoy.BootstrapOptions)
	}{
		{"by the service's id", "-sidecar-for web", nil},
		{"by its name", "-sidecar-for db", func(o *envoy.BootstrapOptions) { o.ProxyID, o.Service = "db-1-sidecar-proxy", "db" }},
		{"by the proxy's id", "-proxy-id=web-sidecar-proxy", nil},
		{"with what flags say", "-sidecar-for web -token secret -admin-bind localhost:19001 -nodename n -grpc-addr 192.0.2.1:99 -namespace team",
			func(o *envoy.BootstrapOptions) {
				o.Token, o.AdminBind, o.NodeName, o.GRPCAddr, o.Namespace = "secret", "localhost:19001", "n", "192.0.2.1:99", "team"
			}},
		{"over TLS", "-sidecar-for web -grpc-addr https://192.0.2.1:8503 -grpc-ca-file " + ca, func(o *envoy.BootstrapOptions) {
			o.GRPCAddr, o.GRPCTLS, o.GRPCCA = "192.0.2.1:8503", true, "-----BEGIN CERTIFICATE-----\n\n"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := envoy.Bootstrap(base(c.change))
			if err != nil {
				t.Fatal(err)
			}
			out, errs, code := run("", strings.Fields("parley connect envoy -bootstrap "+c.line)...)
			if code != 0 || errs != "" || out != string(want) {
				t.Errorf("exit status %d, %s, got\n%s\nwant\n%s", code, errs, out, want)
			}
		})
	}
	t.Run("from the environment", func(t *testing.T) {
		t.Setenv("CONSUL_GRPC_ADDR", "unix:///run/grpc")
		t.Setenv("CONSUL_HTTP_TOKEN", "secret")
		want, err := envoy.Bootstrap(base(func(o *envoy.BootstrapOptions) { o.GRPCAddr, o.Token = "unix:///run/grpc", "secret" }))
		if err != nil {
			t.Fatal(err)
		}
		if out, errs, _ := run("", "parley", "connect", "envoy", "-sidecar-for", "web", "-bootstrap"); out != string(want) {
			t.Errorf("got\n%s%s\nwant\n%s", errs, out, want)
		}
	})
	for name, c := range map[string]struct {
		change func()
		line   string
		want   string
	}{
		"TLS without a CA":    {func() { p.self.XDS.Ports = api.SelfXDSPorts{Plaintext: -1, TLS: 18503} }, "-sidecar-for web", "-grpc-ca-file"},
		"no gRPC at all":      {func() { p.self.XDS.Ports = api.SelfXDSPorts{Plaintext: -1, TLS: -1} }, "-sidecar-for web", "ports.grpc"},
		"a bad admin address": {func() { p.self.XDS.Ports.Plaintext = 18502 }, "-sidecar-for web -admin-bind nonsense", "nonsense"},
		"two sidecars": {func() {
			p.services["db-2"] = api.ServiceDefinition{ID: "db-2", Name: "db", Connect: p.services["db-1"].Connect}
		}, "-sidecar-for db", "db-1-sidecar-proxy, db-2-sidecar-proxy"},
		"no sidecar": {func() { p.services["lone"] = api.ServiceDefinition{ID: "lone", Name: "lone"} }, "-sidecar-for lone",
			"no sidecar proxy registered for lone, which is registered without one; register it again with connect { sidecar_service {} }"},
		"no sidecar by name": {func() { p.services["lone"] = api.ServiceDefinition{ID: "lone-1", Name: "lone"} }, "-sidecar-for lone", "connect { sidecar_service {} }"},
		"no service":         {func() {}, "-sidecar-for none", "no sidecar proxy registered for none; register the service first"},
	} {
		t.Run(name, func(t *testing.T) {
			p.mu.Lock()
			c.change()
			p.mu.Unlock()
			out, errs, code := run("", strings.Fields("parley connect envoy -bootstrap "+c.line)...)
			if code != 1 || out != "" || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit status %d, %q, %q", code, out, errs)
			}
		})
	}
}

// program runs the binary as a process, with a file called envoy that says how it was called.
func program(t *testing.T, version string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\ncase \"$1\" in\n--version) echo 'envoy  version: abc/%s/Clean/RELEASE/BoringSSL';;\n"+
		"*) [ -s \"$2\" ] && grep -q '\"id\": \"web-sidecar-proxy\"' \"$2\" && shift 2 && echo \"$@\";;\nesac\n", version)
	if err := os.WriteFile(filepath.Join(dir, "envoy"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	return cmd
}

func TestEnvoyIsRun(t *testing.T) {
	startWithWeb(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name, version, line, want string
		code                      int
	}{
		{"with its own flags", "1.40.7", "connect envoy -admin-bind 127.0.0.1:0 -sidecar-for web -- -l debug", "--disable-hot-restart --drain-time-s 3 -l debug\n", 0},
		{"not of an unknown release", "1.20.0", "connect envoy -sidecar-for web", "version 1.20.0 of Envoy", 1},
		{"of an unknown release, when told to", "1.20.0", "connect envoy -admin-bind 127.0.0.1:0 -ignore-envoy-compatibility -sidecar-for web", "--disable-hot-restart", 0},
		{"of a release that was named", "garbage", "connect envoy -admin-bind 127.0.0.1:0 -envoy-version 1.39.0 -sidecar-for web", "--disable-hot-restart", 0},
		{"not where another one is", "1.40.0", "connect envoy -sidecar-for web -admin-bind " + taken.Addr().String(),
			"Error: the address of Envoy's administration, " + taken.Addr().String() + ", is in use, maybe by another Envoy on this host; choose another one with -admin-bind\n", 1},
		{"not when it is not there", "1.40.0", "connect envoy -envoy-binary /nowhere/envoy -sidecar-for web", "-envoy-binary", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := program(t, c.version, strings.Fields(c.line)...)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("exit status %d (%v): %s", code, err, out)
			}
		})
	}
}

func TestProxyEnds(t *testing.T) {
	startWithWeb(t)
	t.Run("when it is told to", func(t *testing.T) {
		cmd := program(t, "", "connect", "proxy", "-sidecar-for", "web", "-log-level=debug")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256)
		n, err := out.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), "==> Proxy web-sidecar-proxy for service web") {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, &errs)
		}
	})
	t.Run("when it is refused", func(t *testing.T) {
		out, errs, code := run("", "parley", "connect", "proxy", "-sidecar-for", "web", "-token=weak")
		if code != 1 || !strings.Contains(errs, "web-sidecar-proxy") {
			t.Errorf("exit status %d, %q, %q", code, out, errs)
		}
	})
	t.Run("when its log level is none", func(t *testing.T) {
		if _, errs, code := run("", "parley", "connect", "proxy", "-sidecar-for", "web", "-log-level=loud"); code != 1 || !strings.Contains(errs, "loud") {
			t.Errorf("exit status %d, %q", code, errs)
		}
	})
}
