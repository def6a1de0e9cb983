package remoteexec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// What a program prints is written down in pieces: all that has come since the last one, so that many lines are one write.
const (
	pieceEvery = 250 * time.Millisecond
	maxPiece   = 64 << 10 // bytes
	maxOutput  = 1 << 20  // bytes of one program; the rest is left out
	lastWrite  = 5 * time.Second
)

// output is what one program prints, on its way into keys.
type output struct {
	r     *runner
	a     announcement
	stop  func() // ends the program
	pause chan struct{}
	sent  sync.WaitGroup
	n     int // of the next piece; the sender's own

	mu    sync.Mutex // guards what follows
	buf   []byte
	total int
	cut   bool // something is left out
}

func (r *runner) newOutput(a announcement, stop func()) *output {
	o := &output{r: r, a: a, stop: stop, pause: make(chan struct{})}
	o.sent.Go(o.send)
	return o
}

// Write implements io.Writer. It never fails, so that no program is stopped for what it prints, and never waits for a server.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := maxOutput - o.total
	switch {
	case o.cut:
	case len(p) > left:
		o.buf = append(o.buf, p[:left]...)
		o.buf = fmt.Appendf(o.buf, "\n... the output beyond %d bytes is left out\n", maxOutput)
		o.cut = true
	default:
		o.buf = append(o.buf, p...)
		o.total += len(p)
	}
	return len(p), nil
}

// send writes pieces until the output is closed.
func (o *output) send() {
	tick := time.NewTicker(pieceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-o.pause:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
		err := o.flush(ctx)
		cancel()
		if errors.Is(err, errOver) {
			o.stop()
			return
		}
	}
}

// errOver tells that the session is gone, and with it whoever asked.
var errOver = errors.New("nobody asks for this job any more")

// flush writes what has come. What cannot be written stays for the next time.
func (o *output) flush(ctx context.Context) error {
	for {
		o.mu.Lock()
		piece := o.buf[:min(len(o.buf), maxPiece)]
		o.mu.Unlock()
		if len(piece) == 0 {
			return nil
		}
		if err := o.write(ctx, o.a.place().out(o.r.o.Node, o.n), piece); err != nil {
			return err
		}
		o.n++
		o.mu.Lock()
		o.buf = o.buf[len(piece):]
		o.mu.Unlock()
	}
}

func (o *output) write(ctx context.Context, key string, value []byte) error {
	pair := &api.KVPair{Key: key, Value: value, Session: o.a.Session}
	ok, err := o.r.o.Client.KV().Acquire(ctx, pair, &api.WriteOptions{Token: o.r.o.Token()})
	if err == nil && !ok {
		return errOver
	}
	return err
}

// close writes what is left and, if there is somebody to tell, how the program ended.
func (o *output) close(code *int) {
	close(o.pause)
	o.sent.Wait()
	if code == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
	defer cancel()
	err := o.flush(ctx)
	if err == nil {
		err = o.write(ctx, o.a.place().exit(o.r.o.Node), exitValue(*code))
	}
	if err != nil {
		o.r.log.Warn("nobody is told how a job has ended", "session", o.a.Session, "code", *code, "err", err)
	}
}
