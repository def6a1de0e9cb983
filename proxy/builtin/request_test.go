package builtin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/builtin"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/testutil/meshcases"
)

// written is a log that may be read while it is written.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestRulesByRequestAreRefusedByName: the proxy sees no requests, so it lets nobody pass whom a permission might not.
func TestRulesByRequestAreRefusedByName(t *testing.T) {
	w := meshcases.NewWorld(t, embedded{})
	w.Rules(snapshot.Rule{ID: "intention:web->db", Why: "intention web -> db (precedence 9) decides by HTTP request", Source: "web", HTTP: true,
		Permissions: []api.IntentionPermission{{Action: api.Allow, HTTP: &api.IntentionHTTP{PathPrefix: "/"}}}})
	ctx, cancel := context.WithCancel(context.Background())
	var log written
	var running sync.WaitGroup
	running.Go(func() {
		if err := builtin.Run(ctx, builtin.Options{
			Source: w.Source, ProxyID: meshcases.DBProxy, Logger: slog.New(slog.NewTextHandler(&log, nil)), Drain: drain,
		}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	w.Listens(w.Public)
	web := w.Authority.Leaf(t, "web")
	if got, _, err := w.Direct(&web, nil, 5*time.Second); err == nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	w.Eventually("the reason in the log", func() error {
		if text := log.String(); !strings.Contains(text, "connection denied") || !strings.Contains(text, "HTTP permissions and tokens") {
			return fmt.Errorf("it is not in %s", text)
		}
		return nil
	})
}
