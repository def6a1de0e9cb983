package watcher

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/parleymesh/parley/api"
)

// Group is the watches of an agent. They change when its configuration is read again.
type Group struct {
	client *api.Client
	token  func() string
	log    *slog.Logger

	mu      sync.Mutex // guards running
	running map[string]*run
}

// run is a watch that runs.
type run struct {
	stop context.CancelFunc
	done chan struct{}
}

// NewGroup returns one without watches. Those that name no token use the one that token returns when they start.
func NewGroup(client *api.Client, token func() string, log *slog.Logger) *Group {
	return &Group{client: client, token: token, log: log, running: map[string]*run{}}
}

// Set replaces the watches. Those that are the same as before go on undisturbed; those that are gone have ended when it
// returns, and what they ran is killed.
func (g *Group) Set(watches []*Watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wanted := map[string]*Watch{}
	for _, w := range watches {
		key := w.key
		for n := 2; wanted[key] != nil; n++ { // the same twice is told twice
			key = fmt.Sprintf("%s #%d", w.key, n)
		}
		wanted[key] = w
	}
	var ending []*run
	for key, r := range g.running {
		if wanted[key] == nil {
			r.stop()
			ending = append(ending, r)
			delete(g.running, key)
		}
	}
	for _, r := range ending {
		<-r.done
	}
	for key, w := range wanted {
		if g.running[key] == nil {
			g.running[key] = g.start(w)
		}
	}
}

func (g *Group) start(w *Watch) *run {
	watch := *w
	if watch.Token == "" {
		watch.Token = g.token()
	}
	handler := watch.Handler
	if s, ok := handler.(*Script); ok {
		told := *s
		told.Said = func(output string) {
			g.log.Debug("watch handler said", "component", "watch", "type", watch.Type, "handler", s, "output", output)
		}
		handler = &told
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		watch.Run(ctx, g.client, handler, g.log)
	}()
	return r
}

// Close ends all watches and waits for them.
func (g *Group) Close() { g.Set(nil) }
