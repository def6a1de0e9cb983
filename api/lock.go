package api

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"
)

// The flags of keys that are used as a lock or a semaphore. Other clients of the public API mark theirs alike, so that one is
// not taken for the other.
const (
	LockFlags      uint64 = 0x2ddccbc058a50c18
	SemaphoreFlags uint64 = 0xe0f69a2baa414de0
)

// ErrLockConflict says that a key is used for something else.
var ErrLockConflict = errors.New("the key is used for something else than this lock")

const (
	// lockWait is how long a query waits for a lock to become free, or to be lost.
	lockWait = 15 * time.Second
	// delayPause is when to try again a lock that nobody has and that may not be taken yet.
	delayPause = 2 * time.Second
)

// LockOptions say what is locked, and how.
type LockOptions struct {
	Key   string // of a lock; of a semaphore, what the names of its keys begin with
	Value []byte // for others to read

	SessionName string
	SessionTTL  time.Duration // 0: 15 seconds

	// Retries is how often to ask again for a lock that is held when the agent cannot tell whose it is, RetryPause how long to
	// wait before. Without any the lock is then lost.
	Retries    int
	RetryPause time.Duration
}

func (o *LockOptions) session(behavior string) *Session {
	ttl := o.SessionTTL
	if ttl == 0 {
		ttl = 15 * time.Second
	}
	return &Session{Name: o.SessionName, TTL: ttl.String(), Behavior: behavior}
}

// HeldLock is a lock, or a place in a semaphore, that is held until it is released or lost.
type HeldLock struct {
	lease *lease
	stop  context.CancelFunc
	free  func(ctx context.Context) error // gives up what is held
}

// Lost is closed when the lock may be somebody else's. Whoever held it must stop what it is for.
func (h *HeldLock) Lost() <-chan struct{} { return h.lease.lost }

// Why tells why the lock was lost; nil while it is not.
func (h *HeldLock) Why() error { return h.lease.reason() }

// Session is the id of the session that holds the lock.
func (h *HeldLock) Session() string { return h.lease.id }

// Release gives up the lock, whether or not it was lost.
func (h *HeldLock) Release(ctx context.Context) error {
	h.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return errors.Join(h.free(ctx), h.lease.close(ctx))
}

// Lock locks a key for this client alone, and waits as long as another one has it locked.
func (c *Client) Lock(ctx context.Context, o LockOptions) (*HeldLock, error) {
	l, err := c.openLease(ctx, o.session(SessionRelease))
	if err != nil {
		return nil, err
	}
	if err := l.outlast(ctx, func(ctx context.Context) error { return c.takeLock(ctx, l, &o) }); err != nil {
		_ = l.close(ctx)
		return nil, fmt.Errorf("lock %s: %w", o.Key, err)
	}
	return hold(l, &o, func(ctx context.Context, q *QueryOptions) (bool, Meta, error) {
		p, meta, err := c.KV().Get(ctx, o.Key, q)
		return p != nil && p.Session == l.id, meta, err
	}, func(ctx context.Context) error {
		if _, err := c.KV().Release(ctx, o.pair(l.id), nil); err != nil {
			return fmt.Errorf("unlock %s: %w", o.Key, err)
		}
		return c.tidyLock(ctx, o.Key)
	}), nil
}

func (o *LockOptions) pair(session string) *KVPair {
	return &KVPair{Key: o.Key, Value: o.Value, Flags: LockFlags, Session: session}
}

// takeLock waits until the key is locked by the session.
func (c *Client) takeLock(ctx context.Context, l *lease, o *LockOptions) error {
	q := &QueryOptions{WaitTime: lockWait}
	for {
		p, meta, err := c.KV().Get(ctx, o.Key, q)
		switch {
		case err != nil:
			return err
		case p != nil && p.Flags != LockFlags:
			return ErrLockConflict
		case p != nil && p.Session == l.id:
			return nil
		case p != nil && p.Session != "":
			q.WaitIndex = meta.LastIndex
			continue
		}
		if done, err := c.KV().Acquire(ctx, o.pair(l.id), nil); err != nil || done {
			return err
		}
		// Somebody was faster; or nobody may have it yet, and then no change of the key tells when that is over.
		q.WaitIndex = 0
		if p, _, err := c.KV().Get(ctx, o.Key, q); err != nil || p != nil && p.Session != "" {
			continue
		}
		if err := sleep(ctx, delayPause); err != nil {
			return err
		}
	}
}

// tidyLock removes the key of a lock that nobody has. It is no error if somebody has.
func (c *Client) tidyLock(ctx context.Context, key string) error {
	p, _, err := c.KV().Get(ctx, key, nil)
	if err != nil || p == nil || p.Session != "" {
		return err
	}
	_, err = c.KV().DeleteCAS(ctx, key, p.ModifyIndex, nil)
	return err
}

// hold keeps an eye on what a session holds.
func hold(l *lease, o *LockOptions, mine func(context.Context, *QueryOptions) (bool, Meta, error), free func(context.Context) error) *HeldLock {
	ctx, cancel := context.WithCancel(context.Background())
	l.done.Go(func() { watchLock(ctx, l, o, mine) })
	return &HeldLock{lease: l, stop: cancel, free: free}
}

// watchLock loses the lock once it is not the session's, or when nobody can tell for too long.
func watchLock(ctx context.Context, l *lease, o *LockOptions, mine func(context.Context, *QueryOptions) (bool, Meta, error)) {
	q := &QueryOptions{Mode: Consistent, WaitTime: lockWait}
	failures := 0
	for {
		asking, cancel := context.WithTimeout(ctx, 2*lockWait)
		held, meta, err := mine(asking, q)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && held:
			failures, q.WaitIndex = 0, meta.LastIndex
			continue
		case err == nil:
			l.lose(errors.New("it is not held by this session any more"))
			return
		}
		if failures++; failures > o.Retries || !passing(err) {
			l.lose(fmt.Errorf("nobody can tell whether it is held: %w", err))
			return
		}
		q.WaitIndex = 0
		if sleep(ctx, o.RetryPause) != nil {
			return
		}
	}
}

// LockKey is the key within a prefix by which it is locked.
func LockKey(prefix string) string { return path.Join(prefix, ".lock") }
