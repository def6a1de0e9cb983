package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/acl"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// openFiles lists the files beneath a directory that this process holds open.
func openFiles(t *testing.T, dir string) []string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell which files are open")
	}
	var out []string
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(name, dir) {
			out = append(out, name)
		}
	}
	return out
}

func TestSoleServerKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), dir)
		began := time.Now()
		if _, err := h.Apply(t.Context(), verb.Options{}, register("n0", "web")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the first write took %s: it has waited for an election timer", took)
		}
		before, err := h.Query(t.Context(), verb.Options{}, catalog.Nodes{})
		if err != nil {
			t.Fatal(err)
		}
		roots := only[*api.CARoots](t, verb.Answer{Rows: mustQuery(t, h, ca.Roots{})}, nil)
		e, err := verb.Wrap(verb.Options{}, "catalog.register", register("n1", "web"))
		if err != nil {
			t.Fatal(err)
		}
		first, err := h.ApplyEnvelope(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if f := h.Raft().Snapshot(); f.Error() != nil {
			t.Fatal(f.Error())
		}
		if _, err := h.Apply(t.Context(), verb.Options{}, register("n2", "web")); err != nil {
			t.Fatal(err)
		}
		// It comes back twice, the second time at another address, as a container does.
		for _, addr := range []string{"10.0.0.1:8300", "10.0.0.77:8300"} {
			h.stop()
			if left := openFiles(t, dir); len(left) > 0 {
				t.Errorf("still open after Close: %v", left)
			}
			h = l.start(member("s0", addr, 1), dir)
			began := time.Now()
			a, err := h.Query(t.Context(), verb.Options{}, catalog.Nodes{})
			if err != nil || !slices.Equal(nodes(a), []string{"n0", "n1", "n2", "s0"}) || a.Index < before.Index {
				t.Fatalf("%v at %d, before %d, %v", nodes(a), a.Index, before.Index, err)
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("at %s it led after %s", addr, took)
			}
			after := only[*api.CARoots](t, verb.Answer{Rows: mustQuery(t, h, ca.Roots{})}, nil)
			if after.ActiveRootID != roots.ActiveRootID || after.TrustDomain != roots.TrustDomain {
				t.Errorf("other roots: %+v", after)
			}
			again, err := h.ApplyEnvelope(t.Context(), e)
			if err != nil || again.Index != first.Index || string(again.Raw) != string(first.Raw) {
				t.Errorf("the repetition: %+v, first %+v, %v", again, first, err)
			}
		}
		l.eventually("raft knows where it is", func() bool {
			f := h.Raft().GetConfiguration()
			return f.Error() == nil && f.Configuration().Servers[0].Address == "10.0.0.77:8300"
		})
		// Others can join it there.
		l.start(member("s1", "10.0.0.2:8300", 0), "")
		l.eventually("another has joined", func() bool { return h.voters() == 2 })
	})
}

// All three stop, and come back in another order and at other addresses.
func TestThreeServersComeBackElsewhere(t *testing.T) {
	dirs := map[string]string{"s0": t.TempDir(), "s1": t.TempDir(), "s2": t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for i, name := range []string{"s0", "s1", "s2"} {
			l.start(member(name, "10.0.0."+string(rune('1'+i))+":8300", 3), dirs[name])
		}
		if _, err := l.leads().Apply(t.Context(), verb.Options{}, register("n1", "web")); err != nil {
			t.Fatal(err)
		}
		for _, h := range l.up {
			h.stop()
			l.pool.status(h.name, Failed)
		}
		// Two of the addresses are each other's.
		for _, s := range [][2]string{{"s2", "10.0.0.2:8300"}, {"s1", "10.0.0.3:8300"}, {"s0", "10.0.0.11:8300"}} {
			l.start(member(s[0], s[1], 3), dirs[s[0]])
		}
		for _, h := range l.up {
			a, err := h.Query(t.Context(), verb.Options{}, catalog.Nodes{})
			if err != nil || !slices.Contains(nodes(a), "n1") {
				t.Errorf("%s: %v, %v", h.name, nodes(a), err)
			}
		}
		l.eventually("the catalog has their addresses", func() bool {
			for _, n := range verb.Values[*api.Node](verb.Answer{Rows: mustQuery(t, l.leads(), catalog.Nodes{})}) {
				if n.Node == "s0" && n.Address != "10.0.0.11" || n.Node == "s2" && n.Address != "10.0.0.2" {
					return false
				}
			}
			return true
		})
	})
}

// TestEveryDamageOfTheLogIsFound damages the log of a stopped server in many ways. Each is told in an error, and nothing is
// begun anew over it.
func TestEveryDamageOfTheLogIsFound(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.start(member("s0", "10.0.0.1:8300", 1), dir)
		for _, name := range []string{"n1", "n2", "n3"} {
			if _, err := l.leads().Apply(t.Context(), verb.Options{}, register(name, "web")); err != nil {
				t.Fatal(err)
			}
		}
		l.leads().stop()
	})
	files, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	entries, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "raft", "wal", "wal-meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(entries)
	flipped[bytes.Index(entries, []byte("n2"))] ^= 1
	for name, damage := range map[string]func(segment, meta string) error{
		"a flipped bit in an entry": func(segment, _ string) error { return os.WriteFile(segment, flipped, 0o600) },
		"no entries":                func(segment, _ string) error { return os.Truncate(segment, 0) },
		"no segment":                func(segment, _ string) error { return os.Remove(segment) },
		"an empty list":             func(_, meta string) error { return os.Truncate(meta, 0) },
		"a list that ends early":    func(_, meta string) error { return os.Truncate(meta, 2*4096) },
		"a list of noise":           func(_, meta string) error { return os.WriteFile(meta, bytes.Repeat([]byte{0xa5}, len(list)), 0o600) },
	} {
		dir := t.TempDir() // of its own: after a fault, the library keeps its lock until the process ends
		wal := filepath.Join(dir, "raft", "wal")
		segment, meta := filepath.Join(wal, filepath.Base(files[0])), filepath.Join(wal, "wal-meta.db")
		err := errors.Join(os.MkdirAll(wal, 0o700), os.WriteFile(segment, entries, 0o600), os.WriteFile(meta, list, 0o600), damage(segment, meta))
		if err != nil {
			t.Fatal(err)
		}
		s, err := onDisk(dir, io.Discard)
		if err == nil {
			t.Errorf("%s: not found", name)
			_ = s.close()
		} else if !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFoundingThatACrashCutShort begins where a server was killed between the two writes that found a cluster.
func TestFoundingThatACrashCutShort(t *testing.T) {
	dir := t.TempDir()
	s, err := onDisk(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.stable.SetUint64(currentTerm, 1), s.close()); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.start(member("s0", "10.0.0.1:8300", 1), dir)
		if _, err := l.leads().Apply(t.Context(), verb.Options{}, register("n1", "web")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTwoClustersInOnePool lets a server that has founded a cluster of its own, and has a higher term, meet another one.
func TestTwoClustersInOnePool(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		alone := newLab(t)
		for range 3 { // each start is a term
			alone.start(member("s9", "10.0.0.9:8300", 1), dir)
			if _, err := alone.leads().Apply(t.Context(), verb.Options{}, register("n9", "web")); err != nil {
				t.Fatal(err)
			}
			alone.leads().stop()
		}
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), "")
		if _, err := h.Apply(t.Context(), verb.Options{}, register("n1", "web")); err != nil {
			t.Fatal(err)
		}
		l.eventually("its cluster has a name", func() bool { return l.pool.Members()[0].Cluster != "" })
		other := l.start(member("s9", "10.0.0.9:8300", 1), dir)
		time.Sleep(2 * reconcileInterval)
		for _, s := range []struct {
			*host
			want []string
		}{{h, []string{"n1"}}, {other, []string{"n9"}}} {
			a, err := s.Query(t.Context(), verb.Options{}, catalog.Nodes{})
			if err != nil || !slices.Contains(nodes(a), s.want[0]) || s.voters() != 1 {
				t.Errorf("%s has %d voters and knows %v, want its own and %v; %v", s.name, s.voters(), nodes(a), s.want, err)
			}
		}
	})
}

// TestWhatIsCommittedIsNotOverwritten asks a log for what only a leader of another cluster asks for.
func TestWhatIsCommittedIsNotOverwritten(t *testing.T) {
	s, err := onDisk(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	var logs []*raft.Log
	for i := range uint64(9) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: []byte{byte(i)}})
	}
	if err := s.logs.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	s.keep(func() uint64 { return 5 })
	if err := s.logs.DeleteRange(5, 9); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("committed entries were cut off: %v", err)
	}
	for _, ok := range [][2]uint64{{6, 9}, {1, 2}} { // what is not committed, and what a snapshot holds
		if err := s.logs.DeleteRange(ok[0], ok[1]); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
}

// TestFullDisk lets the disk run full and become free again. What is refused changes nothing, and nothing must be started anew.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), dir)
		l.leads()
		var left atomic.Uint64
		h.storage.room.free = func(string) (uint64, error) { return left.Load(), nil }
		write := func() error {
			_, err := h.Apply(t.Context(), verb.Options{}, register("n1", "web"))
			return err
		}
		for _, n := range []uint64{roomForClients - 1, 0} {
			left.Store(n)
			if err := write(); api.StatusOf(err) != 507 || !strings.Contains(err.Error(), dir) {
				t.Errorf("%d bytes are left: %v", n, err)
			}
			if !h.Ready() {
				t.Errorf("%d bytes are left, and it does not lead any more", n)
			}
		}
		if err := h.storage.logs.StoreLog(&raft.Log{Index: h.Raft().LastIndex() + 1}); err == nil || !strings.Contains(err.Error(), "is full") {
			t.Errorf("the log took an entry: %v", err)
		}
		left.Store(roomForClients)
		if err := write(); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	})
}

// A log that cannot be read is left as it is, and nothing stays open.
func TestDamagedLogIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.start(member("s0", "10.0.0.1:8300", 1), dir)
		l.leads().stop()
		files, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		if err := os.WriteFile(files[0], []byte("garbage that is no segment of a log"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = New(Options{
			NodeID: nodeID("s0"), NodeName: "s0", Datacenter: "dc1", DataDir: dir, BootstrapExpect: 1,
			Members: seenBy{l.pool, "s0"}, Authorizer: acl.Open{},
			Logger: slog.New(slog.DiscardHandler), RaftLog: hclog.NewNullLogger(), LogOutput: io.Discard,
		})
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v", err)
		}
		if got, _ := os.ReadFile(files[0]); string(got) != "garbage that is no segment of a log" {
			t.Error("the damaged file was overwritten")
		}
		if left := openFiles(t, dir); len(left) > 0 {
			t.Errorf("still open: %v", left)
		}
	})
}
