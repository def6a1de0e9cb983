package server

import (
	"context"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/state"
)

const (
	// ttlFactor is how many of its times to live a session may stay without being renewed. The public API promises one and
	// allows two, and clients count on two: Patroni asks for half of the time for which it wants to lead.
	ttlFactor = 2
	// expireBatch bounds what ends in one entry of the log: each session may hold many keys.
	expireBatch = 64
	// expireRetry is when to try again what could not be ended.
	expireRetry = time.Second
)

// sessionKeeper is the leader's part in sessions: it keeps in memory until when each may stay, and how long keys may not be
// locked, and says when that is over.
//
// None of it is replicated. A new leader gives every session its whole time and every delay its whole length, from the moment at
// which it begins to lead, so that a change of leader, or a clock that is wrong, can only make them longer. A renewal is answered
// once the leader has proved that it led after it: a new leader's whole time begins later then.
type sessionKeeper struct {
	mu       sync.Mutex // guards what follows
	term     *core.Term // the last one
	sessions deadlines[string]
	delays   deadlines[kv.ExpiredDelay]
	seen     uint64 // index of the last session seen
	begun    uint64 // and of the last delay
	sooner   chan struct{}
}

func newSessionKeeper() *sessionKeeper { return &sessionKeeper{sooner: make(chan struct{}, 1)} }

// loop is the keeper as a leader's loop.
func (k *sessionKeeper) loop() core.Loop {
	return core.Loop{
		Name: "sessions",
		Prepare: func(_ context.Context, t *core.Term) error {
			k.begin(t)
			k.read(t.Read())
			return nil
		},
		Run: func(ctx context.Context, t *core.Term) {
			var following sync.WaitGroup
			following.Go(func() { t.Follow(ctx, k.read) })
			k.expire(ctx, t)
			following.Wait()
		},
	}
}

// begin forgets what was known in another term.
func (k *sessionKeeper) begin(t *core.Term) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.term = t
	k.sessions, k.delays, k.seen, k.begun = deadlines[string]{}, deadlines[kv.ExpiredDelay]{}, 0, 0
}

// read takes up what is new.
func (k *sessionKeeper) read(tx *state.Tx) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for s := range state.SessionsSince(tx, k.seen) {
		k.seen = s.CreateIndex
		if ttl := lifetime(s); ttl > 0 && !k.sessions.known(s.ID) {
			k.sessions.set(s.ID, now.Add(ttl))
		}
	}
	for d := range state.LockDelaysSince(tx, k.begun) {
		k.begun = d.Index
		k.delays.set(kv.ExpiredDelay{Key: d.Key, Index: d.Index}, now.Add(d.Delay))
	}
	k.sessions.sweep(func(id string) bool { return state.SessionExists(tx, id) })
	k.delays.sweep(func(d kv.ExpiredDelay) bool { return delayed(tx, d) })
	k.wake()
}

// delayed tells whether a delay has not been replaced by another one.
func delayed(tx *state.Tx, d kv.ExpiredDelay) bool {
	found := state.FindLockDelay(tx, d.Key)
	return found != nil && found.Index == d.Index
}

// lifetime is how long a session stays that is not renewed; 0: until something else ends it.
func lifetime(s *api.Session) time.Duration {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return 0 // it has none
	}
	return ttlFactor * ttl
}

// RenewSession implements verb.Leader.
func (k *sessionKeeper) RenewSession(s *api.Session) bool {
	ttl := lifetime(s)
	if ttl == 0 {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.sessions.known(s.ID)
	if k.sessions.taken(s.ID) || !known && !state.SessionExists(k.term.Read(), s.ID) {
		return false // it is ending, or has ended since the caller looked
	}
	k.sessions.set(s.ID, time.Now().Add(ttl))
	if !known {
		k.wake()
	}
	return true
}

// wake has expire look at what comes next.
func (k *sessionKeeper) wake() {
	select {
	case k.sooner <- struct{}{}:
	default:
	}
}

// expire ends what is over, until ctx ends.
func (k *sessionKeeper) expire(ctx context.Context, t *core.Term) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		over, at := k.due()
		if len(over.Sessions)+len(over.Delays) > 0 {
			k.end(ctx, t, over)
			continue
		}
		if at.IsZero() {
			at = time.Now().Add(time.Hour)
		}
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
		case <-k.sooner:
		case <-ctx.Done():
			return
		}
	}
}

// due returns what is over or, if that is nothing, when to look again; never, when that is zero.
func (k *sessionKeeper) due() (over kv.Expire, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	over = kv.Expire{Sessions: k.sessions.take(now, expireBatch), Delays: k.delays.take(now, expireBatch)}
	at, _ = k.sessions.next()
	if d, ok := k.delays.next(); ok && (at.IsZero() || d.Before(at)) {
		at = d
	}
	return over, at
}

// end ends what is over. What has ended by itself costs nothing.
func (k *sessionKeeper) end(ctx context.Context, t *core.Term, over kv.Expire) {
	err := k.apply(ctx, t, over)
	if err != nil && ctx.Err() == nil {
		t.Log.Warn("what is over could not be ended, it is tried again", "sessions", len(over.Sessions), "lock delays", len(over.Delays), "err", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		again := time.Now().Add(expireRetry)
		k.sessions.again(over.Sessions, again)
		k.delays.again(over.Delays, again)
		return
	}
	k.sessions.forget(over.Sessions)
	k.delays.forget(over.Delays)
}

func (k *sessionKeeper) apply(ctx context.Context, t *core.Term, over kv.Expire) error {
	var there kv.Expire
	tx := t.Read()
	for _, id := range over.Sessions {
		if s := state.Session(tx, id); s != nil {
			t.Log.Info("session ends, it was not renewed", "session", id, "name", s.Name, "node", s.Node, "ttl", s.TTL)
			there.Sessions = append(there.Sessions, id)
		}
	}
	for _, d := range over.Delays {
		if delayed(tx, d) {
			there.Delays = append(there.Delays, d)
		}
	}
	if len(there.Sessions)+len(there.Delays) == 0 {
		return nil
	}
	_, err := t.Apply(ctx, there)
	return err
}
