package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lease is a session that is renewed until it is closed or lost.
type lease struct {
	c    *Client
	id   string
	ttl  time.Duration
	stop context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex // guards why
	why  error
	lost chan struct{} // closed once why is set
}

// closeTime bounds how long giving something back may take: what is not given back in time goes with the session.
const closeTime = 5 * time.Second

// openLease makes a session and goes on renewing it. ctx is for making it.
func (c *Client) openLease(ctx context.Context, want *Session) (*lease, error) {
	ttl, err := time.ParseDuration(want.TTL)
	if err != nil || ttl <= 0 {
		return nil, fmt.Errorf("the session's time to live is %q: want a duration such as \"15s\"", want.TTL)
	}
	began := time.Now()
	id, err := c.Sessions().Create(ctx, want, nil)
	if err != nil {
		return nil, fmt.Errorf("create a session: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &lease{c: c, id: id, ttl: ttl, stop: stop, lost: make(chan struct{})}
	l.done.Go(func() { l.renew(running, began) })
	return l, nil
}

// renew renews the session twice in its time to live. It counts from when it last asked, not from the answer: the session lives
// longer than is known here, never shorter.
func (l *lease) renew(ctx context.Context, last time.Time) {
	pause := l.ttl / 2
	for sleep(ctx, pause) == nil {
		began := time.Now()
		asking, cancel := context.WithDeadline(ctx, last.Add(l.ttl))
		s, err := l.c.Sessions().Renew(asking, l.id, nil)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && s == nil:
			l.lose(fmt.Errorf("session %s has ended", l.id))
			return
		case err == nil:
			last, pause = began, l.ttl/2
		case time.Since(last) >= l.ttl:
			l.lose(fmt.Errorf("session %s could not be renewed for %s: %w", l.id, l.ttl, err))
			return
		default:
			pause = min(time.Second, time.Until(last.Add(l.ttl)))
		}
	}
}

// lose tells whoever waits for it that what the session holds may be somebody else's.
func (l *lease) lose(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.lost)
	}
}

func (l *lease) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// with returns a context that also ends when the session is lost.
func (l *lease) with(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.lost:
			cancel(l.reason())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// close stops renewing and ends the session.
func (l *lease) close(ctx context.Context) error {
	l.stop()
	l.done.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return l.c.Sessions().Destroy(ctx, l.id, nil)
}

// outlast repeats try, while the session lives, for as long as what keeps it from being done may go by.
func (l *lease) outlast(ctx context.Context, try func(ctx context.Context) error) error {
	ctx, cancel := l.with(ctx)
	defer cancel()
	for {
		err := try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !passing(err):
			return err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// sleep waits for a while. The error is ctx's.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing tells whether an error may be one that goes by: the agent or the servers cannot answer right now.
func passing(err error) bool {
	var answered *Error
	if errors.As(err, &answered) {
		return answered.Status >= http.StatusInternalServerError
	}
	var broken net.Error
	return errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
