// Package testutil starts real agents and clusters for tests, as processes of the binary under test, and waits for
// conditions. What the tests then ask of them is theirs.
package testutil

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// Patience bounds every wait of a test. It is far above what anything takes: a test that fails for want of time shows a fault,
// not a slow machine.
const Patience = 30 * time.Second

const module = "github.com/parleymesh/parley"

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary returns the path of the binary under test: the one that PARLEY_BIN names, or one that is built for this run.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("PARLEY_BIN"); path != "" {
		return path
	}
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "parley-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "parley")
		// It is built where its own module is: the module of a test that has one of its own does not list all it takes.
		where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			build.err = fmt.Errorf("find the module under test: %w", err)
			return
		}
		cmd := exec.Command("go", "build", "-o", build.path, module)
		cmd.Dir = strings.TrimSpace(string(where))
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("build the binary under test: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// Clean removes what Binary built. TestMain calls it in the end.
func Clean() {
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
}

// Ports are an agent's.
type Ports struct {
	HTTP, DNS, GRPC, SerfLAN, SerfWAN, Server int
	Sidecars                                  int // the first of those that sidecars are given
}

// ports hands out blocks of ports, none of them twice in this process: several agents of several tests share this host.
var ports struct {
	mu    sync.Mutex
	given map[int]bool
}

// A block is large enough for an agent and its sidecars. Blocks lie below the ports that the system gives to clients.
const (
	block      = 32
	firstBlock = 10000
	blocks     = 600
	sidecars   = 16
)

// freeBlock returns the first port of a block of which every port was free a moment ago.
func freeBlock(t testing.TB) int {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range 200 {
		first := firstBlock + block*rand.N(blocks)
		if !ports.given[first] && allFree(first) {
			ports.given[first] = true
			return first
		}
	}
	t.Fatal("no block of ports is free")
	return 0
}

func allFree(first int) bool {
	for port := first; port < first+block; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		_ = l.Close()
		if err != nil {
			return false
		}
		_ = u.Close()
	}
	return true
}

// FreePorts returns ports of this host that nobody else is given.
func FreePorts(t testing.TB) Ports {
	t.Helper()
	p := freeBlock(t)
	return Ports{HTTP: p, DNS: p + 1, GRPC: p + 2, SerfLAN: p + 3, Server: p + 4, SerfWAN: p + 5, Sidecars: p + 6}
}

// Host is where an agent runs when it has a network of its own. Its address may change from one start to the next.
type Host interface {
	Addr() string
	Start(cmd *exec.Cmd) error
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Agent is an agent process.
type Agent struct {
	Name    string
	Ports   Ports
	DataDir string
	// API is a client of the agent.
	API *api.Client

	t    testing.TB
	host Host // nil for this one
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	log  *Log
}

// Log keeps what a process says.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Dev starts a development agent and waits for its leader.
func Dev(t testing.TB, args ...string) *Agent {
	t.Helper()
	a := New(t, "dev", append([]string{"-dev"}, args...)...)
	a.Start()
	a.WaitLeader()
	return a
}

// New describes an agent on ports of its own. Start starts it; the end of the test stops it, and shows its log if the test has
// failed.
func New(t testing.TB, name string, args ...string) *Agent {
	t.Helper()
	return newAgent(t, nil, name, FreePorts(t), args...)
}

// On is New on a host that has a network of its own, and a data directory.
func On(t testing.TB, host Host, name string, args ...string) *Agent {
	t.Helper()
	dir := t.TempDir()
	a := newAgent(t, host, name, Ports{HTTP: 8500, DNS: 8600, GRPC: 8502, SerfLAN: 8301, Server: 8300, Sidecars: 21000}, append([]string{"-data-dir=" + dir}, args...)...)
	a.DataDir = dir
	return a
}

func newAgent(t testing.TB, host Host, name string, p Ports, args ...string) *Agent {
	t.Helper()
	a := &Agent{Name: name, Ports: p, t: t, host: host, log: new(Log), args: append([]string{
		"agent", "-node=" + name,
		flag("http-port", p.HTTP), flag("dns-port", p.DNS), flag("grpc-port", p.GRPC), flag("serf-lan-port", p.SerfLAN),
		flag("server-port", p.Server), flag("serf-wan-port", p.SerfWAN), "-grpc-tls-port=-1",
		fmt.Sprintf("-hcl=ports { sidecar_min_port = %d sidecar_max_port = %d }", p.Sidecars, p.Sidecars+sidecars-1),
	}, args...)}
	client, err := api.New(api.Config{Address: a.HTTPAddr()})
	if err != nil {
		t.Fatal(err)
	}
	if host != nil {
		client.HTTP().Transport.(*http.Transport).DialContext = host.Dial
	}
	a.API = client
	t.Cleanup(func() {
		if a.Running() {
			a.Stop()
		}
		client.Close()
		if t.Failed() {
			t.Logf("log of %s:\n%s", a.Name, a.log)
		}
	})
	return a
}

// Durable is New with a data directory.
func Durable(t testing.TB, name string, args ...string) *Agent {
	t.Helper()
	dir := t.TempDir()
	a := New(t, name, append([]string{"-data-dir=" + dir}, args...)...)
	a.DataDir = dir
	return a
}

func flag(name string, port int) string { return "-" + name + "=" + strconv.Itoa(port) }

// HTTPAddr is where the agent serves HTTP.
func (a *Agent) HTTPAddr() string { return "127.0.0.1:" + strconv.Itoa(a.Ports.HTTP) }

// DNSAddr is where the agent serves DNS.
func (a *Agent) DNSAddr() string { return "127.0.0.1:" + strconv.Itoa(a.Ports.DNS) }

// SerfAddr is where the agent gossips.
func (a *Agent) SerfAddr() string { return a.bind() + ":" + strconv.Itoa(a.Ports.SerfLAN) }

// bind is the address at which other agents reach this one.
func (a *Agent) bind() string {
	if a.host == nil {
		return "127.0.0.1"
	}
	return a.host.Addr()
}

// start starts a command where the agent is.
func (a *Agent) start(cmd *exec.Cmd) error {
	if a.host == nil {
		return cmd.Start()
	}
	return a.host.Start(cmd)
}

// WANAddr is where a server meets those of other datacenters.
func (a *Agent) WANAddr() string { return "127.0.0.1:" + strconv.Itoa(a.Ports.SerfWAN) }

// GRPCAddr is where the agent serves xDS.
func (a *Agent) GRPCAddr() string { return "127.0.0.1:" + strconv.Itoa(a.Ports.GRPC) }

// Log is what the agent has said so far.
func (a *Agent) Log() string { return a.log.String() }

// Start starts the process, again if it has ended.
func (a *Agent) Start() {
	a.t.Helper()
	a.cmd = exec.Command(Binary(a.t), append(a.args[:len(a.args):len(a.args)], "-bind="+a.bind())...)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	// A test that is killed takes its agents along.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.start(a.cmd); err != nil {
		a.t.Fatal(err)
	}
	a.done = make(chan struct{})
	go func() { _ = a.cmd.Wait(); close(a.done) }()
}

// Running tells whether the process is there.
func (a *Agent) Running() bool {
	if a.done == nil {
		return false
	}
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// Pid is the process's id.
func (a *Agent) Pid() int { return a.cmd.Process.Pid }

// Signal sends a signal to the process.
func (a *Agent) Signal(s os.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		a.t.Fatal(err)
	}
}

// Kill ends the process without a word to it, and waits.
func (a *Agent) Kill() {
	a.t.Helper()
	if err := a.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		a.t.Fatal(err)
	}
	<-a.done
}

// Stop ends the process in good order. One that does not end in time is a failure.
func (a *Agent) Stop() {
	a.t.Helper()
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(Patience):
		a.t.Errorf("%s did not stop", a.Name)
		_ = a.cmd.Process.Signal(syscall.SIGQUIT) // which has it say where it is
		select {
		case <-a.done:
		case <-time.After(time.Second):
			a.Kill()
		}
	}
}

// ExitCode waits for the process to end by itself.
func (a *Agent) ExitCode() int {
	a.t.Helper()
	select {
	case <-a.done:
	case <-time.After(Patience):
		a.t.Fatalf("%s did not end", a.Name)
	}
	return a.cmd.ProcessState.ExitCode()
}

// WaitLeader waits until the agent knows a leader.
func (a *Agent) WaitLeader() {
	a.t.Helper()
	Eventually(a.t, "a leader at "+a.Name, func(ctx context.Context) error {
		if !a.Running() {
			return fmt.Errorf("the agent has ended:\n%s", a.log)
		}
		leader, err := a.API.Status().Leader(ctx, nil)
		if err == nil && leader == "" {
			err = errors.New("none yet")
		}
		return err
	})
}

// Run runs a command of the binary against this agent and returns what it printed and its exit status.
func (a *Agent) Run(args ...string) (stdout, stderr string, code int) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(a.t), args...)
	cmd.Env = append(os.Environ(), "PARLEY_HTTP_ADDR="+a.HTTPAddr())
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := a.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		a.t.Fatalf("run %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Must is Run for a command that has to succeed. It returns what it printed.
func (a *Agent) Must(args ...string) string {
	a.t.Helper()
	out, errs, code := a.Run(args...)
	if code != 0 {
		a.t.Fatalf("parley %s: exit status %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// Eventually repeats try until it succeeds. Time that runs out is fatal, with the error of the last try.
func Eventually(t testing.TB, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("waited for %s in vain: %v", what, err)
		}
	}
}

// Tool returns the path of a program that a test needs. Where it is missing the test is skipped, or fails under CI=true.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed for this test: %v", name, err)
	}
	t.Skipf("skipped: %s is not installed", name)
	return ""
}

// Envoy returns the path of real Envoy: make test installs it and names it in PARLEY_ENVOY.
func Envoy(t testing.TB) string {
	t.Helper()
	path := os.Getenv("PARLEY_ENVOY")
	if _, err := os.Stat(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("real Envoy is needed for this test: run it by make test, which installs it")
	}
	t.Skip("skipped: no real Envoy; run make test, which installs it, or name one in PARLEY_ENVOY")
	return ""
}
