package core_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/acl"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/verb"
)

// leading is a core alone and in memory, which leads: what is measured is ours and raft's, not the disk's.
func leading(b *testing.B) *core.Core {
	b.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger, cfg.BatchApplyCh = "s1", hclog.NewNullLogger(), true
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	addr, transport := raft.NewInmemTransport("s1")
	logs, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	alone := raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: addr}}}
	if err := raft.BootstrapCluster(cfg, logs, logs, snapshots, transport, alone); err != nil {
		b.Fatal(err)
	}
	c, err := core.New(core.Options{
		Datacenter: "dc1", Authorizer: acl.Open{}, Logger: slog.New(slog.DiscardHandler),
		Types: core.NewTypes([]verb.Command{kv.Put{}, catalog.Register{}}, []verb.Query{kv.Get{}, catalog.Health{}}),
		Raft:  cfg, Logs: logs, Stable: logs, Snapshots: snapshots, Transport: transport,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	// The first write is held until there is a leader.
	apply(b, c, kv.Put{Key: "first"})
	return c
}

func apply(b *testing.B, c *core.Core, cmd verb.Command) {
	if _, err := c.Apply(b.Context(), verb.Options{}, cmd); err != nil {
		b.Fatal(err)
	}
}

func ask(b *testing.B, c *core.Core, q verb.Query, rows int) {
	a, err := c.Query(b.Context(), verb.Options{}, q)
	if err != nil || len(a.Rows) != rows {
		b.Fatalf("%d rows of %d: %v", len(a.Rows), rows, err)
	}
}

// instance is the nth instance of web, on a node of its own, with a check.
func instance(n int, status string) catalog.Register {
	return catalog.Register{Registration: api.Registration{
		Node: fmt.Sprintf("node-%d", n), Address: "10.0.0.1", Service: &api.Service{Service: "web", Port: 80},
		Checks: []api.Check{{CheckID: "alive", Name: "alive", Status: status, ServiceID: "web"}},
	}}
}

func BenchmarkKVPut(b *testing.B) {
	c, value := leading(b), make([]byte, 512)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			apply(b, c, kv.Put{Key: fmt.Sprintf("k/%d", n%1000), Value: value})
		}
	})
	// Many at a time share batches of the log.
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for n := 0; pb.Next(); n++ {
				if _, err := c.Apply(b.Context(), verb.Options{}, kv.Put{Key: fmt.Sprintf("k/%d", n%1000), Value: value}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkKVGet(b *testing.B) {
	c := leading(b)
	b.ReportAllocs()
	for b.Loop() {
		ask(b, c, kv.Get{Key: "first"}, 1)
	}
}

func BenchmarkCatalogRegister(b *testing.B) {
	c := leading(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		apply(b, c, instance(n, api.Passing))
	}
}

// What a read of 100 instances takes when nothing has changed, and a read with the change of a check before each.
func BenchmarkHealth100(b *testing.B) {
	c := leading(b)
	for n := range 100 {
		apply(b, c, instance(n, api.Passing))
	}
	b.Run("unchanged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, c, catalog.Health{Service: "web"}, 100)
		}
	})
	b.Run("flapping", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			apply(b, c, instance(n%100, []string{api.Passing, api.Critical}[n/100%2]))
			ask(b, c, catalog.Health{Service: "web"}, 100)
		}
	})
}
