package check

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// Runner runs one check: at once when it starts, then at its interval, the phase of which is random, so that checks
// that were registered together do not run together for ever.
type Runner struct {
	id        string
	probe     Probe
	interval  time.Duration
	timeout   time.Duration
	maxOutput int
	update    Update

	hurry  chan struct{} // has an element when the target may have come up
	cancel context.CancelFunc
	done   sync.WaitGroup

	// Only the runner's goroutine uses these.
	status    string
	threshold threshold
}

// NewRunner starts a check that Validate accepts, of any kind but TTL. Its status until now is where the thresholds
// start from. The caller calls Close.
func NewRunner(id, status string, def *api.CheckDefinition, o Options) *Runner {
	o = o.withDefaults()
	r := &Runner{
		id:        id,
		probe:     newProbe(def, o),
		interval:  time.Duration(def.Interval),
		timeout:   timeoutOf(def),
		maxOutput: o.outputMaxSize(def),
		update:    o.Update,
		status:    status,
		threshold: newThreshold(def),
		hurry:     make(chan struct{}, 1),
	}
	if r.interval < minInterval {
		o.Logger.Warn("check interval is too short, running less often", "check", id, "interval", r.interval, "runs_every", minInterval)
		r.interval = minInterval
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.done.Go(func() { r.loop(ctx) })
	return r
}

func newProbe(def *api.CheckDefinition, o Options) Probe {
	switch KindOf(def) {
	case KindHTTP:
		return newHTTPProbe(def, o)
	case KindTCP:
		return newTCPProbe(def, o)
	case KindUDP:
		return newUDPProbe(def, o)
	case KindGRPC:
		return newGRPCProbe(def, o)
	case KindH2Ping:
		return newH2PingProbe(def, o)
	case KindScript:
		return newScriptProbe(def, o)
	}
	return refusal("this agent cannot run a check of kind " + KindOf(def))
}

// refusal is the probe of a check that was accepted once and cannot be run now.
type refusal string

func (r refusal) Run(context.Context) (status, output string) { return api.Critical, string(r) }

func timeoutOf(def *api.CheckDefinition) time.Duration {
	if def.Timeout > 0 {
		return time.Duration(def.Timeout)
	}
	switch KindOf(def) {
	case KindScript:
		return defaultScriptTimeout
	case KindUDP:
		return defaultUDPWait
	}
	return defaultTimeout
}

// A check in a hurry is run again after the first pause, then after pauses of double the length up to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 32 * firstPause
)

func (r *Runner) loop(ctx context.Context) {
	r.once(ctx)
	timer := time.NewTimer(rand.N(r.interval))
	defer timer.Stop()
	var soon <-chan time.Time
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			// Set before the run: what the run takes does not move the phase.
			timer.Reset(r.interval)
			r.once(ctx)
		case <-r.hurry:
			pause = firstPause
			soon = time.After(pause)
		case <-soon:
			soon = nil
			if r.status == api.Passing {
				continue
			}
			r.once(ctx)
			if r.status != api.Passing && pause < lastPause {
				pause *= 2
				soon = time.After(pause)
			}
		}
	}
}

// Hurry runs a check that does not pass again soon, a few times: its target is about to come up, and need not wait for the
// interval to be found well.
func (r *Runner) Hurry() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

func (r *Runner) once(ctx context.Context) {
	runCtx, cancel := context.WithTimeout(ctx, r.timeout)
	result, output := r.probe.Run(runCtx)
	cancel()
	if ctx.Err() != nil {
		return // closed meanwhile: the result says nothing about the target
	}
	r.status = r.threshold.next(r.status, result)
	r.update(r.id, r.status, Bound(output, r.maxOutput))
}

// Close stops the check and waits for a run that is under way, whose result is not reported.
func (r *Runner) Close() {
	r.cancel()
	r.done.Wait()
}

// Bound cuts a check's output to max bytes, and makes it text that has an encoding in JSON.
func Bound(output string, max int) string {
	if len(output) > max {
		output = output[:max]
	}
	return strings.ToValidUTF8(output, "")
}
