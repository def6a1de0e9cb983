package local_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

func TestTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(newServers(t)))
		h.register(`{"Name": "web", "Check": {"TTL": "30s"}}`)
		h.is("web | service:web=critical")
		if err := h.UpdateTTL("service:web", api.Passing, "fine"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		h.servers.has("web | service:web=passing")
		time.Sleep(2 * time.Second)
		h.servers.has("web | service:web=critical")
		if c := h.Check("service:web"); !strings.Contains(c.Output, "TTL expired") || !strings.Contains(c.Output, "fine") {
			t.Errorf("the output is %q", c.Output)
		}
		// A service that registers itself again says how it is, or is as it was.
		h.register(`{"Name": "web", "Check": {"TTL": "30s", "Status": "passing"}}`)
		h.is("web | service:web=passing")
		h.register(`{"Name": "web", "Check": {"TTL": "40s"}}`)
		h.is("web | service:web=passing")

		h.registerCheck(`{"Name": "tcp", "TCP": "192.0.2.1:1", "Interval": "10s"}`)
		for _, c := range []struct {
			id, status string
			want       int
			says       string
		}{
			{"nothing", "passing", 404, `Unknown check ID "nothing". Ensure that the check ID is passed, not the check name.`},
			{"tcp", "passing", 500, `CheckID "tcp" does not have associated TTL`},
			{"service:web", "weird", 400, "Invalid check status: 'weird'"},
			{"service:web", "maintenance", 400, "Invalid check status"},
		} {
			if err := h.UpdateTTL(c.id, c.status, ""); api.StatusOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("update of %s to %s: %v, want %d", c.id, c.status, err, c.want)
			}
		}
	})
}

func TestLogTellsWhyACheckChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log strings.Builder
		o := options(newServers(t))
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		h := start(t, o)
		h.register(`{"Name": "web", "Check": {"TTL": "30s", "Status": "passing"}}`)
		if err := h.UpdateTTL("service:web", api.Critical, "\n disk full \nmore\n"); err != nil {
			t.Fatal(err)
		}
		if err := h.UpdateTTL("service:web", api.Passing, strings.Repeat("x", 5000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until nobody else writes to the log
		for _, want := range []string{
			`check=service:web service=web from=passing to=critical output="disk full"` + "\n",
			"from=critical to=passing output=" + strings.Repeat("x", 200) + "\n",
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%q is not in the log: %s", want, &log)
			}
		}
	})
}

func TestOutputAloneIsSyncedLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		h.registerCheck(`{"Name": "c", "TTL": "1h"}`)
		told := func(status, output string) {
			t.Helper()
			if err := h.UpdateTTL("c", status, output); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		output := func() string {
			_, _, checks := s.node("node-1")
			return checks["c"].Output
		}
		told(api.Critical, "first") // of which the catalog knew nothing
		if output() != "first" {
			t.Error("why a check is critical from its beginning is not told at once")
		}
		told(api.Passing, "one")
		s.commands()
		for i := range 10 {
			told(api.Passing, fmt.Sprintf("out %d", i))
			time.Sleep(time.Second)
		}
		if n := s.commands(); n != 0 || output() != "one" {
			t.Errorf("%d commands, the output is %q", n, output())
		}
		if got := h.Check("c").Output; got != "out 9" {
			t.Errorf("the output here is %q", got)
		}
		time.Sleep(8 * time.Minute)
		if n := s.commands(); n != 1 || output() != "out 9" {
			t.Errorf("%d commands, the output is %q", n, output())
		}
		told(api.Passing, "ten")
		told(api.Warning, "eleven")
		if output() != "eleven" {
			t.Error("a status is not told at once with its output")
		}
		s.commands()
		time.Sleep(10 * time.Minute)
		if n := s.commands(); n != 0 {
			t.Errorf("%d commands for an output that was told with a status", n)
		}
	})
}

func TestProbesRunAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		var dials atomic.Int32
		o := options(s)
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			if dials.Add(1) > 2 {
				return nil, errors.New("connection refused")
			}
			a, b := net.Pipe()
			_ = b.Close()
			return a, nil
		}
		h := start(t, o)
		h.register(`{"Name": "web", "Check": {"TCP": "192.0.2.1:80", "Interval": "10s"}}`)
		settle()
		s.has("web | service:web=passing")
		time.Sleep(30 * time.Second)
		s.has("web | service:web=critical")
		if err := h.DeregisterCheck("service:web"); err != nil {
			t.Fatal(err)
		}
		settle()
		s.has("web |")
		before := dials.Load()
		time.Sleep(time.Minute)
		if dials.Load() != before {
			t.Error("a check that was removed goes on")
		}
	})
}

func TestAliasFollowsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(nil)) // nobody to ask
		h.register(`{"Name": "follower", "Check": {"CheckID": "alias", "AliasService": "target"}}`)
		settle()
		h.is("follower | alias=critical") // there is no target
		h.register(`{"Name": "target", "Check": {"CheckID": "t", "TTL": "1h", "Status": "passing"}}`)
		settle()
		h.is("follower target | alias=passing t=passing")
		if got := h.Check("alias").Output; got != "All checks passing." {
			t.Errorf("the output is %q", got)
		}
		for _, status := range []string{api.Warning, api.Critical, api.Passing, api.Critical} {
			if err := h.UpdateTTL("t", status, "down"); err != nil {
				t.Fatal(err)
			}
			settle()
			h.is("follower target | alias=" + status + " t=" + status)
		}
		if got := h.Check("alias").Output; got != `Aliased check "Service 'target' check" failing: down` {
			t.Errorf("the output is %q", got)
		}
		h.registerCheck(`{"Name": "extra", "ServiceID": "target", "TTL": "1h", "Status": "warning"}`)
		if err := h.DeregisterCheck("t"); err != nil {
			t.Fatal(err)
		}
		settle()
		h.is("follower target | alias=warning extra=warning")
		if err := h.ServiceMaintenance("target", true, "", ""); err != nil {
			t.Fatal(err)
		}
		settle()
		if got := h.Check("alias").Status; got != api.Critical {
			t.Errorf("with the target in maintenance the alias is %s", got)
		}
		if err := h.DeregisterService("target"); err != nil {
			t.Fatal(err)
		}
		settle()
		h.is("follower | alias=critical")
		// A check of this very node, which must not look at itself.
		h.registerCheck(`{"Name": "mem", "TTL": "1h", "Status": "passing"}`)
		h.registerCheck(`{"Name": "node", "AliasNode": "NODE-1"}`)
		settle()
		if got := h.Check("node").Status; got != api.Passing {
			t.Errorf("the alias of the node is %s", got)
		}
	})
}

func TestDiscardCheckOutput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := options(nil)
		o.DiscardCheckOutput = true
		h := start(t, o)
		h.registerCheck(`{"Name": "ttl", "TTL": "1h"}`)
		if err := h.UpdateTTL("ttl", api.Passing, "a long story"); err != nil {
			t.Fatal(err)
		}
		settle()
		if c := h.Check("ttl"); c.Status != api.Passing || c.Output != "" {
			t.Errorf("the check is %s, and says %q", c.Status, c.Output)
		}
	})
}

// TestAliasesOfOneAnother has services that say that they are well when the next one is. Each stands as the worst of what all of
// them have besides.
func TestAliasesOfOneAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(nil))
		h.register(`{"Name": "a", "Checks": [{"CheckID": "a-b", "AliasService": "b"}, {"CheckID": "a-ttl", "TTL": "1h", "Status": "passing"}]}`)
		h.register(`{"Name": "b", "Check": {"CheckID": "b-c", "AliasService": "c"}}`)
		h.register(`{"Name": "c", "Check": {"CheckID": "c-a", "AliasService": "a"}}`)
		h.register(`{"Name": "d", "Check": {"CheckID": "d-a", "AliasService": "a"}}`) // outside, and follows
		settle()
		h.is("a b c d | a-b=passing a-ttl=passing b-c=passing c-a=passing d-a=passing")
		for _, status := range []string{api.Critical, api.Passing} {
			if err := h.UpdateTTL("a-ttl", status, "says so"); err != nil {
				t.Fatal(err)
			}
			settle()
			h.is("a b c d | a-b=" + status + " a-ttl=" + status + " b-c=" + status + " c-a=" + status + " d-a=" + status)
		}
		h.registerCheck(`{"Name": "c2", "ServiceID": "c", "TTL": "1h", "Status": "warning"}`)
		settle()
		h.is("a b c d | a-b=warning a-ttl=passing b-c=warning c-a=warning c2=warning d-a=warning")
		// Without one of them there is no circle any more.
		if err := h.DeregisterService("c"); err != nil {
			t.Fatal(err)
		}
		settle()
		h.is("a b d | a-b=critical a-ttl=passing b-c=critical d-a=critical")
	})
}

func TestAliasOfAnotherNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		status := func(want string) {
			t.Helper()
			settle()
			if got := h.Check("far"); got.Status != want {
				t.Errorf("the alias is %s (%s), want %s", got.Status, got.Output, want)
			}
		}
		h.registerCheck(`{"Name": "far", "AliasNode": "node-2", "AliasService": "db"}`)
		h.registerCheck(`{"Name": "farnode", "AliasNode": "node-2"}`)
		status(api.Critical)
		s.by(registerNode("node-2", api.Registration{
			Service: &api.Service{ID: "db", Service: "db"}, Checks: []api.Check{{CheckID: "d", ServiceID: "db", Status: api.Passing}},
		}))
		status(api.Passing)
		s.by(registerNode("node-2", api.Registration{Check: &api.Check{CheckID: "d", ServiceID: "db", Status: api.Warning}}))
		status(api.Warning)
		// While nobody answers, what was known stays.
		s.fail(verb.ErrNoLeader)
		time.Sleep(time.Hour)
		status(api.Warning)
		s.fail(nil)
		time.Sleep(time.Minute)
		s.by(registerNode("node-2", api.Registration{Check: &api.Check{CheckID: "d", ServiceID: "db", Status: api.Critical}}))
		status(api.Critical)
		if got := h.Check("farnode").Status; got != api.Passing {
			t.Errorf("the alias of the node is %s", got)
		}
		s.by(catalog.Deregister{Deregistration: api.Deregistration{Node: "node-2"}})
		status(api.Critical)
		for _, id := range []string{"far", "farnode"} {
			if err := h.DeregisterCheck(id); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		if n := h.Followed(); n != 1 {
			t.Errorf("%d nodes are followed for two checks of one", n)
		}
		for range 2 {
			time.Sleep(time.Minute)
			s.by(registerNode("node-2", api.Registration{}))
			settle()
		}
		if h.Followed() != 0 {
			t.Error("the watch of a node goes on though nobody asks")
		}
	})
}

func TestCriticalServiceIsDeregistered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		h.register(`{"Name": "web", "Check": {"TTL": "10s", "Status": "passing", "DeregisterCriticalServiceAfter": "2m"}, "Connect": {"SidecarService": {}}}`)
		h.register(`{"Name": "short", "Check": {"TTL": "10s", "DeregisterCriticalServiceAfter": "1s"}}`)
		h.register(`{"Name": "stays", "Check": {"TTL": "10s"}}`)
		time.Sleep(50 * time.Second)
		if got := len(h.Services()); got != 4 {
			t.Errorf("%d services; a minute is the least", got)
		}
		time.Sleep(20 * time.Second) // 10 s passing, then 60 s critical
		if err := h.UpdateTTL("service:web", api.Warning, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // critical again since 110 s
		h.is("stays web web-sidecar-proxy | service:stays=critical service:web-sidecar-proxy:1=critical service:web-sidecar-proxy:2=critical service:web=critical")
		time.Sleep(11 * time.Second)
		h.is("stays | service:stays=critical")
		s.has("stays | service:stays=critical")
		if h.logged("critical for too long") != 2 {
			t.Error("it is not logged why the services went")
		}
	})
}

func TestChecksTakeNoGoroutineEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := start(t, options(nil))
		settle()
		before := runtime.NumGoroutine()
		for i := range 2000 {
			h.register(fmt.Sprintf(`{"Name": "web", "ID": "web-%d", "Check": {"TTL": "1h", "Status": "passing"}}`, i))
		}
		settle()
		if more := runtime.NumGoroutine() - before; more > 20 {
			t.Errorf("2000 services with TTL checks take %d goroutines", more)
		}
		time.Sleep(2 * time.Hour)
		if c := h.Check("service:web-7"); c.Status != api.Critical {
			t.Error("a TTL does not run out")
		}
	})
}

func TestCheckMovesBetweenServices(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServers(t)
		h := start(t, options(s))
		h.register(web)
		h.register(`{"Name": "db"}`)
		h.registerCheck(`{"ID": "service:web", "Name": "moved", "ServiceID": "db", "TTL": "1h"}`)
		settle()
		s.has("db web | service:web=critical")
		if _, _, checks := s.node("node-1"); checks["service:web"].ServiceID != "db" {
			t.Errorf("the check is of %q", checks["service:web"].ServiceID)
		}
		if err := h.DeregisterService("web"); err != nil {
			t.Fatal(err)
		}
		settle()
		s.has("db | service:web=critical")
	})
}
