package feature

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// within is the time in which whoever asks for a datacenter that cannot be reached is to know.
const within = 3 * time.Second

// TestDatacenters has two datacenters meet, work with one another, and lose one another.
func TestDatacenters(t *testing.T) {
	west := testutil.NewCluster(t, 3, 1, func(string) []string { return []string{"-datacenter=west"} })
	east := testutil.Durable(t, "server-1", "-server", "-bootstrap-expect=1", "-datacenter=east", "-retry-interval-wan=200ms",
		"-retry-join-wan="+west.Servers[0].WANAddr())
	east.Start()
	east.WaitLeader()
	client := west.Clients[0]
	everywhere := append(west.All(), east)

	for _, a := range everywhere {
		testutil.Eventually(t, "all servers of both datacenters at "+a.Name, func(context.Context) error {
			out := a.Must("members", "-wan")
			for _, name := range []string{"server-1.west", "server-2.west", "server-3.west", "server-1.east"} {
				if !strings.Contains(out, name+" ") {
					return fmt.Errorf("%s is missing:\n%s", name, out)
				}
			}
			return nil
		})
		own, other := "west", "east"
		if a == east {
			own, other = other, own
		}
		testutil.Eventually(t, "both datacenters at "+a.Name, func(context.Context) error {
			if out := a.Must("catalog", "datacenters"); out != own+"\n"+other+"\n" {
				return errors.New(out)
			}
			return nil
		})
	}

	t.Run("what is written there is read there", func(t *testing.T) {
		client.Must("kv", "put", "-datacenter=east", "color", "red")
		client.Must("kv", "put", "color", "blue")
		for _, a := range everywhere {
			if got := a.Must("kv", "get", "-datacenter=east", "color"); got != "red\n" {
				t.Errorf("%s: %q in east", a.Name, got)
			}
			if got := a.Must("kv", "get", "-datacenter=west", "color"); got != "blue\n" {
				t.Errorf("%s: %q in west", a.Name, got)
			}
		}
		east.Must("services", "register", "-name=web", "-port=8080", "-address=10.1.2.3", "-tag=v1")
		testutil.Eventually(t, "web of east, from west", func(ctx context.Context) error {
			found, _, err := client.API.Health().Service(ctx, "web", nil, true, &api.QueryOptions{Datacenter: "east"})
			if err == nil && (len(found) != 1 || found[0].Node.Datacenter != "east") {
				err = fmt.Errorf("%v", found)
			}
			return err
		})
		if found, _, err := client.API.Health().Service(t.Context(), "web", nil, true, nil); err != nil || len(found) != 0 {
			t.Errorf("web of west: %v, %v", found, err)
		}
	})

	t.Run("a blocking query of another datacenter wakes, with its indexes", func(t *testing.T) {
		_, meta, err := client.API.KV().Get(t.Context(), "wake", &api.QueryOptions{Datacenter: "east"})
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			pair *api.KVPair
			meta api.Meta
			err  error
		}
		woken := make(chan result, 1)
		go func() {
			var r result
			r.pair, r.meta, r.err = client.API.KV().Get(t.Context(), "wake", &api.QueryOptions{Datacenter: "east", WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
			woken <- r
		}()
		east.Must("kv", "put", "wake", "up")
		r := <-woken
		if r.err != nil || r.pair == nil || r.meta.LastIndex != r.pair.ModifyIndex || !r.meta.KnownLeader {
			t.Errorf("%+v", r)
		}
	})

	t.Run("DNS", func(t *testing.T) {
		for name, want := range map[string]string{
			"web.service.east.consul.":     "10.1.2.3",
			"web.service.east.dc.consul.":  "10.1.2.3",
			"v1.web.service.east.consul.":  "10.1.2.3",
			"server-1.node.east.consul.":   "127.0.0.1",
			"web.service.west.consul.":     "",
			"web.service.nowhere.consul.":  "",
			"server-1.node.nowhere.consul": "",
		} {
			m := ask(t, client, name, dns.TypeA)
			switch {
			case want == "" && (m.Rcode != dns.RcodeNameError || len(m.Answer) > 0):
				t.Errorf("%s: %v", name, m)
			case want != "" && (len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want):
				t.Errorf("%s: %v", name, m)
			}
		}
		m := ask(t, client, "_web._tcp.service.east.consul.", dns.TypeSRV)
		if len(m.Answer) != 1 || m.Answer[0].(*dns.SRV).Target != "0a010203.addr.east.consul." || m.Answer[0].(*dns.SRV).Port != 8080 {
			t.Errorf("%v", m)
		}
	})

	t.Run("a prepared query goes on elsewhere", func(t *testing.T) {
		q := &api.PreparedQuery{Name: "web", Service: api.ServiceQuery{Service: "web", Failover: api.QueryFailover{NearestN: 2, Datacenters: []string{"nowhere"}}}}
		id, err := client.API.Queries().Create(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		found, _, err := client.API.Queries().Execute(t.Context(), id, 0, nil)
		if err != nil || len(found.Nodes) != 1 || found.Datacenter != "east" || found.Failovers != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		testutil.Eventually(t, "the query by DNS, from whichever server", func(context.Context) error {
			m := ask(t, client, "web.query.consul.", dns.TypeSRV)
			if len(m.Answer) != 1 || m.Answer[0].(*dns.SRV).Target != "0a010203.addr.east.consul." {
				return errors.New(m.String())
			}
			return nil
		})
	})

	t.Run("events", func(t *testing.T) {
		client.Must("event", "-datacenter=east", "-name=deploy", "now")
		testutil.Eventually(t, "an event from west", func(ctx context.Context) error {
			events, _, err := east.API.Event().List(ctx, "deploy", nil)
			if err == nil && (len(events) != 1 || string(events[0].Payload) != "now") {
				err = fmt.Errorf("%v", events)
			}
			return err
		})
	})

	t.Run("round trips", func(t *testing.T) {
		testutil.Eventually(t, "an estimate between datacenters", func(context.Context) error {
			out, errs, code := client.Run("rtt", "-wan", "server-2.west", "server-1.east")
			if code != 0 || !strings.Contains(out, "using WAN coordinates") {
				return errors.New(out + errs)
			}
			return nil
		})
	})

	t.Run("a datacenter that nobody knows", func(t *testing.T) {
		_, errs, code := client.Run("kv", "get", "-datacenter=nowhere", "color")
		if code == 0 || !strings.Contains(errs, "No path to datacenter") {
			t.Errorf("%d, %q", code, errs)
		}
	})

	t.Run("a datacenter that does not answer", func(t *testing.T) {
		_, meta, err := client.API.KV().Get(t.Context(), "wake", &api.QueryOptions{Datacenter: "east"})
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, _, err := client.API.KV().Get(t.Context(), "wake", &api.QueryOptions{Datacenter: "east", WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
			waiting <- err
		}()
		stop(t, east)
		for _, a := range []*testutil.Agent{client, west.Servers[0], west.Servers[1]} {
			fails(t, a)
			fails(t, a) // who knows already says so at once
		}
		if err := <-waiting; err == nil || !strings.Contains(err.Error(), `datacenter "east" has been unreachable since`) {
			t.Errorf("who waited: %v", err)
		}
		if _, errs, code := client.Run("kv", "put", "-datacenter=east", "color", "green"); code == 0 || !strings.Contains(errs, `"east"`) {
			t.Errorf("%d, %q", code, errs)
		}
		if got := client.Must("kv", "get", "color"); got != "blue\n" {
			t.Errorf("west: %q", got)
		}
		if m := ask(t, client, "other.service.east.consul.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v", m)
		}
		if m := ask(t, client, "web.service.east.consul.", dns.TypeA); m.Rcode != dns.RcodeSuccess {
			t.Errorf("what was known before: %v", m)
		}
		found, _, err := client.API.Queries().Execute(t.Context(), "web", 0, nil)
		if err != nil || len(found.Nodes) != 0 {
			t.Errorf("%+v, %v", found, err)
		}

		east.Signal(syscall.SIGCONT)
		testutil.Eventually(t, "east, again", func(context.Context) error { return reads(client, "red\n", "green\n") })

		east.Kill()
		for _, a := range []*testutil.Agent{client, west.Servers[0]} {
			fails(t, a)
		}
		east.Start()
		testutil.Eventually(t, "east, started anew", func(context.Context) error { return reads(client, "red\n", "green\n") })
		client.Must("kv", "put", "-datacenter=east", "color", "yellow")
		if err := reads(client, "yellow\n"); err != nil {
			t.Error(err)
		}
	})

	t.Run("pools are kept apart", func(t *testing.T) {
		_, errs, code := client.Run("join", "-wan", east.WANAddr())
		if code == 0 || !strings.Contains(errs, "ask a server") {
			t.Errorf("a client joins the servers: %q", errs)
		}
		_, errs, code = west.Servers[0].Run("join", east.SerfAddr())
		if code == 0 || !strings.Contains(errs, `is of datacenter "east" and this agent of "west"`) {
			t.Errorf("a server of another datacenter joins: %q", errs)
		}
		_, errs, code = west.Servers[0].Run("join", "-wan", client.SerfAddr())
		if code == 0 || !strings.Contains(errs, `datacenter "west"`) {
			t.Errorf("a client is joined: %q", errs)
		}
		other := testutil.Durable(t, "other", "-server", "-bootstrap-expect=1", "-datacenter=west")
		other.Start()
		other.WaitLeader()
		for _, args := range [][]string{{"join", west.Servers[0].SerfAddr()}, {"join", "-wan", west.Servers[0].WANAddr()}} {
			testutil.Eventually(t, "another cluster of the datacenter to be refused", func(context.Context) error {
				if _, errs, code := other.Run(args...); code == 0 || !strings.Contains(errs, "two clusters of one datacenter do not become one") {
					return errors.New(errs)
				}
				return nil
			})
		}
	})
}

// stop has an agent do nothing any more, as if its host hung.
func stop(t *testing.T, a *testutil.Agent) {
	t.Helper()
	a.Signal(syscall.SIGSTOP)
	testutil.Eventually(t, "a stopped process", func(context.Context) error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.Pid()))
		if err == nil && !strings.Contains(string(status), "State:\tT") {
			err = errors.New("it runs")
		}
		return err
	})
}

// fails asks for another datacenter, which is to fail in time, and to say which it is and since when it does.
func fails(t *testing.T, a *testutil.Agent) {
	t.Helper()
	began := time.Now()
	_, _, err := a.API.KV().Get(t.Context(), "color", &api.QueryOptions{Datacenter: "east"})
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), `datacenter "east" has been unreachable since 20`) {
		t.Errorf("%s: %v", a.Name, err)
	}
	if took > within {
		t.Errorf("%s: after %s", a.Name, took)
	}
}

// reads tells why another datacenter does not have one of the values.
func reads(a *testutil.Agent, values ...string) error {
	out, errs, code := a.Run("kv", "get", "-datacenter=east", "color")
	if code != 0 || !slices.Contains(values, out) {
		return fmt.Errorf("%d %s%s", code, out, errs)
	}
	return nil
}

// ask asks an agent by DNS.
func ask(t *testing.T, a *testutil.Agent, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	c := dns.Client{Timeout: testutil.Patience}
	reply, _, err := c.Exchange(m, a.DNSAddr())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return reply
}
