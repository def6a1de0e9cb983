package remoteexec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// Question is what Ask is made of.
type Question struct {
	Job    Job
	Prefix string
	// The filters of the event; empty for all.
	Node, Service, Tag string
	// Quiet is how long nothing may have happened before no further agent is expected.
	Quiet time.Duration
	// Before is waited between writing the job down and telling of it.
	Before time.Duration
	// Tell is called with all that happens.
	Tell func(Answer)
}

// What has happened on a node.
const (
	Acked   = "acked"   // its agent has taken up the job
	Printed = "printed" // Output has come
	Exited  = "exited"  // with Code
	Lost    = "lost"    // it will not answer any more
)

// Answer is something that has happened on a node.
type Answer struct {
	Node   string
	What   string
	Output []byte
	Code   int
}

// What keeps a job: a session with so long to live, which is renewed three times in that.
const (
	lifetime = 15 * time.Second
	ending   = 5 * time.Second // bounds the end of a session
	lookAt   = 3 * time.Second // how often it is looked whether those who have not answered still live
)

// maxJob bounds what is to be run, in bytes. A key could hold a little more.
const maxJob = 256 << 10

// Ask has agents run a job and returns when all that took it up have answered.
func Ask(ctx context.Context, client *api.Client, q Question) error {
	q.Job.Format = format
	if err := q.Job.validate(); err != nil {
		return err
	}
	value, err := json.Marshal(q.Job)
	if err != nil {
		return err
	}
	if len(value) > maxJob {
		return fmt.Errorf("what is to be run has %d bytes; %d are the most", len(value), maxJob)
	}
	session, err := client.Sessions().Create(ctx, &api.Session{
		Name: "remote exec", Behavior: api.SessionDelete, TTL: lifetime.String(), LockDelay: -1, NodeChecks: []string{},
	}, nil)
	if err != nil {
		return fmt.Errorf("create a session: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
		defer cancel()
		_ = client.Sessions().Destroy(ctx, session, nil) // it ends by itself, too
	}()
	running, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer stop(nil)
	renewing.Go(func() { stop(renew(running, client, session)) })

	a := &asking{q: q, c: client, at: announcement{Format: format, Prefix: q.Prefix, Session: session}, nodes: map[string]*node{}}
	err = a.tell(running, value)
	if err == nil {
		err = a.collect(running)
	}
	if err != nil && running.Err() != nil {
		return context.Cause(running)
	}
	return err
}

// renew keeps the session alive until ctx ends, and returns why it could not.
func renew(ctx context.Context, c *api.Client, session string) error {
	last := time.Now()
	for {
		select {
		case <-time.After(lifetime / 3):
		case <-ctx.Done():
			return nil
		}
		s, err := c.Sessions().Renew(ctx, session, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && s == nil:
			return errors.New("the session that holds the job has ended; the programs are being ended")
		case err == nil:
			last = time.Now()
		case time.Since(last) > lifetime:
			return fmt.Errorf("the session that holds the job could not be renewed for %s: %w", lifetime, err)
		}
	}
}

// node is what is known of one that has taken up the job.
type node struct{ over bool }

type asking struct {
	q     Question
	c     *api.Client
	at    announcement
	nodes map[string]*node
	known map[string]bool // keys that have been dealt with
}

// tell writes the job down and tells of it.
func (a *asking) tell(ctx context.Context, job []byte) error {
	payload, err := json.Marshal(a.at)
	if err != nil {
		return err
	}
	ok, err := a.c.KV().Acquire(ctx, &api.KVPair{Key: a.at.place().job(), Value: job, Session: a.at.Session}, nil)
	if err == nil && !ok {
		err = errors.New("somebody else holds it")
	}
	if err != nil {
		return fmt.Errorf("write the job to %s: %w", a.at.place().job(), err)
	}
	select {
	case <-time.After(a.q.Before):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = a.c.Event().Fire(ctx, api.UserEvent{
		Name: Event, Payload: payload, NodeFilter: a.q.Node, ServiceFilter: a.q.Service, TagFilter: a.q.Tag,
	}, nil)
	if err != nil {
		return fmt.Errorf("tell the agents: %w", err)
	}
	return nil
}

// collect reads the answers until none is expected.
func (a *asking) collect(ctx context.Context) error {
	a.known = map[string]bool{}
	index, heard, looked := uint64(0), time.Now(), time.Now()
	for {
		q := &api.QueryOptions{WaitIndex: index, WaitTime: max(100*time.Millisecond, min(lookAt, a.q.Quiet-time.Since(heard)))}
		keys, meta, err := a.c.KV().Keys(ctx, string(a.at.place()), "", q)
		if err != nil {
			return fmt.Errorf("read the answers: %w", err)
		}
		index = meta.LastIndex
		news, err := a.read(ctx, keys)
		if err != nil {
			return err
		}
		if news {
			heard = time.Now()
		}
		if a.waiting() && time.Since(looked) >= lookAt {
			looked = time.Now()
			if err := a.giveUpDead(ctx); err != nil {
				return err
			}
		}
		if a.waiting() {
			continue
		}
		if time.Since(heard) >= a.q.Quiet || a.everybody(ctx) {
			return nil
		}
	}
}

// waiting tells whether somebody has taken up the job and not answered yet.
func (a *asking) waiting() bool {
	for _, n := range a.nodes {
		if !n.over {
			return true
		}
	}
	return false
}

// read tells of what is new among the keys. How a program ended is told after all that it printed.
func (a *asking) read(ctx context.Context, keys []string) (news bool, err error) {
	p := a.at.place()
	var exits []string
	for _, key := range keys {
		node, what, ok := p.part(key)
		if !ok || a.known[key] {
			continue
		}
		news = true
		a.known[key] = true
		switch what {
		case "ack":
			a.of(node)
		case "out":
			a.of(node)
			pair, _, err := a.c.KV().Get(ctx, key, nil)
			if err != nil {
				return true, fmt.Errorf("read what %s printed: %w", node, err)
			}
			if pair != nil {
				a.q.Tell(Answer{Node: node, What: Printed, Output: pair.Value})
			}
		case "exit":
			exits = append(exits, key)
		}
	}
	for _, key := range exits {
		node, _, _ := p.part(key)
		pair, _, err := a.c.KV().Get(ctx, key, nil)
		if err != nil {
			return true, fmt.Errorf("read how the program of %s ended: %w", node, err)
		}
		code := -1
		if pair != nil {
			if code, err = strconv.Atoi(string(pair.Value)); err != nil {
				return true, fmt.Errorf("how the program of %s ended: %w", node, err)
			}
		}
		a.of(node).over = true
		a.q.Tell(Answer{Node: node, What: Exited, Code: code})
	}
	return news, nil
}

// of returns what is known of a node, and tells of it when it is new.
func (a *asking) of(name string) *node {
	n := a.nodes[name]
	if n == nil {
		n = &node{}
		a.nodes[name] = n
		a.q.Tell(Answer{Node: name, What: Acked})
	}
	return n
}

// giveUpDead expects nothing more of nodes whose agents are gone.
func (a *asking) giveUpDead(ctx context.Context) error {
	alive, err := a.alive(ctx)
	if err != nil {
		return err
	}
	for name, n := range a.nodes {
		if !n.over && !slices.Contains(alive, name) {
			n.over = true
			a.q.Tell(Answer{Node: name, What: Lost})
		}
	}
	return nil
}

// alive lists the nodes whose agents live.
func (a *asking) alive(ctx context.Context) ([]string, error) {
	members, _, err := a.c.Agent().Members(ctx, false, nil)
	if err != nil {
		return nil, fmt.Errorf("look who is there: %w", err)
	}
	var out []string
	for _, m := range members {
		if m.Status == api.MemberAlive {
			out = append(out, m.Name)
		}
	}
	return out, nil
}

// everybody tells that all have answered who could have: then nobody is waited for.
func (a *asking) everybody(ctx context.Context) bool {
	if a.q.Service != "" || len(a.nodes) == 0 {
		return false // only the agents know who is meant, or whether they listen
	}
	wanted, err := regexp.Compile(a.q.Node)
	if err != nil {
		return false
	}
	alive, err := a.alive(ctx)
	if err != nil {
		return false
	}
	for _, name := range alive {
		if wanted.MatchString(name) && a.nodes[name] == nil {
			return false
		}
	}
	return true
}
