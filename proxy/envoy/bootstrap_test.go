package envoy

import (
	"context"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
	"github.com/parleymesh/parley/testutil/meshcases"
)

func TestEnvoyAcceptsTheBootstrap(t *testing.T) {
	binary := testutil.Envoy(t)
	root := meshcases.NewAuthority(t).Root
	for name, o := range map[string]BootstrapOptions{
		"defaults":    {ProxyID: "web-sidecar-proxy", Service: "web"},
		"everything":  {ProxyID: "p", Service: "web", NodeName: "n", Datacenter: "dc1", AdminBind: "localhost:19005", AdminAccessLogPath: "/dev/null", GRPCAddr: "localhost:8502", Token: "secret"},
		"unix socket": {ProxyID: "p", Service: "web", GRPCAddr: "unix:///tmp/agent.sock"},
		"TLS":         {ProxyID: "p", Service: "web", GRPCAddr: "https://agent.example.org:8503", GRPCCA: root, GRPCServerName: "server.dc1.consul"},
		"IPv6":        {ProxyID: "p", Service: "web", GRPCAddr: "[::1]:8502", AdminBind: "[::1]:19000"},
		"odd names":   {ProxyID: "p\"\n", Service: "wéb", NodeName: "${X}", Token: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Bootstrap(o)
			if err != nil {
				t.Fatal(err)
			}
			cmd, err := Command(context.Background(), RunOptions{Binary: binary, Bootstrap: text, Args: []string{"--mode", "validate", "--log-level", "warning"}})
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "OK") {
				t.Fatalf("%v: %s\n%s", err, out, text)
			}
		})
	}
}

func TestBootstrapSaysWhatIsWrong(t *testing.T) {
	for want, o := range map[string]BootstrapOptions{
		"the proxy's id is missing":     {},
		"admin address \"nowhere\"":     {ProxyID: "p", AdminBind: "nowhere"},
		"\"http\" is not a port":        {ProxyID: "p", AdminBind: "127.0.0.1:http"},
		"gRPC address \"agent\"":        {ProxyID: "p", GRPCAddr: "agent"},
		"give -grpc-ca-file":            {ProxyID: "p", GRPCAddr: "https://127.0.0.1:8502"},
		"\"99999\" is not a port":       {ProxyID: "p", GRPCAddr: "127.0.0.1:99999"},
		"give it as <address>:<port>":   {ProxyID: "p", GRPCAddr: "::1"},
		"TLS needs the CA that signed ": {ProxyID: "p", GRPCTLS: true},
	} {
		if _, err := Bootstrap(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEnvoyTellsItsVersion(t *testing.T) {
	version, err := Version(context.Background(), testutil.Envoy(t))
	if err != nil || strings.Count(version, ".") != 2 {
		t.Errorf("%q, %v", version, err)
	}
	if _, err := Version(context.Background(), "/nowhere/envoy"); err == nil || !strings.Contains(err.Error(), "-envoy-binary") {
		t.Errorf("got %v", err)
	}
}
