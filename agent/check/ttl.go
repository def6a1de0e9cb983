package check

import (
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// ttlExpired is the output of a TTL check that nobody updated in time.
const ttlExpired = "TTL expired"

// TTL is a check that is told its status from outside, and turns critical by itself when it was not told for a while.
type TTL struct {
	id        string
	ttl       time.Duration
	maxOutput int
	update    Update

	mu       sync.Mutex // held while update is called, so that an expiry and a Set come in one order
	timer    *time.Timer
	deadline time.Time
	last     string // the output that was last set
	closed   bool
}

// NewTTL starts the time of a TTL check that Validate accepts. A check that comes back after a restart has a whole TTL
// before it is called critical: its service could not reach the agent meanwhile. The caller calls Close.
func NewTTL(id, output string, def *api.CheckDefinition, o Options) *TTL {
	o = o.withDefaults()
	t := &TTL{id: id, ttl: time.Duration(def.TTL), maxOutput: o.outputMaxSize(def), update: o.Update, last: output}
	t.mu.Lock() // expire may run before timer is set
	defer t.mu.Unlock()
	t.deadline = time.Now().Add(t.ttl)
	t.timer = time.AfterFunc(t.ttl, t.expire)
	return t
}

// Set reports a status and starts the time anew. After Close it does nothing.
func (t *TTL) Set(status, output string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.last = Bound(output, t.maxOutput)
	t.deadline = time.Now().Add(t.ttl)
	t.timer.Reset(t.ttl)
	t.update(t.id, status, t.last)
}

func (t *TTL) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A Set may have come between the timer's end and this line.
	if t.closed || time.Now().Before(t.deadline) {
		return
	}
	output := ttlExpired
	if t.last != "" {
		output += "; last output: " + t.last
	}
	t.update(t.id, api.Critical, Bound(output, t.maxOutput))
}

// Close stops the time.
func (t *TTL) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.timer.Stop()
}
