package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// load is steady use of the cluster through its client agents, of which nothing may fail.
type load struct {
	w      *world
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	acked  []string
	failed []string
	reads  int
	worst  time.Duration // that a write has taken
}

// startLoad has each client agent asked by some who write and some who read in each mode.
func startLoad(w *world, name string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{w: w, cancel: cancel}
	for _, m := range w.members {
		if m.server {
			continue
		}
		for i := range 3 {
			l.done.Go(func() { l.write(ctx, m, fmt.Sprint(name, "/", m.Name, "/", i, "/")) })
			mode := []string{byDefault, consistent, stale}[i]
			l.done.Go(func() { l.read(ctx, m, mode) })
		}
	}
	w.t.Cleanup(func() { l.cancel(); l.done.Wait() })
	return l
}

// pace is how long each of them rests.
const pace = 5 * time.Millisecond

func (l *load) write(ctx context.Context, m *member, prefix string) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s%06d", prefix, i)
		began := time.Now()
		err := m.API.KV().Put(context.Background(), &api.KVPair{Key: key, Value: []byte(key)}, nil)
		l.tell(time.Since(began), key, err)
		time.Sleep(pace)
	}
}

func (l *load) read(ctx context.Context, m *member, mode string) {
	for ctx.Err() == nil {
		_, _, err := m.API.KV().Get(context.Background(), "some", &api.QueryOptions{Mode: modes[mode]})
		if err != nil {
			err = fmt.Errorf("%s read at %s: %w", mode, m.Name, err)
		}
		l.tell(0, "", err)
		time.Sleep(pace)
	}
}

func (l *load) tell(took time.Duration, key string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst = max(l.worst, took)
	switch {
	case err != nil:
		l.failed = append(l.failed, fmt.Sprint(key, " ", err))
	case key != "":
		l.acked = append(l.acked, key)
	default:
		l.reads++
	}
}

// end stops the load and fails the test if anything of it has, or if a write is lost. It returns the longest that a write took.
func (l *load) end(what string) time.Duration {
	l.w.t.Helper()
	l.cancel()
	l.done.Wait()
	for i, f := range l.failed {
		if i < 5 {
			l.w.t.Errorf("%s: failed: %s", what, f)
		}
	}
	there := map[string]bool{}
	pairs, _, err := l.w.members[0].API.KV().List(l.w.t.Context(), "", &api.QueryOptions{Mode: api.Consistent})
	if err != nil {
		l.w.t.Fatal(err)
	}
	for _, p := range pairs {
		there[p.Key] = string(p.Value) == p.Key
	}
	lost := 0
	for _, key := range l.acked {
		if !there[key] {
			lost++
		}
	}
	l.w.t.Logf("%s: %d writes, the longest %v; %d reads; %d of all failed", what, len(l.acked), l.worst.Round(time.Millisecond), l.reads, len(l.failed))
	if lost > 0 || len(l.failed) > 0 {
		l.w.t.Errorf("%s: %d of %d writes are lost, %d requests have failed", what, lost, len(l.acked), len(l.failed))
	}
	return l.worst
}

// back starts a server and waits until it has what the others have, so that the next one may go.
func (w *world) back(m *member) {
	w.t.Helper()
	m.start()
	mark := fmt.Sprint("back/", m.Name, "/", m.life.Load())
	testutil.Eventually(w.t, "a write through "+m.Name, func(ctx context.Context) error {
		return m.API.KV().Put(ctx, &api.KVPair{Key: mark}, nil)
	})
	testutil.Eventually(w.t, "that write at "+m.Name+" itself", func(ctx context.Context) error {
		p, _, err := m.API.KV().Get(ctx, mark, &api.QueryOptions{Mode: api.Stale})
		if err == nil && p == nil {
			err = fmt.Errorf("%s is not there", mark)
		}
		return err
	})
}

// TestServersGoAndComeBack takes servers away under steady load, in good order and not. Nobody who asks a client agent may notice more
// than that a write takes its time.
func TestServersGoAndComeBack(t *testing.T) {
	w := newWorld(t, 1, 3, 2)
	defer w.stop()
	r := rand.New(rand.NewPCG(1, 1))

	t.Run("all of them are restarted, one after the other", func(t *testing.T) {
		w.t = t
		l := startLoad(w, "rolling")
		for _, s := range w.servers() {
			s.Stop()
			w.back(s)
		}
		if worst := l.end("rolling restart"); worst > time.Second {
			t.Errorf("a write took %v", worst)
		}
	})

	t.Run("the leader is told to end", func(t *testing.T) {
		w.t = t
		l := startLoad(w, "term")
		leader := w.leader(r)
		leader.Stop()
		time.Sleep(time.Second)
		w.back(leader)
		if worst := l.end("SIGTERM of the leader"); worst > time.Second {
			t.Errorf("a write took %v", worst)
		}
	})

	t.Run("the leader is killed", func(t *testing.T) {
		w.t = t
		l := startLoad(w, "kill")
		leader := w.leader(r)
		leader.Kill()
		time.Sleep(3 * time.Second)
		w.back(leader)
		// A loaded machine may need another election; what is aimed at is 2 s.
		if worst := l.end("the leader killed"); worst > 4*time.Second {
			t.Errorf("a write took %v", worst)
		}
	})

	t.Run("a write waits for servers to come back, within its deadline", func(t *testing.T) {
		w.t = t
		client := w.members[len(w.members)-1]
		all := w.servers()
		all[0].Kill()
		all[1].Kill()
		put := func(key string, patience time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			err := client.API.KV().Put(ctx, &api.KVPair{Key: key}, nil)
			return time.Since(began), err
		}
		if took, err := put("impatient", 300*time.Millisecond); err == nil || took > time.Second {
			t.Errorf("a write that cannot wait was answered after %v: %v", took, err)
		}
		waited := make(chan error, 1)
		go func() {
			_, err := put("patient", testutil.Patience)
			waited <- err
		}()
		time.Sleep(time.Second)
		w.back(all[0])
		if err := <-waited; err != nil {
			t.Errorf("a write that can wait was refused: %v", err)
		}
		w.back(all[1])
	})
}
