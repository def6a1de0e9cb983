package xds_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/envoy"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/proxy/xds"
	"github.com/parleymesh/parley/testutil"
	"github.com/parleymesh/parley/testutil/meshcases"
)

// ads is an agent as far as Envoy sees it. It can be stopped and started again on its address.
type ads struct {
	addr   string
	source snapshot.Source
	xds    *xds.Server
	grpc   *grpc.Server
	wg     sync.WaitGroup
}

func newADS(t testing.TB, source snapshot.Source) *ads {
	t.Helper()
	a := &ads{addr: "127.0.0.1:0", source: source}
	a.start(t)
	t.Cleanup(a.stop)
	return a
}

func (a *ads) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	a.addr = l.Addr().String()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	a.xds, a.grpc = xds.NewServer(xds.Options{Source: a.source, Logger: log}), grpc.NewServer()
	a.xds.Register(a.grpc)
	server := a.grpc
	a.wg.Go(func() { _ = server.Serve(l) })
}

func (a *ads) stop() {
	a.xds.Close()
	a.grpc.Stop()
	a.wg.Wait()
}

// envoys is the data plane of real Envoys.
type envoys struct {
	binary string
	early  bool // an Envoy of before 1.37
	ads    map[snapshot.Source]*ads
	admin  map[string]string // by proxy
}

func newEnvoys(t testing.TB) *envoys {
	t.Helper()
	e := &envoys{binary: testutil.Envoy(t), ads: map[snapshot.Source]*ads{}, admin: map[string]string{}}
	version, err := envoy.Version(t.Context(), e.binary)
	if err != nil {
		t.Fatal(err)
	}
	e.early = strings.HasPrefix(version, "1.36.")
	return e
}

// ConnectsEarly is asked by meshcases.
func (e *envoys) ConnectsEarly() bool { return e.early }

// Drain implements meshcases.Dataplane.
func (e *envoys) Drain() time.Duration { return envoy.DrainTime }

// Start implements meshcases.Dataplane.
func (e *envoys) Start(t testing.TB, source snapshot.Source, proxyID string) {
	t.Helper()
	a := e.ads[source]
	if a == nil {
		a = newADS(t, source)
		e.ads[source] = a
	}
	e.admin[proxyID] = fmt.Sprintf("127.0.0.1:%d", meshcases.FreePorts(t, 1)[0])
	text, err := envoy.Bootstrap(envoy.BootstrapOptions{
		ProxyID: proxyID, Service: proxyID, AdminBind: e.admin[proxyID], GRPCAddr: a.addr,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := envoy.Command(context.Background(), envoy.RunOptions{
		Binary: e.binary, Bootstrap: text, Args: []string{"--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "50"},
	})
	if err != nil {
		t.Fatal(err)
	}
	runEnvoy(t, proxyID, cmd)
}

// runEnvoy runs Envoy until the test ends, and shows its log if the test fails.
func runEnvoy(t testing.TB, name string, cmd *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, log.String())
		}
	})
}

// stat reads one number of an Envoy's.
func (e *envoys) stat(t testing.TB, proxyID, name string) string {
	t.Helper()
	resp, err := http.Get("http://" + e.admin[proxyID] + "/stats?filter=^" + name + "$")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(body)), ": ")
	return value
}

func TestEnvoy(t *testing.T) { meshcases.Run(t, newEnvoys(t)) }

func TestEnvoyGoesOnWithoutTheAgent(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewWorld(t, e)
	w.Running()
	load := w.StartLoad()
	a := e.ads[w.Source]
	a.stop()
	w.More(load)
	a.start(t)
	e.settled(t, w, meshcases.DBProxy, meshcases.WebProxy)
	w.More(load)
	load.NoneFailed(t)
	e.unchanged(t)
	// The generation is known again: what is taken away now cuts what was opened before the restart.
	open := w.Open()
	w.Rules()
	if err := open.Ends(envoy.DrainTime + 5*time.Second); err != nil {
		t.Error(err)
	}
}

// unchanged wants nothing to have been changed or removed that both Envoys had from the beginning.
func (e *envoys) unchanged(t *testing.T) {
	t.Helper()
	for _, proxy := range []string{meshcases.DBProxy, meshcases.WebProxy} {
		for _, name := range []string{
			"listener_manager.listener_removed", "listener_manager.listener_modified", "listener_manager.listener_in_place_updated",
			"cluster_manager.cluster_removed", "cluster_manager.cluster_modified",
		} {
			if got := e.stat(t, proxy, name); got != "0" {
				t.Errorf("%s: %s is %q, want 0", proxy, name, got)
			}
		}
	}
}

func TestEnvoyAnswersRequestsWithoutTheAgent(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewHTTPWorld(t, e, "http")
	w.Running()
	load := w.StartLoad()
	a := e.ads[w.Source]
	a.stop()
	w.More(load)
	a.start(t)
	e.settled(t, w.World, meshcases.DBProxy, meshcases.WebProxy)
	w.More(load)
	e.unchanged(t)
	if got := e.stat(t, meshcases.WebProxy, "http.upstream.db.rds.db.config_reload"); got != "1" {
		t.Errorf("the routes were loaded %s times, want once", got)
	}
	load.NoneFailed(t)
	// What changes from now on is heard, and what changed in the meantime would be.
	a.stop()
	w.Rules()
	a.start(t)
	w.Settled(meshcases.Ask{}, meshcases.Status(http.StatusForbidden))
}

// settled waits until Envoys are connected again and have accepted all that they hold.
func (e *envoys) settled(t testing.TB, w *meshcases.World, proxies ...string) {
	t.Helper()
	w.Eventually("the Envoys to have everything", func() error {
		found := map[string]bool{}
		for _, p := range e.ads[w.Source].xds.Status() {
			found[p.ProxyID] = p.Ready && len(p.Resources) > 0
			for _, r := range p.Resources {
				if r.State != xds.Accepted {
					return fmt.Errorf("%s: %s is %s: %s", p.ProxyID, r.Name, r.State, r.Reason)
				}
			}
		}
		for _, id := range proxies {
			if !found[id] {
				return fmt.Errorf("%s is not connected", id)
			}
		}
		return nil
	})
}

func TestEnvoyIsToldOfARevocationThatHappenedWhileTheAgentWasAway(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewWorld(t, e)
	w.Running()
	open := w.Open()
	a := e.ads[w.Source]
	a.stop()
	w.Rules()
	if err := open.Exchange(); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	if err := open.Ends(envoy.DrainTime + 10*time.Second); err != nil {
		t.Error(err)
	}
	if w.Call() == nil {
		t.Error("a call passed")
	}
}

func TestEnvoysRejectionIsToldWithItsReason(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewWorld(t, e)
	taken := meshcases.NewApp(t, "")
	w.Change(meshcases.WebProxy, func(s *snapshot.Snapshot) {
		meshcases.AddUpstream(s, "db", "v2", snapshot.Address{Host: "127.0.0.1", Port: taken.Addr.Port}, w.DBInstance())
	})
	w.Running()
	w.Eventually("the rejection", func() error {
		for _, p := range e.ads[w.Source].xds.Status() {
			for _, r := range p.Resources {
				if r.State == xds.Rejected && strings.HasPrefix(r.Name, "dbv2:") && strings.Contains(r.Reason, "bind") {
					return nil
				}
			}
		}
		return fmt.Errorf("there is none in %+v", e.ads[w.Source].xds.Status())
	})
}

// accessLog reads what Envoy has logged so far.
func accessLog(path string) ([]map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []map[string]any
	for line := range strings.Lines(string(text)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		lines = append(lines, entry)
	}
	return lines, nil
}

func TestEnvoyLogsWhoCalledAndByWhichRule(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewWorld(t, e)
	path := filepath.Join(t.TempDir(), "access.log")
	w.Change(meshcases.DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.AccessLogs = api.AccessLogs{Enabled: true, Type: "file", Path: path}
		s.Proxy.Proxy = &proxy
	})
	w.Running()
	denied := w.Authority.Leaf(t, "stranger")
	if got, _, err := w.Direct(&denied, nil, 5*time.Second); len(got) > 0 || err == nil {
		t.Fatalf("got %q, %v", got, err)
	}
	w.Eventually("the lines of both callers", func() error {
		lines, err := accessLog(path)
		if err != nil {
			return err
		}
		found := map[string]bool{}
		for _, entry := range lines {
			caller, _ := entry["caller"].(string)
			switch {
			case strings.HasSuffix(caller, "/svc/web"):
				found["allowed"] = entry["rule"] == "allow-web"
			case entry["tls_failure"] != nil && entry["tls_failure"] != "-":
				found["denied"] = strings.HasSuffix(caller, "/svc/stranger")
			}
		}
		if !found["allowed"] || !found["denied"] {
			return fmt.Errorf("%v in %v", found, lines)
		}
		return nil
	})
}

func TestEnvoyHTTP(t *testing.T) { meshcases.RunHTTP(t, newEnvoys(t)) }

func TestEnvoyLogsRequestsAndTheirRule(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewHTTPWorld(t, e, "http")
	path := filepath.Join(t.TempDir(), "access.log")
	w.Change(meshcases.DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.AccessLogs = api.AccessLogs{Enabled: true, Type: "file", Path: path, DisableListenerLogs: true}
		s.Proxy.Proxy = &proxy
	})
	w.Running()
	w.Rules()
	w.Settled(meshcases.Ask{Path: "/denied"}, meshcases.Status(http.StatusForbidden))
	w.Eventually("the lines of both requests", func() error {
		lines, err := accessLog(path)
		if err != nil {
			return err
		}
		found := map[string]bool{}
		for _, entry := range lines {
			if caller, _ := entry["caller"].(string); !strings.HasSuffix(caller, "/svc/web") || entry["method"] != "GET" {
				return fmt.Errorf("%v", entry)
			}
			switch entry["response_code"] {
			case 200.0:
				found["allowed"] = entry["rule"] == "allow-web"
			case 403.0:
				found["denied"] = entry["path"] == "/denied" && strings.HasPrefix(fmt.Sprint(entry["response_code_details"]), "rbac_access_denied")
			}
		}
		if !found["allowed"] || !found["denied"] {
			return fmt.Errorf("%v in %v", found, lines)
		}
		return nil
	})
}

func TestEnvoysRejectedRouteIsTold(t *testing.T) {
	e := newEnvoys(t)
	w := meshcases.NewHTTPWorld(t, e, "http")
	w.Running()
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{{Destination: &api.RouteDestination{
		Service: "db", RequestHeaders: &api.HeaderModifiers{Set: map[string]string{"X": "%NO_SUCH_THING%"}},
	}}}})
	w.Eventually("the rejection", func() error {
		for _, p := range e.ads[w.Source].xds.Status() {
			for _, r := range p.Resources {
				if r.State == xds.Rejected && r.Type == envoy.RouteType && r.Name == "db" && strings.Contains(r.Reason, "NO_SUCH_THING") {
					return nil
				}
			}
		}
		return fmt.Errorf("there is none in %+v", e.ads[w.Source].xds.Status())
	})
	if err := w.Call(); err != nil {
		t.Error(err)
	}
}
