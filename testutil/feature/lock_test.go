package feature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// locker is a running `parley lock`.
type locker struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs bytes.Buffer
	over chan struct{}
}

// startLock runs `parley lock` against an agent.
func startLock(t *testing.T, a *testutil.Agent, args ...string) *locker {
	t.Helper()
	l := &locker{t: t, over: make(chan struct{})}
	l.cmd = exec.Command(testutil.Binary(t), append([]string{"lock"}, args...)...)
	l.cmd.Env = append(os.Environ(), "PARLEY_HTTP_ADDR="+a.HTTPAddr(), "SHELL=/bin/sh")
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.errs
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = l.cmd.Wait(); close(l.over) }()
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		<-l.over
	})
	return l
}

// ends waits for it to end and returns its exit status.
func (l *locker) ends(within time.Duration) int {
	l.t.Helper()
	select {
	case <-l.over:
	case <-time.After(within):
		l.t.Fatalf("`parley lock` does not end; it says %s", l.errs.String())
	}
	return l.cmd.ProcessState.ExitCode()
}

func (l *locker) running() bool {
	select {
	case <-l.over:
		return false
	default:
		return true
	}
}

// holding returns a program that leaves a file for as long as it runs and fails when there is one already, and a way to see who
// runs: two at a time would have been seen by one of them.
func holding(t *testing.T) (program func(name string) string, holders func() []string) {
	dir := t.TempDir()
	program = func(name string) string {
		file := filepath.Join(dir, name)
		return fmt.Sprintf("trap 'rm -f %[1]s; exit 1' TERM; if [ -n \"$(ls %[2]s)\" ]; then exit 9; fi; touch %[1]s; while :; do sleep 0.05; done", file, dir)
	}
	return program, func() []string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
}

func awaitHolder(t *testing.T, holders func() []string, want string) {
	t.Helper()
	testutil.Eventually(t, want+" to hold the lock", func(context.Context) error {
		if got := holders(); strings.Join(got, " ") != want {
			return fmt.Errorf("%v do", got)
		}
		return nil
	})
}

// TestLockMovesWhenAnAgentIsKilled runs one program on two hosts, of which one may run it at a time.
func TestLockMovesWhenAnAgentIsKilled(t *testing.T) {
	c := testutil.NewCluster(t, 1, 2)
	one, two := c.Clients[0], c.Clients[1]
	program, holders := holding(t)
	first := startLock(t, one, "-monitor-retry=1", "service/leader", program("one"))
	awaitHolder(t, holders, "one")
	second := startLock(t, two, "-child-exit-code", "service/leader", program("two"))

	one.Kill()
	if code := first.ends(testutil.Patience); code != 1 || !strings.Contains(first.errs.String(), "lock was lost") {
		t.Errorf("exit status %d, %s", code, first.errs.String())
	}
	if got := holders(); len(got) != 0 {
		t.Errorf("the program has outlived its lock: %v", got)
	}
	// Gossip finds the agent failed, its session ends, and after the lock's delay of 15 seconds the other one has it.
	free := time.Now()
	testutil.Eventually(t, "the session to end", func(ctx context.Context) error {
		left, _, err := two.API.Sessions().Node(ctx, one.Name, nil)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d are left", len(left))
		}
		free = time.Now()
		return err
	})
	awaitHolder(t, holders, "two")
	if took := time.Since(free); took < 13*time.Second {
		t.Errorf("the lock could be had %s after its holder's session ended", took)
	}

	// It outlives a restart of the server and a failure of the agent to answer that goes by.
	c.Servers[0].Kill()
	c.Servers[0].Start()
	c.Servers[0].WaitLeader()
	if err := c.Servers[0].API.KV().Put(t.Context(), &api.KVPair{Key: "after"}, nil); err != nil {
		t.Fatal(err)
	}
	if !second.running() || strings.Join(holders(), " ") != "two" {
		t.Fatalf("a restart of the servers has cost the lock: %s", second.errs.String())
	}

	// Somebody takes the lock away.
	p, _, err := two.API.KV().Get(t.Context(), "service/leader/.lock", nil)
	if err != nil || p == nil || p.Session == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := two.API.Sessions().Destroy(t.Context(), p.Session, nil); err != nil {
		t.Fatal(err)
	}
	if code := second.ends(10 * time.Second); code != 1 || len(holders()) != 0 {
		t.Errorf("exit status %d, %v still run", code, holders())
	}
}

// TestLock goes through what `parley lock` does with its program.
func TestLock(t *testing.T) {
	a := testutil.Dev(t)
	t.Run("the program", func(t *testing.T) {
		for _, c := range []struct {
			args   []string
			out    string
			errs   string
			status int
		}{
			{[]string{"lk", "echo $CONSUL_LOCK_HELD $PARLEY_LOCK_HELD"}, "true true\n", "", 0},
			{[]string{"-verbose", "lk", "true"}, "", "lock at path: lk/.lock", 0},
			{[]string{"-shell=false", "lk", "printf", "%s|", "a b", "$HOME"}, "a b|$HOME|", "", 0},
			{[]string{"lk", "exit 3"}, "", "exit status 3", 0},
			{[]string{"-child-exit-code", "lk", "exit 3"}, "", "exit status 3", 2},
			{[]string{"-child-exit-code", "lk", "exit 0"}, "", "", 0},
			{[]string{"-shell=false", "lk", "/no/such/program"}, "", "no such file", 1},
			{[]string{"lk", "cat"}, "", "", 0}, // it reads nothing
			{[]string{"lk"}, "", "must be specified", 1},
			{[]string{"-n=0", "lk", "true"}, "", "must be > 0", 1},
			{[]string{"-try=1s", "-timeout=1s", "lk", "true"}, "", "Only one of", 1},
			{[]string{"-monitor-retry=-1", "lk", "true"}, "", "must be >= 0", 1},
		} {
			out, errs, code := a.Run(append([]string{"lock"}, c.args...)...)
			if out != c.out || !strings.Contains(errs, c.errs) || code != c.status {
				t.Errorf("%v: exit status %d, %q, %q", c.args, code, out, errs)
			}
		}
		if keys, _, err := a.API.KV().Keys(t.Context(), "", "", nil); err != nil || len(keys) != 0 {
			t.Errorf("what is left: %v, %v", keys, err)
		}
		if left, _, err := a.API.Sessions().List(t.Context(), nil); err != nil || len(left) != 0 {
			t.Errorf("what is left: %v, %v", left, err)
		}
	})

	t.Run("waiting", func(t *testing.T) {
		program, holders := holding(t)
		first := startLock(t, a, "-name=first", "wait", program("first"))
		awaitHolder(t, holders, "first")
		began := time.Now()
		for _, flag := range []string{"-try=300ms", "-timeout=300ms"} {
			if _, errs, code := a.Run("lock", flag, "wait", "true"); code != 1 || !strings.Contains(errs, "timeout during lock acquisition") {
				t.Errorf("%s: exit status %d, %s", flag, code, errs)
			}
		}
		if took := time.Since(began); took < 600*time.Millisecond {
			t.Errorf("it gave up after %s", took)
		}
		sessions, _, err := a.API.Sessions().List(t.Context(), nil)
		if err != nil || len(sessions) != 1 || sessions[0].Name != "first" || sessions[0].TTL != "15s" {
			t.Errorf("%+v, %v", sessions, err)
		}
		// The next one has it as soon as the first is told to end.
		second := startLock(t, a, "wait", program("second"))
		if err := first.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := first.ends(10 * time.Second); code != 1 {
			t.Errorf("exit status %d", code)
		}
		awaitHolder(t, holders, "second")
		_ = second.cmd.Process.Signal(syscall.SIGTERM)
		if second.ends(10 * time.Second); len(holders()) != 0 {
			t.Errorf("%v still run", holders())
		}
		if _, errs, code := a.Run("lock", "-n=2", "wait", "true"); code != 0 {
			t.Errorf("a semaphore where a lock was: %s", errs)
		}
	})

	t.Run("signals", func(t *testing.T) {
		mark := filepath.Join(t.TempDir(), "mark")
		seen := func(want string) {
			t.Helper()
			testutil.Eventually(t, "the program to see "+want, func(context.Context) error {
				if data, err := os.ReadFile(mark); err != nil || strings.TrimSpace(string(data)) != want {
					return fmt.Errorf("%q, %v", data, err)
				}
				return nil
			})
		}
		l := startLock(t, a, "-child-exit-code", "signals", fmt.Sprintf("trap 'echo hup > %[1]s; exit 4' HUP; echo up > %[1]s; while :; do sleep 0.05; done", mark))
		seen("up")
		_ = l.cmd.Process.Signal(syscall.SIGHUP)
		seen("hup")
		if code := l.ends(10 * time.Second); code != 2 {
			t.Errorf("exit status %d", code)
		}
		// One that does not listen is killed, with what it started.
		l = startLock(t, a, "signals", fmt.Sprintf("trap '' TERM; (trap '' TERM; echo $$ > %[1]s; exec sleep 300) & wait", mark))
		testutil.Eventually(t, "the program", func(context.Context) error {
			data, err := os.ReadFile(mark)
			if err == nil && strings.TrimSpace(string(data)) == "hup" {
				err = errors.New("not yet")
			}
			return err
		})
		data, err := os.ReadFile(mark)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.cmd.Process.Signal(syscall.SIGTERM)
		if code := l.ends(10 * time.Second); code != 1 {
			t.Errorf("exit status %d", code)
		}
		if pid := strings.TrimSpace(string(data)); exec.Command("/bin/sh", "-c", "kill -0 "+pid).Run() == nil {
			t.Errorf("%s has outlived the lock", pid)
		}
	})

	t.Run("its program dies with it", func(t *testing.T) {
		program, holders := holding(t)
		l := startLock(t, a, "-shell=false", "die", "/bin/sh", "-c", program("dies"))
		awaitHolder(t, holders, "dies")
		pids, err := exec.Command("/bin/sh", "-c", fmt.Sprintf("cat /proc/%d/task/*/children", l.cmd.Process.Pid)).Output()
		if err != nil {
			t.Skipf("the children of a process are not told here: %v", err)
		}
		_ = l.cmd.Process.Kill()
		<-l.over
		testutil.Eventually(t, "the program to die", func(context.Context) error {
			if exec.Command("/bin/sh", "-c", "kill -0 "+strings.TrimSpace(string(pids))).Run() == nil {
				return errors.New("it lives")
			}
			return nil
		})
	})
}

// TestSemaphore lets two run at a time, of six.
func TestSemaphore(t *testing.T) {
	a := testutil.Dev(t)
	dir := t.TempDir()
	program := fmt.Sprintf("f=$(mktemp -p %[1]s); ls %[1]s | wc -l; sleep 0.3; rm $f", dir)
	var all sync.WaitGroup
	var mu sync.Mutex
	most := map[string]int{}
	for range 6 {
		all.Go(func() {
			out, errs, code := a.Run("lock", "-n=2", "-child-exit-code", "sem", program)
			if code != 0 {
				t.Errorf("exit status %d, %s", code, errs)
			}
			mu.Lock()
			defer mu.Unlock()
			most[strings.TrimSpace(out)]++
		})
	}
	all.Wait()
	if most["1"]+most["2"] != 6 || most["2"] == 0 {
		t.Errorf("so many ran at a time, so often: %v", most)
	}
	if keys, _, err := a.API.KV().Keys(t.Context(), "", "", nil); err != nil || len(keys) != 0 {
		t.Errorf("what is left: %v, %v", keys, err)
	}
	held, err := a.API.Semaphore(t.Context(), api.LockOptions{Key: "sem"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-n=2", "sem", "true"}, {"sem", "true"}} {
		if _, errs, code := a.Run(append([]string{"lock", "-timeout=5s"}, args...)...); code != 1 || strings.Contains(errs, "timeout") {
			t.Errorf("%v: exit status %d, %s", args, code, errs)
		}
	}
	if err := held.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLocksOnTheCommandLine locks a key by `parley kv put`.
func TestLocksOnTheCommandLine(t *testing.T) {
	a := testutil.Dev(t)
	one, err := a.API.Sessions().Create(t.Context(), &api.Session{LockDelay: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := a.API.Sessions().Create(t.Context(), &api.Session{Name: "two", NodeChecks: []string{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		part   string
		status int
	}{
		{[]string{"-acquire", "-session=" + one, "k", "v"}, "Success! Lock acquired on: k", 0},
		{[]string{"-acquire", "-session=" + two, "k", "v"}, "another session has locked it", 1},
		{[]string{"-release", "-session=" + two, "k", "v"}, "does not hold its lock", 1},
		{[]string{"-release", "-session=" + one, "k", "v"}, "Success! Lock released on: k", 0},
		{[]string{"-acquire", "-session=none", "k", "v"}, `invalid session "none"`, 1},
		{[]string{"-acquire", "k", "v"}, "Missing -session", 1},
	} {
		out, errs, code := a.Run(append([]string{"kv", "put"}, c.args...)...)
		if !strings.Contains(out+errs, c.part) || code != c.status {
			t.Errorf("%v: exit status %d, %s%s", c.args, code, out, errs)
		}
	}
	if got, _, err := a.API.Sessions().Get(t.Context(), two, nil); err != nil || got == nil || got.Name != "two" || len(got.NodeChecks) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	out, err := a.API.Txn(t.Context(), []api.TxnOp{
		{KV: &api.KVOp{Verb: api.VerbLock, Key: "k", Session: two}}, {KV: &api.KVOp{Verb: api.VerbGet, Key: "none"}},
	}, nil)
	if err != nil || out.Done() || len(out.Errors) != 1 || out.Errors[0].OpIndex != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
