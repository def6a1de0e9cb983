package builtin_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/proxy/builtin"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/testutil/meshcases"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embedded is the data plane of embedded proxies.
type embedded struct{}

// drain is short: what is cut is cut at once, only a stop waits.
const drain = 100 * time.Millisecond

// Drain implements meshcases.Dataplane.
func (embedded) Drain() time.Duration { return drain }

// Start implements meshcases.Dataplane.
func (embedded) Start(t testing.TB, source snapshot.Source, proxyID string) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
		if err := builtin.Run(ctx, builtin.Options{Source: source, ProxyID: proxyID, Logger: log, Drain: drain}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// TestCases are the cases that every data plane passes.
func TestCases(t *testing.T) { meshcases.Run(t, embedded{}) }
