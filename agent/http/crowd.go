package http

import (
	"runtime/debug"
	"time"
)

// crowd is how many readers make one: some tens of megabytes.
const crowd = 1000

// calmTime is how long a crowd must be gone. Those whom a change has woken come back within milliseconds.
const calmTime = 2 * time.Second

// dispersal gives memory back to the system when a crowd of readers has gone. Left to itself, an agent that has little to do
// afterwards does not collect for minutes, and keeps what thousands of connections needed.
type dispersal struct {
	peak    int64 // of those that waited at a time, since memory was given back
	timer   *time.Timer
	closed  bool
	release func() // nil: the runtime's
}

// gone notes how many are left after one has gone, and sees after a while whether a crowd has. It is called with waiters.mu held.
func (w *waiters) gone() {
	d := &w.dispersal
	if d.closed || d.timer != nil || d.peak < crowd || w.all > d.peak/4 {
		return
	}
	d.timer = time.AfterFunc(calmTime, func() {
		w.mu.Lock()
		d.timer = nil
		calm := w.all <= d.peak/4 && !d.closed
		if calm {
			d.peak = w.all
		}
		w.mu.Unlock()
		if !calm {
			return
		}
		if d.release != nil {
			d.release()
			return
		}
		debug.FreeOSMemory()
	})
}

// close forgets what it would have given back.
func (w *waiters) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dispersal.closed = true
	if w.dispersal.timer != nil {
		w.dispersal.timer.Stop()
	}
}
