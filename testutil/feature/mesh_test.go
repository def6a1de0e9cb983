package feature

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// plane starts a sidecar for a service, as a person does.
type plane struct {
	name  string
	start func(t *testing.T, a *testutil.Agent, service string)
}

// planes are both data planes: every test of the mesh holds for either.
func planes() []plane {
	return []plane{
		{"embedded", func(t *testing.T, a *testutil.Agent, service string) {
			run(t, a, "connect", "proxy", "-sidecar-for", service)
		}},
		{"envoy", func(t *testing.T, a *testutil.Agent, service string) {
			admin := testutil.FreePorts(t).HTTP
			run(t, a, "connect", "envoy", "-sidecar-for", service, "-envoy-binary", testutil.Envoy(t),
				"-admin-bind", "127.0.0.1:"+strconv.Itoa(admin), "--", "-l", "warning", "--concurrency", "1")
		}},
	}
}

// run starts a command that stays, and ends it with the test.
func run(t *testing.T, a *testutil.Agent, args ...string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testutil.Binary(t), args...)
	cmd.Env = append(os.Environ(), "PARLEY_HTTP_ADDR="+a.HTTPAddr(), "PARLEY_GRPC_ADDR="+a.GRPCAddr())
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(testutil.Patience):
			t.Errorf("%v did not end", args)
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			said, _ := os.ReadFile(file.Name())
			t.Logf("log of %v:\n%s", args, said)
		}
		_ = file.Close()
	})
}

// backend is an HTTP service that says its name, and may be unwell.
type backend struct {
	name   string
	port   int
	unwell atomic.Bool
	calls  atomic.Int64
}

func startBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{name: name}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if b.unwell.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		b.calls.Add(1)
		fmt.Fprint(w, name)
	})
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return b
}

// register registers a service with a sidecar.
func register(t *testing.T, a *testutil.Agent, d *api.ServiceDefinition) {
	t.Helper()
	if err := a.API.Agent().RegisterService(t.Context(), d, false, nil); err != nil {
		t.Fatal(err)
	}
}

func (b *backend) definition(service string) *api.ServiceDefinition {
	return &api.ServiceDefinition{
		ID: b.name, Name: service, Port: b.port,
		Check: &api.CheckDefinition{
			HTTP: fmt.Sprintf("http://127.0.0.1:%d/health", b.port), Interval: api.Duration(200 * time.Millisecond), Timeout: api.Duration(time.Second),
		},
		Connect: &api.Connect{SidecarService: &api.ServiceDefinition{}},
	}
}

// mesh is web, which calls db through its sidecar.
type mesh struct {
	t      *testing.T
	agent  *testutil.Agent
	db     *backend
	port   int // of web's upstream
	client *http.Client
}

// startMesh starts an agent's services web and db with their sidecars.
func startMesh(t *testing.T, a *testutil.Agent, p plane) *mesh {
	t.Helper()
	m := &mesh{t: t, agent: a, db: startBackend(t, "db"), port: testutil.FreePorts(t).HTTP}
	m.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	register(t, a, m.db.definition("db"))
	register(t, a, &api.ServiceDefinition{
		Name: "web", Port: 1, Connect: &api.Connect{SidecarService: &api.ServiceDefinition{Proxy: &api.Proxy{
			Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: m.port}},
		}}},
	})
	p.start(t, a, "db")
	p.start(t, a, "web")
	testutil.Eventually(t, "the sidecars to listen", func(context.Context) error {
		conn, err := net.Dial("tcp", m.upstream())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	testutil.Eventually(t, "db's sidecar to be healthy", func(ctx context.Context) error {
		entries, _, err := a.API.Health().Service(ctx, "db-sidecar-proxy", nil, true, nil)
		if err == nil && len(entries) == 0 {
			err = errors.New("it is not")
		}
		return err
	})
	return m
}

func (m *mesh) upstream() string { return "127.0.0.1:" + strconv.Itoa(m.port) }

// call makes one call over a connection of its own.
func (m *mesh) call(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.upstream()+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// reaches waits until a call is answered by name.
func (m *mesh) reaches(name string) {
	m.t.Helper()
	testutil.Eventually(m.t, "a call to reach "+name, func(ctx context.Context) error {
		got, err := m.call(ctx)
		if err == nil && got != name {
			err = fmt.Errorf("%q answered", got)
		}
		return err
	})
}

// refused waits until calls are refused.
func (m *mesh) refused() {
	m.t.Helper()
	testutil.Eventually(m.t, "calls to be refused", func(ctx context.Context) error {
		if got, err := m.call(ctx); err == nil {
			return fmt.Errorf("%q answered", got)
		}
		return nil
	})
}

// caller calls all the time, and counts what failed.
type caller struct {
	stop   context.CancelFunc
	done   chan struct{}
	calls  int
	failed []error
}

func (m *mesh) keepCalling() *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for ctx.Err() == nil {
			_, err := m.call(context.Background())
			c.calls++
			if err != nil {
				c.failed = append(c.failed, err)
			}
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return c
}

// end stops calling and wants all calls to have succeeded.
func (c *caller) end(t *testing.T, during string) {
	t.Helper()
	c.stop()
	<-c.done
	t.Logf("%s: %d calls, %d failed", during, c.calls, len(c.failed))
	if len(c.failed) > 0 {
		t.Errorf("%s: %d of %d calls failed, the first with: %v", during, len(c.failed), c.calls, c.failed[0])
	}
}

// TestMesh takes a registration to an mTLS call, on either data plane.
func TestMesh(t *testing.T) {
	for _, p := range planes() {
		t.Run(p.name, func(t *testing.T) {
			a := testutil.Durable(t, "mesh", "-server", "-bootstrap-expect=1")
			a.Start()
			a.WaitLeader()
			m := startMesh(t, a, p)

			m.refused()
			a.Must("intention", "create", "-allow", "web", "db")
			m.reaches("db")

			t.Run("an open connection is cut when its intention goes", func(t *testing.T) {
				conn, err := net.Dial("tcp", m.upstream())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				ask := func() error {
					_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
					if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: db\r\n\r\n"); err != nil {
						return err
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
					}
					return err
				}
				if err := ask(); err != nil {
					t.Fatal(err)
				}
				a.Must("intention", "delete", "web", "db")
				m.refused()
				testutil.Eventually(t, "the open connection to be cut", func(context.Context) error {
					if ask() == nil {
						return errors.New("it still answers")
					}
					return nil
				})
				a.Must("intention", "create", "-allow", "web", "db")
				m.reaches("db")
			})

			t.Run("an instance whose check turns critical takes no calls", func(t *testing.T) {
				second := startBackend(t, "db-2")
				register(t, a, second.definition("db"))
				p.start(t, a, "db-2")
				m.reaches("db-2")
				m.reaches("db")
				second.unwell.Store(true)
				testutil.Eventually(t, "only db to answer", func(ctx context.Context) error {
					for range 20 {
						got, err := m.call(ctx)
						if err != nil || got != "db" {
							return fmt.Errorf("%q, %v", got, err)
						}
					}
					return nil
				})
				if err := a.API.Agent().DeregisterService(t.Context(), "db-2", nil); err != nil {
					t.Error(err)
				}
			})

			t.Run("the agent restarts and no call fails", func(t *testing.T) {
				c := m.keepCalling()
				a.Kill()
				time.Sleep(300 * time.Millisecond) // calls go on without an agent
				a.Start()
				a.WaitLeader()
				a.Must("intention", "create", "-allow", "other", "db")
				time.Sleep(1500 * time.Millisecond) // the proxies come back to the new agent
				c.end(t, "kill -9 and restart of the agent")
				a.Must("intention", "delete", "web", "db")
				m.refused() // the proxies obey the new agent
			})
		})
	}
}

// TestMeshOnCluster calls through the mesh from one client agent to another while servers die.
func TestMeshOnCluster(t *testing.T) {
	for _, p := range planes() {
		t.Run(p.name, func(t *testing.T) {
			c := testutil.NewCluster(t, 3, 1)
			a := c.Clients[0]
			m := startMesh(t, a, p)
			a.Must("intention", "create", "-allow", "web", "db")
			m.reaches("db")
			leader, followers := c.Leader()
			calls := m.keepCalling()
			leader.Kill()
			a.Must("kv", "put", "after", "kill")
			calls.end(t, "kill -9 of the leader")
			if out := followers[0].Must("intention", "list"); !strings.Contains(out, "web") {
				t.Errorf("intentions: %s", out)
			}
			a.Must("intention", "delete", "web", "db")
			m.refused()
		})
	}
}
