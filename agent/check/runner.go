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

func (r *Runner) loop(ctx context.Context) {
	r.once(ctx)
	timer := time.NewTimer(rand.N(r.interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			// Set before the run: what the run takes does not move the phase.
			timer.Reset(r.interval)
			r.once(ctx)
		}
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
