// Package watcher follows a view of what the servers or an agent know, by blocking queries of the HTTP API, and hands it to a
// handler each time it changes: a program, or a URL. The agent's configuration and `parley watch` say what is followed.
//
// A handler never runs beside itself: while it is at work, changes gather, and the next run sees the latest of them.
package watcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/parleymesh/parley/api"
)

// Change is what a handler is called with.
type Change struct {
	// JSON is the view as it is now; of events, those that are new.
	JSON []byte
	// Index is what the view was waited for by; Hash for what the agent alone knows, which has no index.
	Index uint64
	Hash  string
}

// Handler is told of changes.
type Handler interface {
	// Handle returns once it has done its work, or when ctx ends.
	Handle(ctx context.Context, c Change) error
}

const (
	// retryFirst and retryMost bound the pauses after failures.
	retryFirst = time.Second
	retryMost  = time.Minute
	// calm is how soon an answer that is no news may come. One that comes sooner did not wait, and is not asked for at
	// once again.
	calm = time.Second
)

// Run follows the view until ctx ends. What fails is logged and tried again.
func (w *Watch) Run(ctx context.Context, client *api.Client, h Handler, log *slog.Logger) {
	log = log.With("component", "watch", "type", w.Type)
	f := &follower{watch: w, client: client}
	pause := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		change, err := f.next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = min(max(retryFirst, 2*pause), retryMost)
			log.Warn("watch failed, it is tried again", "err", err, "next", pause)
			sleep(ctx, pause/2+rand.N(pause/2+1))
			continue
		case change == nil:
			if time.Since(began) < calm {
				sleep(ctx, calm)
			}
		default:
			if err := h.Handle(ctx, *change); err != nil && ctx.Err() == nil {
				log.Error("watch handler failed", "handler", h, "err", err)
			}
		}
		pause = 0
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Once reads the view as it is now.
func (w *Watch) Once(ctx context.Context, client *api.Client) (Change, error) {
	c, err := (&follower{watch: w, client: client}).next(ctx)
	if err != nil {
		return Change{}, err
	}
	return *c, nil
}

// follower is how far a view has been followed.
type follower struct {
	watch  *Watch
	client *api.Client

	index uint64 // to wait by
	hash  string
	began bool
	last  []byte // what was handed on last
	event string // the id of the last one
}

// next waits for the view to be another and returns the change; nil when there is none after all. After an error the next
// answer comes at once, and is no change if the view is as before: a server that was set up anew counts from the beginning.
func (f *follower) next(ctx context.Context) (*Change, error) {
	w := f.watch
	q := &api.QueryOptions{Datacenter: w.Datacenter, Token: w.Token, Filter: w.view.filter}
	if w.view.stale {
		q.Mode = api.Stale
	}
	if w.view.byHash {
		q.WaitHash = f.hash
	} else {
		q.WaitIndex = f.index
	}
	body, meta, err := f.client.Read(ctx, w.view.path, q, w.view.params)
	if api.StatusOf(err) == 404 && w.view.absent != "" {
		body, err = []byte(w.view.absent), nil
	}
	if err == nil && w.view.pick != nil {
		body, err = w.view.pick(body)
	}
	if err != nil {
		f.index, f.hash = 0, ""
		return nil, err
	}
	index := f.index
	f.index, f.hash = meta.LastIndex, meta.Hash
	if meta.LastIndex < index && !w.view.unordered {
		f.index = 0 // the servers are others than before
	}
	body = bytes.TrimSpace(body)
	if f.began && bytes.Equal(body, f.last) {
		return nil, nil
	}
	c := &Change{JSON: body, Index: meta.LastIndex, Hash: meta.Hash}
	if w.view.news {
		if c.JSON, err = f.newEvents(body); err != nil {
			return nil, err
		}
	}
	f.began, f.last = true, body
	return c, nil
}

// newEvents cuts off what has been handed on before. When the last of that is not there any more, all is new.
func (f *follower) newEvents(body []byte) ([]byte, error) {
	var events []api.UserEvent
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, fmt.Errorf("read the list of events: %w", err)
	}
	for i, e := range events {
		if e.ID == f.event {
			events = events[i+1:]
			break
		}
	}
	if len(events) > 0 {
		f.event = events[len(events)-1].ID
	}
	return json.Marshal(events)
}
