package chaos

import (
	"context"
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
	"github.com/parleymesh/parley/testutil/network"
)

// disk is a file system in a file, mounted for one host alone. What has reached the file is on the disk; the kernel keeps the rest.
type disk struct {
	t           *testing.T
	host        *network.Host
	image, copy string
	dir         string
}

func newDisk(t *testing.T, h *network.Host) *disk {
	t.Helper()
	at := t.TempDir()
	d := &disk{t: t, host: h, image: filepath.Join(at, "image"), copy: filepath.Join(at, "copy"), dir: filepath.Join(at, "mounted")}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(512 << 20)
		_ = f.Close()
	}
	if err == nil {
		err = os.Mkdir(d.dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.run(testutil.Tool(t, "mkfs.ext4"), "-q", d.image)
	if out, err := d.try(testutil.Tool(t, "mount"), "-o", "loop", d.image, d.dir); err != nil {
		t.Skipf("skipped: this kernel mounts no file: %v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = d.try("umount", d.dir) })
	return d
}

// try runs a command on the host.
func (d *disk) try(name string, args ...string) (string, error) {
	var out testutil.Log
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := d.host.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := d.try(name, args...); err != nil {
		d.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// stopped waits until nothing of a process runs, also not what it has asked of the kernel.
func stopped(t *testing.T, pid int) {
	t.Helper()
	testutil.Eventually(t, "the process to be stopped", func(context.Context) error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return err
		}
		for _, name := range threads {
			if text, err := os.ReadFile(name); err == nil && !strings.Contains(string(text), "(stopped)") {
				return fmt.Errorf("%s: %s", name, text)
			}
		}
		return nil
	})
}

// cutPower ends an agent and forgets what was not synced.
func (d *disk) cutPower(a *testutil.Agent) {
	d.t.Helper()
	a.Signal(syscall.SIGSTOP)
	stopped(d.t, a.Pid()) // so that the copy is of one moment
	unsynced := filepath.Join(d.dir, "unsynced")
	if err := d.host.WriteFile(unsynced, []byte("to be lost")); err != nil {
		d.t.Fatal(err)
	}
	d.run("cp", "--sparse=always", d.image, d.copy)
	a.Kill()
	d.run("umount", d.dir)
	if err := os.Rename(d.copy, d.image); err != nil {
		d.t.Fatal(err)
	}
	d.run("mount", "-o", "loop", d.image, d.dir)
	if _, err := d.try("test", "-s", unsynced); err == nil {
		d.t.Error("what was not synced is there after the power cut: this test finds nothing")
	}
}

// A server whose power fails has all that it acknowledged, and is who it was.
func TestPowerCutLosesNothing(t *testing.T) {
	n := network.New(t, 1)
	h := n.Host("server-1")
	d := newDisk(t, h)
	a := testutil.On(t, h, "server-1", "-server", "-bootstrap-expect=1", "-data-dir="+d.dir)
	var mu sync.Mutex
	var acked []string // guarded by mu
	var id string
	for round, after := range []time.Duration{0, 300 * time.Millisecond, 50 * time.Millisecond, 700 * time.Millisecond} {
		a.Start()
		a.WaitLeader()
		self, _, err := a.API.Agent().Self(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if is := self.Config.NodeID; id == "" {
			id = is
		} else if is != id {
			t.Errorf("the server is %s, and was %s", is, id)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		put := func(key string) error {
			err := a.API.KV().Put(ctx, &api.KVPair{Key: key, Value: []byte(key)}, nil)
			if err == nil {
				mu.Lock()
				acked = append(acked, key)
				mu.Unlock()
			}
			return err
		}
		if err := put(fmt.Sprintf("%d/first", round)); err != nil {
			t.Fatal(err)
		}
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ctx.Err() == nil && put(fmt.Sprintf("%d/%d/%06d", round, w, i)) == nil; i++ {
				}
			})
		}
		time.Sleep(after)
		d.cutPower(a)
		cancel()
		writers.Wait()
	}
	a.Start()
	a.WaitLeader()
	pairs, _, err := a.API.KV().List(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, p := range pairs {
		there[p.Key] = string(p.Value) == p.Key
	}
	lost := 0
	for _, key := range acked {
		if !there[key] {
			lost++
		}
	}
	t.Logf("%d writes were acknowledged", len(acked))
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(acked))
	}
	a.Kill() // it has open files on what is to be unmounted
}
