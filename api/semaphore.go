package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// semaphore is what stands in the key by which its clients agree on who has a place.
type semaphore struct {
	Limit   int
	Holders map[string]bool // by session
}

// Semaphore takes one of so many places, and waits as long as others have them all. All clients must agree on the number. A client
// locks a key of its own below o.Key; who has a place stands in one key that they change in turn.
func (c *Client) Semaphore(ctx context.Context, o LockOptions, places int) (*HeldLock, error) {
	if places < 1 {
		return nil, fmt.Errorf("a semaphore has at least one place, not %d", places)
	}
	l, err := c.openLease(ctx, o.session(SessionDelete))
	if err != nil {
		return nil, err
	}
	if err := l.outlast(ctx, func(ctx context.Context) error { return c.takePlace(ctx, l, &o, places) }); err != nil {
		_ = l.close(ctx)
		return nil, fmt.Errorf("take a place in %s: %w", o.Key, err)
	}
	return hold(l, &o, func(ctx context.Context, q *QueryOptions) (bool, Meta, error) {
		s, _, meta, err := c.readSemaphore(ctx, o.Key, places, q)
		return err == nil && s.Holders[l.id], meta, err
	}, func(ctx context.Context) error { return c.leavePlace(ctx, l.id, o.Key, places) }), nil
}

// readSemaphore returns who has a place, without those that are gone, and the index at which it was written.
func (c *Client) readSemaphore(ctx context.Context, prefix string, places int, q *QueryOptions) (*semaphore, uint64, Meta, error) {
	pairs, meta, err := c.KV().List(ctx, strings.TrimSuffix(prefix, "/")+"/", q)
	if err != nil {
		return nil, 0, meta, err
	}
	s, index, there := &semaphore{Limit: places}, uint64(0), map[string]bool{}
	for i := range pairs {
		p := &pairs[i]
		if p.Session != "" {
			there[p.Session] = true
		}
		if p.Key != LockKey(prefix) {
			continue
		}
		if index = p.ModifyIndex; p.Flags != SemaphoreFlags {
			return nil, 0, meta, ErrLockConflict
		}
		if err := json.Unmarshal(p.Value, s); err != nil {
			return nil, 0, meta, fmt.Errorf("%s is no semaphore: %w", p.Key, err)
		}
	}
	if s.Limit != places {
		return nil, 0, meta, fmt.Errorf("it has %d places for those who use it, not %d; all must say the same", s.Limit, places)
	}
	holders := map[string]bool{}
	for id := range s.Holders {
		if there[id] {
			holders[id] = true
		}
	}
	s.Holders = holders
	return s, index, meta, nil
}

// writeSemaphore writes who has a place if nobody else has meanwhile.
func (c *Client) writeSemaphore(ctx context.Context, prefix string, s *semaphore, index uint64) (bool, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	return c.KV().CAS(ctx, &KVPair{Key: LockKey(prefix), Value: value, Flags: SemaphoreFlags, ModifyIndex: index}, nil)
}

// takePlace waits until the session has a place.
func (c *Client) takePlace(ctx context.Context, l *lease, o *LockOptions, places int) error {
	contender := &KVPair{Key: path.Join(o.Key, l.id), Value: o.Value, Flags: SemaphoreFlags, Session: l.id}
	if done, err := c.KV().Acquire(ctx, contender, nil); err != nil {
		return err
	} else if !done {
		return fmt.Errorf("%s is locked by somebody else", contender.Key)
	}
	q := &QueryOptions{WaitTime: lockWait}
	for {
		s, index, meta, err := c.readSemaphore(ctx, o.Key, places, q)
		switch {
		case err != nil:
			return err
		case s.Holders[l.id]:
			return nil // it was written, though the answer did not come
		case len(s.Holders) >= s.Limit:
			q.WaitIndex = meta.LastIndex
			continue
		}
		q.WaitIndex = 0
		s.Holders[l.id] = true
		if done, err := c.writeSemaphore(ctx, o.Key, s, index); err != nil || done {
			return err
		}
	}
}

// leavePlace gives a place back, and tidies up when it was the last one.
func (c *Client) leavePlace(ctx context.Context, session, prefix string, places int) error {
	for {
		s, index, _, err := c.readSemaphore(ctx, prefix, places, nil)
		if err != nil {
			return fmt.Errorf("give back the place in %s: %w", prefix, err)
		}
		delete(s.Holders, session)
		var done bool
		if len(s.Holders) == 0 {
			done, err = c.KV().DeleteCAS(ctx, LockKey(prefix), index, nil)
		} else {
			done, err = c.writeSemaphore(ctx, prefix, s, index)
		}
		if err != nil || done {
			return errors.Join(err, c.KV().Delete(ctx, path.Join(prefix, session), nil))
		}
	}
}
