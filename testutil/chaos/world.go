// Package chaos takes a cluster of real agents, each on a host of its own, through bad days that a seed has thrown, while clients
// read, write and lock through all of them, and then asks of the history of what they saw: is there an order in which everything
// happened at once? It is told to people in website/docs/testing.md.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
	"github.com/parleymesh/parley/testutil/network"
)

// member is an agent on its host.
type member struct {
	*testutil.Agent
	host   *network.Host
	server bool
	life   atomic.Int32 // how often it was started
	down   bool         // on purpose
	disk   string       // a small one; empty for none
}

func (m *member) start() {
	if !m.Running() {
		m.life.Add(1)
		m.Start()
	}
	m.down = false
}

// world is a cluster and those who use it.
type world struct {
	t       testing.TB
	network *network.Network
	members []*member // servers first
	history *history

	unknown, refused atomic.Int64 // answers that nobody heard; refusals, and agents that were not there
}

// smallDisk is a server's that is to run full: room for what a server needs at the least, and a little more.
const smallDisk = 256 << 20

// newWorld starts a cluster. Its last server has a small disk.
func newWorld(t testing.TB, seed uint64, servers, clients int) *world {
	t.Helper()
	w := &world{t: t, network: network.New(t, seed), history: &history{}}
	hosts := map[string]*network.Host{}
	small := fmt.Sprintf("server-%d", servers)
	disk := t.TempDir()
	c := testutil.NewClusterOn(t, func(name string) testutil.Host {
		hosts[name] = w.network.Host(name)
		if name == small {
			if err := hosts[name].SmallDisk(disk, smallDisk); err != nil {
				t.Fatal(err)
			}
		}
		return hosts[name]
	}, servers, clients, func(name string) []string {
		if name == small {
			return []string{"-data-dir=" + disk}
		}
		return nil
	})
	for i, a := range c.All() {
		m := &member{Agent: a, host: hosts[a.Name], server: i < servers}
		if a.Name == small {
			m.disk = disk
		}
		m.life.Store(1)
		w.members = append(w.members, m)
	}
	return w
}

func (w *world) servers() []*member {
	var out []*member
	for _, m := range w.members {
		if m.server {
			out = append(out, m)
		}
	}
	return out
}

func hostsOf(members ...*member) []*network.Host {
	var out []*network.Host
	for _, m := range members {
		out = append(out, m.host)
	}
	return out
}

// leader is the server that says it leads; any of those that run when none does.
func (w *world) leader(r *rand.Rand) *member {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	all := w.servers()
	found := make(chan *member, len(all))
	var asking sync.WaitGroup
	for _, s := range all {
		asking.Go(func() {
			if self, _, err := s.API.Agent().Self(ctx, nil); err == nil && self.Stats["consul"]["leader"] == "true" {
				found <- s
				cancel()
			}
		})
	}
	asking.Wait()
	select {
	case s := <-found:
		return s
	default:
		return all[r.IntN(len(all))]
	}
}

// session makes a session that ends with nobody: what ends one is not what is tested here.
func (w *world) session(id int) string {
	var session string
	testutil.Eventually(w.t, "a session", func(ctx context.Context) (err error) {
		session, err = w.members[id%len(w.members)].API.Sessions().Create(ctx, &api.Session{
			Name: fmt.Sprint("client-", id), NodeChecks: []string{}, LockDelay: time.Nanosecond,
		}, nil)
		return err
	})
	return session
}

// clients starts those who use the cluster, some at each agent, and returns what ends them.
func (w *world) clients(r *rand.Rand, each int) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	w.history.began = time.Now()
	var all, pestering []*client
	for i, m := range w.members {
		pestering = append(pestering, &client{id: 100 + i, world: w, agent: m, random: rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))})
	}
	for i := range each * len(w.members) {
		all = append(all, &client{
			id: i, world: w, agent: w.members[i%len(w.members)], session: w.session(i), seen: map[string]api.KVPair{},
			random: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())),
		})
	}
	w.history.began = time.Now()
	for _, c := range all {
		running.Go(func() { c.run(ctx) })
	}
	for _, c := range pestering {
		running.Go(func() { c.pester(ctx) })
	}
	end = func() { cancel(); running.Wait() }
	w.t.Cleanup(end)
	return end
}

// recover ends all faults and waits until every agent answers again. It returns how long that took.
func (w *world) recover() time.Duration {
	w.t.Helper()
	w.heal()
	began := time.Now()
	for _, m := range w.members {
		testutil.Eventually(w.t, "an answer at "+m.Name, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, _, err := m.API.KV().Get(ctx, "probe", &api.QueryOptions{Mode: api.Consistent})
			return err
		})
	}
	return time.Since(began)
}

// readBack reads every key once more, as part of the history, and waits until all servers have the same.
func (w *world) readBack() {
	w.t.Helper()
	c := &client{id: 1000, world: w, agent: w.members[len(w.members)-1], seen: map[string]api.KVPair{}}
	for _, key := range w.history.keys() {
		c.do(input{Kind: get, Key: key, Mode: consistent})
	}
	testutil.Eventually(w.t, "all servers to have the same", func(ctx context.Context) error {
		var want, from string
		for _, s := range w.servers() {
			pairs, _, err := s.API.KV().List(ctx, "e", &api.QueryOptions{Mode: api.Stale})
			if err != nil {
				return err
			}
			switch got := fmt.Sprintf("%+v", pairs); {
			case from == "":
				want, from = got, s.Name
			case got != want:
				return fmt.Errorf("%s and %s differ", from, s.Name)
			}
		}
		return nil
	})
}

// stop ends all agents at once: how well they end in good order is asked elsewhere.
func (w *world) stop() {
	for _, m := range w.members {
		kill(m)
	}
}

// keep writes what is needed to understand a failure, and returns where.
func (w *world) keep(dir string, plan plan) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	errs := []error{w.history.write(dir), os.WriteFile(filepath.Join(dir, "plan.txt"), []byte(plan.String()), 0o600)}
	for _, m := range w.members {
		errs = append(errs, os.WriteFile(filepath.Join(dir, m.Name+".log"), []byte(m.Log()), 0o600))
	}
	return errors.Join(errs...)
}

// ended names the agents that have ended by themselves.
func (w *world) ended() []string {
	var out []string
	for _, m := range w.members {
		if !m.down && !m.Running() {
			log := m.Log()
			out = append(out, fmt.Sprintf("%s has ended by itself: %s", m.Name, log[max(0, len(log)-1000):]))
		}
		if strings.Contains(m.Log(), "panic:") {
			out = append(out, m.Name+" has panicked")
		}
	}
	return out
}
