package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is what a client asked, and what it was answered.
type operation struct {
	Client   int           `json:"client"`
	Agent    string        `json:"agent"`
	Life     int           `json:"life"` // how often the agent had been started when it was asked
	Called   time.Duration `json:"called"`
	Returned time.Duration `json:"returned"`
	In       input         `json:"in"`
	Out      output        `json:"out"`
}

// history is what all clients saw.
type history struct {
	began time.Time

	mu  sync.Mutex
	ops []operation // guarded by mu
}

func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

func (h *history) all() []operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops
}

// keys are all that were written, or asked for.
func (h *history) keys() []string {
	var out []string
	seen := map[string]bool{}
	for _, o := range h.all() {
		if !seen[o.In.Key] {
			seen[o.In.Key] = true
			out = append(out, o.In.Key)
		}
	}
	return out
}

// check returns what is wrong with the history.
func (h *history) check(dir string) []string {
	var wrong []string
	switch result, info := porcupine.CheckOperationsVerbose(model, operations(h.all()), checkTime); result {
	case porcupine.Illegal:
		wrong = append(wrong, "the history has no order: an acknowledged write is lost, or a read saw what was over")
		if err := draw(dir, info); err != nil {
			wrong = append(wrong, err.Error())
		}
	case porcupine.Unknown:
		wrong = append(wrong, fmt.Sprintf("whether the history has an order was not decided in %v", checkTime))
	}
	return append(wrong, backwards(h.all())...)
}

func draw(dir string, info porcupine.LinearizationInfo) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return porcupine.VisualizePath(model, info, filepath.Join(dir, "history.html"))
}

// backwards finds reads in which a client saw a key's index go back at one agent, in one life of it. A client agent that reaches only a
// server that is behind may answer by that one, if it says so.
func backwards(ops []operation) []string {
	type place struct {
		client, life int
		agent, key   string
		mode         string
	}
	last := map[place]operation{}
	var wrong []string
	for _, o := range ops {
		if o.In.Kind != get || o.Out.Unknown || o.Out.Old {
			continue
		}
		p := place{o.Client, o.Life, o.Agent, o.In.Key, o.In.Mode}
		before, ok := last[p]
		if ok && o.Called < before.Returned {
			continue // they overlap: either may have been first
		}
		if ok && o.Out.Index < before.Out.Index {
			wrong = append(wrong, fmt.Sprintf("client %d at %s: the index of a %s read of %s went back from %d (at %v) to %d (at %v)",
				o.Client, o.Agent, o.In.Mode, o.In.Key, before.Out.Index, before.Returned, o.Out.Index, o.Returned))
		}
		last[p] = o
	}
	return wrong
}

// write keeps the history for people.
func (h *history) write(dir string) error {
	data, err := json.Marshal(h.all())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "history.json"), data, 0o600)
}
