package feature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// writer puts numbered keys until it is stopped, and remembers which were acknowledged.
type writer struct {
	prefix string
	acked  []string
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func startWriter(a *testutil.Agent, prefix string) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{prefix: prefix, stop: cancel}
	w.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("%s/%06d", prefix, i)
			if err := a.API.KV().Put(ctx, &api.KVPair{Key: key, Value: []byte(key)}, nil); err == nil {
				w.acked = append(w.acked, key)
			} else {
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}
	})
	return w
}

// end stops the writer and returns what was acknowledged.
func (w *writer) end() []string {
	w.stop()
	w.done.Wait()
	return w.acked
}

// missing returns which of the keys an agent does not have, or has with another value.
func missing(t *testing.T, a *testutil.Agent, prefix string, keys []string) []string {
	t.Helper()
	var pairs []api.KVPair
	testutil.Eventually(t, "reading the keys back", func(ctx context.Context) (err error) {
		pairs, _, err = a.API.KV().List(ctx, prefix+"/", nil)
		if err == nil && len(pairs) == 0 && len(keys) > 0 {
			err = errors.New("no keys")
		}
		return err
	})
	have := map[string]string{}
	for _, p := range pairs {
		have[p.Key] = string(p.Value)
	}
	var out []string
	for _, k := range keys {
		if have[k] != k {
			out = append(out, k)
		}
	}
	return out
}

// TestKillLosesNothing kills a server with a data directory under writes, many times: what was acknowledged is there.
func TestKillLosesNothing(t *testing.T) {
	a := testutil.Durable(t, "durable", "-server", "-bootstrap-expect=1")
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	var acked []string
	for round := range rounds {
		a.Start()
		a.WaitLeader()
		if lost := missing(t, a, "kill", acked); len(lost) > 0 {
			t.Fatalf("round %d: %d of %d acknowledged writes are lost, the first is %s", round, len(lost), len(acked), lost[0])
		}
		w := startWriter(a, fmt.Sprintf("kill/%02d", round))
		time.Sleep(time.Duration(50+37*round%200) * time.Millisecond) // the moment of the kill is any
		a.Kill()
		got := w.end()
		if len(got) == 0 {
			t.Fatalf("round %d: nothing was written", round)
		}
		acked = append(acked, got...)
	}
	t.Logf("%d acknowledged writes survived %d kills", len(acked), rounds)
}

// TestRestartKeepsEverything restarts a server in good order.
func TestRestartKeepsEverything(t *testing.T) {
	a := testutil.Durable(t, "durable", "-server", "-bootstrap-expect=1")
	a.Start()
	a.WaitLeader()
	a.Must("kv", "put", "a/b", "c")
	a.Must("services", "register", "-name=web", "-port=80", "-tag=v1")
	a.Must("intention", "create", "-allow", "web", "db")
	roots, _, err := a.API.Agent().Roots(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Stop()
	a.Start()
	a.WaitLeader()
	if got := a.Must("kv", "get", "a/b"); got != "c\n" {
		t.Errorf("kv: %q", got)
	}
	if out := a.Must("intention", "check", "web", "db"); !strings.Contains(out, "Allowed") {
		t.Errorf("intention: %q", out)
	}
	services, _, err := a.API.Agent().Services(t.Context(), nil)
	if err != nil || services["web"].Port != 80 {
		t.Errorf("services: %v, %v", services, err)
	}
	testutil.Eventually(t, "web in the catalog", func(ctx context.Context) error {
		found, _, err := a.API.Catalog().Service(ctx, "web", []string{"v1"}, nil)
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d instances", len(found))
		}
		return err
	})
	again, _, err := a.API.Agent().Roots(t.Context(), nil)
	if err != nil || again.ActiveRootID != roots.ActiveRootID || again.TrustDomain != roots.TrustDomain {
		t.Errorf("the root has changed: %v, %v", again.ActiveRootID, err)
	}
}

// TestCorruptFile refuses registrations that cannot be read, names their file, and leaves it alone.
func TestCorruptFile(t *testing.T) {
	a := testutil.Durable(t, "durable", "-server", "-bootstrap-expect=1")
	a.Start()
	a.WaitLeader()
	a.Must("services", "register", "-name=web", "-port=80")
	a.Must("services", "register", "-name=db", "-port=81")
	a.Stop()
	file := filepath.Join(a.DataDir, "local", "registrations")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Replace(good, []byte(`"Port":80`), []byte(`"Port":90`), 1)
	for _, bad := range [][]byte{[]byte(`{"ver`), flipped} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		before := a.Log()
		a.Start()
		if code := a.ExitCode(); code != 1 {
			t.Errorf("exit status %d", code)
		}
		if said := strings.TrimPrefix(a.Log(), before); !strings.Contains(said, file) || !strings.Contains(said, "at offset") {
			t.Errorf("the file is not named: %s", said)
		}
		if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, bad) {
			t.Errorf("the file was changed: %q, %v", data, err)
		}
	}
}

// TestKillLosesNoRegistration kills an agent while several clients register services with it, many times: those that were acknowledged
// are there, each whole.
func TestKillLosesNoRegistration(t *testing.T) {
	a := testutil.Durable(t, "durable", "-server", "-bootstrap-expect=1")
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	acked := map[string]bool{}
	for round := range rounds {
		a.Start()
		a.WaitLeader()
		services, _, err := a.API.Agent().Services(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		checks, _, err := a.API.Agent().Checks(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for id := range acked {
			if _, ok := services[id]; !ok {
				t.Fatalf("round %d: %s of %d acknowledged registrations is lost", round, id, len(acked))
			}
		}
		for id := range services {
			if _, ok := checks["service:"+id]; !ok {
				t.Errorf("round %d: %s is there without its check", round, id)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		var clients sync.WaitGroup
		for client := range 8 {
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					def := &api.ServiceDefinition{Name: fmt.Sprintf("s-%d-%d-%d", round, client, i), Port: 80, Check: &api.CheckDefinition{TTL: api.Duration(time.Hour)}}
					if a.API.Agent().RegisterService(ctx, def, false, nil) != nil {
						return
					}
					mu.Lock()
					acked[def.Name] = true
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(50+37*round%100) * time.Millisecond) // the moment of the kill is any
		a.Kill()
		stop()
		clients.Wait()
	}
	if len(acked) == 0 {
		t.Error("nothing was registered")
	}
	t.Logf("%d acknowledged registrations survived %d kills", len(acked), rounds)
}
