package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// sleepers is how many readers wait for one service.
const sleepers = 1000

// waking is a crowd of readers that all wait for the same service.
type waking struct {
	agent *agent
	once  sync.Once
	mu    sync.Mutex // one change at a time
	flips int
	woken chan error
}

// work changes the service and waits until all readers have been told. Its CPU time is that of all of them.
func (w *waking) work() work {
	return work{"wake-1000", w.prepare, func(int, int) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.change()
	}}
}

// prepare has everybody wait. They go on to wait when the work is done, until the program ends.
func (w *waking) prepare() (err error) {
	w.once.Do(func() {
		w.woken = make(chan error, sleepers)
		if err = w.agent.catalog("bench-wake", 0); err != nil {
			return
		}
		for range sleepers {
			go w.read()
		}
		err = w.all() // the first answers, which wait for nothing
	})
	return err
}

// change lets the service's check fail or pass.
func (w *waking) change() error {
	w.flips++
	status := []string{"passing", "critical"}[w.flips%2]
	err := w.agent.putJSON("/v1/catalog/register", map[string]any{
		"Node": "bench-wake-node-0", "SkipNodeUpdate": true,
		"Check": map[string]any{"CheckID": "alive", "Name": "alive", "Status": status, "ServiceID": "bench-wake"},
	})
	if err != nil {
		return err
	}
	return w.all()
}

// all waits until every reader has had an answer.
func (w *waking) all() error {
	for range sleepers {
		if err := <-w.woken; err != nil {
			return err
		}
	}
	return nil
}

// read waits for one change after the other.
func (w *waking) read() {
	index := "0"
	for {
		next, err := w.next(index)
		w.woken <- err
		if err != nil {
			return
		}
		index = next
	}
}

func (w *waking) next(index string) (string, error) {
	url := w.agent.url + "/v1/health/service/bench-wake?wait=10m&index=" + index
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// Its own connection, which is kept, and no limit in time.
	resp, err := (&http.Client{Transport: w.agent.client.Transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("a waiting read: %s", resp.Status)
	}
	return resp.Header.Get("X-Consul-Index"), nil
}
