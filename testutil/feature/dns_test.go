package feature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// dig asks an agent and returns the sorted lines of the answer.
func dig(ctx context.Context, tool, addr string, args ...string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, tool, append([]string{"@" + host, "-p", port, "+short", "+time=5", "+tries=3"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("dig %v: %w\n%s%s", args, err, out, errs.String())
	}
	lines := strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(out)), " ", "_"))
	slices.Sort(lines)
	return lines, nil
}

// recursor is a DNS server for other people's names, until the test ends.
func recursor(t testing.TB) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &mdns.Server{PacketConn: udp, NotifyStartedFunc: func() { close(started) }, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, m *mdns.Msg) {
		reply := new(mdns.Msg)
		reply.SetReply(m)
		if name := m.Question[0].Name; strings.HasSuffix(name, ".example.org.") && m.Question[0].Qtype == mdns.TypeA {
			reply.Answer = append(reply.Answer, &mdns.A{
				Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 7),
			})
		}
		if err := w.WriteMsg(reply); err != nil {
			t.Error(err)
		}
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-ended
	})
	return udp.LocalAddr().String()
}

// TestDig asks a real agent the questions that people ask, with the tool that they use.
func TestDig(t *testing.T) {
	tool := testutil.Tool(t, "dig")
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // a recursor that answers nobody
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := testutil.Dev(t, "-recursor="+silent.LocalAddr().String(), "-recursor="+recursor(t))
	ctx := t.Context()
	register := func(r api.Registration) {
		t.Helper()
		if err := a.API.Catalog().Register(ctx, &r, nil); err != nil {
			t.Fatal(err)
		}
	}
	register(api.Registration{Node: "n1", Address: "192.0.2.1", Service: &api.Service{ID: "web-1", Service: "web", Tags: []string{"v1"}, Port: 80}})
	register(api.Registration{Node: "n2", Address: "192.0.2.2", Service: &api.Service{ID: "web-2", Service: "web", Tags: []string{"v2"}, Port: 81}})
	register(api.Registration{Node: "n2", Address: "192.0.2.2", Service: &api.Service{
		Kind: api.KindConnectProxy, ID: "px", Service: "web-px", Port: 21000, Proxy: &api.Proxy{DestinationServiceName: "web"}}})
	register(api.Registration{Node: "away", Address: "www.example.org"})
	id, err := a.API.Queries().Create(ctx, &api.PreparedQuery{Name: "second", Service: api.ServiceQuery{Service: "web", Tags: []string{"v2"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.API.Queries().Create(ctx, &api.PreparedQuery{
		Name: "geo-", Template: api.QueryTemplate{Type: api.QueryNamePrefixMatch, Regexp: "^geo-(.*)-([^-]+)$"},
		Service: api.ServiceQuery{Service: "${match(1)}", Tags: []string{"${match(2)}"}},
	}, nil); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		args string
		want []string
	}{
		{"web.service.consul", []string{"192.0.2.1", "192.0.2.2"}},
		{"+tcp web.service.parley", []string{"192.0.2.1", "192.0.2.2"}},
		{"v1.web.service.consul", []string{"192.0.2.1"}},
		{"web.service.consul SRV", []string{"1_1_80_n1.node.dc1.consul.", "1_1_81_n2.node.dc1.consul."}},
		{"web.connect.consul SRV", []string{"1_1_21000_n2.node.dc1.consul."}},
		{"web.virtual.consul", []string{"240.0.0.1"}},
		{"-x 240.0.0.1", []string{"web.virtual.consul."}},
		{"-x 192.0.2.1", []string{"n1.node.dc1.consul."}},
		{"second.query.consul", []string{"192.0.2.2"}},
		{id + ".query.consul", []string{"192.0.2.2"}},
		{"geo-web-v1.query.consul SRV", []string{"1_1_80_n1.node.dc1.consul."}},
		{"geo-none-v1.query.consul", nil},
		{"none.query.consul", nil},
		{"www.example.org", []string{"203.0.113.7"}},
		{"away.node.consul", []string{"203.0.113.7", "www.example.org."}},
	} {
		got, err := dig(ctx, tool, a.DNSAddr(), strings.Fields(c.args)...)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("dig %s: got %q, want %q, %v", c.args, got, c.want, err)
		}
	}

	// A query and an address that are gone are gone at once, though they were asked for.
	if err := a.API.Queries().Delete(ctx, id, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.API.Catalog().Deregister(ctx, &api.Deregistration{Node: "n2", ServiceID: "px"}, nil); err != nil {
		t.Fatal(err)
	}
	testutil.Eventually(t, "no answer any more", func(ctx context.Context) error {
		for _, name := range []string{"second.query.consul", "web.virtual.consul"} {
			if got, err := dig(ctx, tool, a.DNSAddr(), name); err != nil || len(got) > 0 {
				return fmt.Errorf("%s: %q, %v", name, got, err)
			}
		}
		return nil
	})
}

// TestDNSMasq: dnsmasq, told by `parley dns install`, forwards questions about our domain to the agent.
func TestDNSMasq(t *testing.T) {
	tool, masq := testutil.Tool(t, "dig"), testutil.Tool(t, "dnsmasq")
	a := testutil.Dev(t)
	root := t.TempDir()
	a.Must("dns", "install", "-type=dnsmasq", "-dns-addr="+a.DNSAddr(), "-root="+root, "-write")

	port := testutil.FreePorts(t).DNS
	cmd := exec.Command(masq, "--no-daemon", "--conf-file="+root+"/etc/dnsmasq.d/parley.conf", "--no-resolv", "--no-hosts", "--pid-file=",
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port="+strconv.Itoa(port), "--user=")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	testutil.Eventually(t, "an answer through dnsmasq", func(ctx context.Context) error {
		got, err := dig(ctx, tool, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "consul.service.consul")
		if err == nil && !slices.Equal(got, []string{"127.0.0.1"}) {
			err = errors.New(strings.Join(got, ", "))
		}
		return err
	})
}
