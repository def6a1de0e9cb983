package clients

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// dig asks a DNS server by dig and returns what it printed.
func dig(t *testing.T, port int, args ...string) string {
	t.Helper()
	return run(t, append([]string{testutil.Tool(t, "dig"), "@127.0.0.1", "-p", strconv.Itoa(port), "+tries=2", "+time=5"}, args...)...)
}

// wantShort waits until dig +short prints these lines, in any order.
func wantShort(t *testing.T, port int, question []string, want ...string) {
	t.Helper()
	testutil.Eventually(t, "dig "+strings.Join(question, " "), func(context.Context) error {
		got := strings.Fields(dig(t, port, append([]string{"+short"}, question...)...))
		have := map[string]int{}
		for _, g := range got {
			have[g]++
		}
		for _, w := range want {
			have[w]--
		}
		for _, n := range have {
			if n != 0 {
				return fmt.Errorf("got %v, want %v", got, want)
			}
		}
		return nil
	})
}

// TestDig asks an agent with dig, as people do first.
func TestDig(t *testing.T) {
	t.Parallel()
	testutil.Tool(t, "dig")
	a := testutil.Dev(t)
	port := a.Ports.DNS
	for i := range 3 {
		register(t, a, api.ServiceDefinition{
			ID: fmt.Sprintf("web-%d", i), Name: "web", Tags: []string{fmt.Sprintf("v%d", i)}, Address: fmt.Sprintf("10.0.0.%d", i+1), Port: 8000 + i,
		})
	}
	wantShort(t, port, []string{"web.service.consul"}, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	wantShort(t, port, []string{"+tcp", "web.service.dc1.consul"}, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	wantShort(t, port, []string{"WEB.Service.Consul"}, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	wantShort(t, port, []string{"web.service.parley"}, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	wantShort(t, port, []string{"v1.web.service.consul"}, "10.0.0.2")
	wantShort(t, port, []string{"dev.node.consul"}, "127.0.0.1")
	wantShort(t, port, []string{"-t", "SRV", "v1.web.service.consul"}, "1", "1", "8001", "0a000002.addr.dc1.consul.")
	wantShort(t, port, []string{"-t", "SRV", "_web._v1.service.consul"}, "1", "1", "8001", "0a000002.addr.dc1.consul.")
	wantShort(t, port, []string{"0a000002.addr.dc1.consul"}, "10.0.0.2")
	wantShort(t, port, []string{"-x", "127.0.0.1"}, "dev.node.dc1.consul.")
	wantShort(t, port, []string{"-x", "10.0.0.2"}, "web.service.dc1.consul.")
	wantShort(t, port, []string{"-t", "NS", "consul"}, "dev.node.dc1.consul.")

	out := dig(t, port, "-t", "SRV", "web.service.consul")
	if strings.Count(out, "SRV") < 4 || !strings.Contains(out, "ANSWER: 3") || !strings.Contains(out, "flags: qr aa rd") {
		t.Errorf("SRV:\n%s", out)
	}
	if out := dig(t, port, "-t", "SOA", "consul"); !strings.Contains(out, "ns.consul. hostmaster.consul.") {
		t.Errorf("SOA:\n%s", out)
	}
	out = dig(t, port, "nobody.service.consul")
	if !strings.Contains(out, "NXDOMAIN") || !strings.Contains(out, "SOA") {
		t.Errorf("an unknown name:\n%s", out)
	}
	out = dig(t, port, "-t", "AAAA", "web.service.consul")
	if !strings.Contains(out, "NOERROR") || !strings.Contains(out, "ANSWER: 0") || !strings.Contains(out, "SOA") {
		t.Errorf("a type that the service has no address of:\n%s", out)
	}
	out = dig(t, port, "+bufsize=4096", "+nocookie", "web.service.consul")
	if !strings.Contains(out, "EDNS: version: 0") {
		t.Errorf("EDNS:\n%s", out)
	}
	if out := dig(t, port, "example.org"); !strings.Contains(out, "REFUSED") {
		t.Errorf("a foreign name without recursors:\n%s", out)
	}

	if err := a.API.Agent().UpdateTTL(t.Context(), "alive-web-1", api.Critical, "gone", nil); err != nil {
		t.Fatal(err)
	}
	wantShort(t, port, []string{"web.service.consul"}, "10.0.0.1", "10.0.0.3")
}

// TestDnsmasq puts dnsmasq before an agent, as hosts do: it forwards .consul, and answers everything else itself.
func TestDnsmasq(t *testing.T) {
	t.Parallel()
	testutil.Tool(t, "dig")
	dnsmasq := debian(t, "dnsmasq")
	a := testutil.Dev(t)
	port := testutil.FreePorts(t).DNS
	register(t, a, api.ServiceDefinition{ID: "web-1", Name: "web", Address: "10.0.0.1", Port: 8001})
	register(t, a, api.ServiceDefinition{ID: "web-2", Name: "web", Address: "10.0.0.2", Port: 8002})
	// What dnsmasq reads is what parley writes for it.
	root := t.TempDir()
	a.Must("dns", "install", "-type=dnsmasq", "-dns-addr="+a.DNSAddr(), "-root="+root, "-write")
	start(t, exec.Command(dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--conf-dir="+filepath.Join(root, "etc", "dnsmasq.d"),
		"--no-resolv", "--no-hosts", "--log-facility=-", "--port="+strconv.Itoa(port), "--listen-address=127.0.0.1", "--bind-interfaces",
		"--user=", "--group=", "--pid-file=", fmt.Sprintf("--server=/10.in-addr.arpa/127.0.0.1#%d", a.Ports.DNS), "--address=/example.org/192.0.2.1"))
	testutil.Eventually(t, "dnsmasq", func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	wantShort(t, port, []string{"web.service.consul"}, "10.0.0.1", "10.0.0.2")
	wantShort(t, port, []string{"+tcp", "web.service.consul"}, "10.0.0.1", "10.0.0.2")
	wantShort(t, port, []string{"-t", "SRV", "web.service.consul"},
		"1", "1", "8001", "0a000001.addr.dc1.consul.", "1", "1", "8002", "0a000002.addr.dc1.consul.")
	wantShort(t, port, []string{"-x", "10.0.0.1"}, "web.service.dc1.consul.")
	wantShort(t, port, []string{"example.org"}, "192.0.2.1")
	if out := dig(t, port, "nobody.service.consul"); !strings.Contains(out, "NXDOMAIN") {
		t.Errorf("an unknown name:\n%s", out)
	}
	// A service that changes is not answered from dnsmasq's cache: the agent's answers have no time to live.
	if err := a.API.Agent().UpdateTTL(t.Context(), "alive-web-1", api.Critical, "gone", nil); err != nil {
		t.Fatal(err)
	}
	wantShort(t, port, []string{"web.service.consul"}, "10.0.0.2")
}
