package envoy

import (
	"context"
	"os"
	"strings"
	"testing"
)

func TestEnvoyAcceptsTheBootstrap(t *testing.T) {
	binary := os.Getenv("ENVOY_BINARY")
	for name, o := range map[string]BootstrapOptions{
		"defaults":    {ProxyID: "web-sidecar-proxy", Service: "web"},
		"everything":  {ProxyID: "p", Service: "web", NodeName: "n", Datacenter: "dc1", AdminBind: "localhost:19005", AdminAccessLogPath: "/dev/null", GRPCAddr: "localhost:8502", Token: "secret"},
		"unix socket": {ProxyID: "p", Service: "web", GRPCAddr: "unix:///tmp/agent.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Bootstrap(o)
			if err != nil {
				t.Fatal(err)
			}
			cmd, err := Command(context.Background(), RunOptions{Binary: binary, Bootstrap: text, Args: []string{"--mode", "validate"}})
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "OK") {
				t.Fatalf("%v: %s\n%s", err, out, text)
			}
			t.Logf("%s", out)
		})
	}
}
