package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

const (
	stale      = "stale"
	consistent = "consistent"
	byDefault  = "default"
)

var modes = map[string]api.Mode{stale: api.Stale, consistent: api.Consistent, byDefault: api.DefaultMode}

const (
	// patience is how long a client waits for an answer. It is shorter than what an agent holds a request for, so that there are answers
	// that nobody hears.
	patience = 5 * time.Second
	// epoch is how long a set of keys is used: what is not known of one makes the search for an order long.
	epoch = 2 * time.Second
	// oldAnswer is what an agent says of an answer that need not be of now.
	oldAnswer = 300 * time.Millisecond
	// pester is how often somebody asks each agent who does not wait for the answer before, and how many of them wait at the most. Who
	// waits for a process that is stopped has asked before it was missed; it is those who ask later that must not be told what was then.
	pester  = 120 * time.Millisecond
	waiting = 20
)

// client asks one agent for one thing after the other.
type client struct {
	id      int
	world   *world
	agent   *member
	random  *rand.Rand
	session string
	n       int                   // of values written
	seen    map[string]api.KVPair // the last that was read of each key
}

// run goes on until ctx ends. What is under way then comes to its end.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.do(c.choose())
		select {
		case <-time.After(time.Duration(c.random.Int64N(int64(40 * time.Millisecond)))):
		case <-ctx.Done():
		}
	}
}

// pester reads again and again, whether or not it is answered.
func (c *client) pester(ctx context.Context) {
	tick := time.NewTicker(pester)
	defer tick.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	room := make(chan struct{}, waiting)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		in := input{Kind: get, Mode: [...]string{byDefault, consistent}[c.random.IntN(2)]}
		in.Key, _ = c.key()
		select {
		case room <- struct{}{}:
			under.Go(func() { c.do(in); <-room })
		default:
		}
	}
}

// key says which key is next, and whether it is a lock.
func (c *client) key() (key string, locks bool) {
	prefix := fmt.Sprintf("e%d/", time.Since(c.world.history.began)/epoch)
	if c.random.IntN(4) == 0 {
		return prefix + "lock", true
	}
	return fmt.Sprint(prefix, "k", c.random.IntN(3)), false
}

// choose says what is asked next.
func (c *client) choose() input {
	var in input
	var locks bool
	in.Key, locks = c.key()
	c.n++
	value := fmt.Sprintf("%d-%d", c.id, c.n)
	switch p := c.random.IntN(100); {
	case p < 50:
		in.Kind, in.Mode = get, [...]string{byDefault, byDefault, consistent, consistent, stale}[c.random.IntN(5)]
	case locks && p < 75:
		in.Kind, in.Value, in.Session = acquire, value, c.session
	case locks:
		in.Kind, in.Value, in.Session = release, value, c.session
	case p < 75:
		in.Kind, in.Value = put, value
	case p < 93:
		in.Kind, in.Value, in.Old = cas, value, string(c.seen[in.Key].Value)
	default:
		in.Kind = remove
	}
	return in
}

// do asks, and writes down the answer.
func (c *client) do(in input) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h := c.world.history
	o := operation{Client: c.id, Agent: c.agent.Name, Life: int(c.agent.life.Load()), In: in, Called: time.Since(h.began)}
	out, err := c.ask(ctx, in)
	o.Returned = time.Since(h.began)
	if err != nil {
		out = output{Unknown: true, Err: err.Error()}
		if strings.Contains(out.Err, "connection refused") || strings.HasPrefix(out.Err, "nothing was changed") {
			// The agent is not there, or has refused.
			c.world.refused.Add(1)
			return
		}
		c.world.unknown.Add(1)
	}
	o.Out = out
	h.add(o)
}

func (c *client) ask(ctx context.Context, in input) (out output, err error) {
	kv := c.agent.API.KV()
	p := &api.KVPair{Key: in.Key, Value: []byte(in.Value), Session: in.Session}
	switch in.Kind {
	case get:
		pair, meta, err := kv.Get(ctx, in.Key, &api.QueryOptions{Mode: modes[in.Mode]})
		if err != nil {
			return out, err
		}
		out.Index = meta.LastIndex
		if pair == nil {
			pair = &api.KVPair{}
		}
		if in.Mode != stale && c.seen != nil {
			c.seen[in.Key] = *pair
		}
		out.Old = !c.agent.server && (!meta.KnownLeader || meta.LastContact > oldAnswer)
		out.Value, out.Holder = string(pair.Value), pair.Session
		return out, nil
	case put:
		return output{OK: true}, kv.Put(ctx, p, nil)
	case remove:
		return output{OK: true}, kv.Delete(ctx, in.Key, nil)
	case cas:
		p.ModifyIndex = c.seen[in.Key].ModifyIndex
		out.OK, err = kv.CAS(ctx, p, nil)
	case acquire:
		out.OK, err = kv.Acquire(ctx, p, nil)
	case release:
		out.OK, err = kv.Release(ctx, p, nil)
	}
	return out, err
}
