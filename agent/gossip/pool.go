// Package gossip is a pool of agents, that of all agents of a datacenter or that of the servers of all datacenters: who is there, who failed, who left, and what each tells of
// itself. Serf and memberlist carry it; this package decides who may be a member, turns what they know into values, and
// says what an operator must know. What follows from a member's coming and going is for others to do.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/parleymesh/parley/api"
)

// What is answered after Close, and to who would join after Leave.
var (
	ErrClosed = errors.New("gossip has been closed")
	ErrLeft   = errors.New("this agent has left the pool: start it anew to join again")
)

// Pool is this agent's membership.
type Pool struct {
	opts      Options
	log       *slog.Logger
	transport *transport
	serf      *serf.Serf // whole once transport.ready is closed

	view    atomic.Pointer[view]
	joining atomic.Int32
	poke    chan struct{} // asks for a refresh
	judge   *admission
	stop    chan struct{}
	heard   chan serf.UserEvent
	asked   chan *serf.Query
	loops   sync.WaitGroup // drain, watch, listen and explainOthers
	history *history

	refreshMu sync.Mutex // held while a view is replaced

	ring    *memberlist.Keyring // nil: gossip is in the clear
	keysMu  sync.Mutex          // guards what follows
	kept    [][]byte            // the keys as they were last saved
	keptErr string              // why they could not be, as it was last told

	tagsMu sync.Mutex // guards tags, and orders what is told of them
	tags   map[string]string

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	closed  bool
	leaving chan struct{} // closed when Leave has been carried out
	leave   error
	calls   sync.WaitGroup // joins and the leave

	closeOnce sync.Once
	closeErr  error
}

// New starts a pool of one, which Join makes larger. On an error nothing is left running.
func New(o Options) (*Pool, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.openSnapshot(); err != nil {
		return nil, err
	}
	p := &Pool{
		opts: o, log: o.Logger.With("component", "gossip", "pool", o.Pool),
		poke: make(chan struct{}, 1), stop: make(chan struct{}), changed: make(chan struct{}),
		heard: make(chan serf.UserEvent, heardQueue), asked: make(chan *serf.Query, askedQueue), history: newHistory(o.NodeName),
	}
	p.view.Store(newView(nil))
	var err error
	if p.transport, err = newTransport(&o); err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, p.transport.Shutdown())
	}
	return p, nil
}

func (p *Pool) start() (err error) {
	if p.tags, err = p.opts.tags(p.transport.self); err != nil {
		return err
	}
	events := make(chan serf.Event, 256)
	c, err := p.opts.serf(p.transport, events)
	if err != nil {
		return err
	}
	c.Tags = maps.Clone(p.tags)
	c.Logger = libraryLog(p.log, p.history.read)
	c.MemberlistConfig.Logger = c.Logger
	// In place of serf's merge delegate, which does not tell whether a member is dead.
	judge := &admission{
		kind: p.opts.kind, name: p.opts.NodeName, id: p.opts.NodeID, datacenter: p.opts.Datacenter, addr: p.transport.self,
		view: &p.view, answers: p.answers, joining: &p.joining, log: p.log, limit: newLimiter(),
	}
	p.judge = judge
	c.MemberlistConfig.Merge, c.MemberlistConfig.Alive = judge, judge
	if p.serf, err = serf.Create(c); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	p.ring = c.MemberlistConfig.Keyring
	p.transport.open()
	if a := p.transport.self.Addr(); len(p.opts.EncryptKeys) == 0 && a.IsGlobalUnicast() && !a.IsPrivate() {
		p.log.Warn("gossip is not encrypted on what looks like a public address: set encrypt (-encrypt)", "addr", a)
	}
	p.loops.Go(func() { p.drain(events) })
	p.saveKeys()
	p.refresh()
	p.loops.Go(p.watch)
	p.loops.Go(p.listen)
	p.loops.Go(p.explainOthers)
	return nil
}

// answers tells whether somebody listens at the address. It asks nothing: an answer would bring news of the pool, which
// this agent may not belong to.
func (p *Pool) answers(a netip.AddrPort) bool {
	c, err := p.transport.DialAddressTimeout(memberlist.Address{Addr: a.String()}, 2*p.opts.Timing.ProbeTimeout)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// drain takes serf's events, always and at once: serf holds its lock while it waits for that. Of those about members it
// looks at none, since the members as they are now say more than what happened to them.
func (p *Pool) drain(events <-chan serf.Event) {
	for {
		select {
		case e := <-events:
			switch e := e.(type) {
			case serf.UserEvent:
				p.hear(e)
				continue
			case *serf.Query:
				p.question(e)
				continue
			}
			select {
			case p.poke <- struct{}{}:
			default:
			}
		case <-p.stop:
			return
		}
	}
}

// recheck is how often the members are looked at without an event: serf has none for one that begins to leave.
const recheck = time.Second

func (p *Pool) watch() {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-p.poke:
		case <-tick.C:
			p.saveKeys() // others may have changed them
		case <-p.stop:
			return
		}
		p.refresh()
	}
}

// refresh takes over what serf knows.
func (p *Pool) refresh() {
	p.refreshMu.Lock()
	defer p.refreshMu.Unlock()
	old := p.view.Load()
	v := old.next(p.serf.Members())
	if v == nil {
		return
	}
	for i := range v.members {
		if m := &v.members[i]; m.Name == p.opts.NodeName {
			m.Meta = p.opts.Meta
		}
	}
	p.view.Store(v)
	p.mu.Lock()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.tell(old, v)
}

// tell logs and remembers who came and went.
func (p *Pool) tell(old, v *view) {
	for i := range v.members {
		m := &v.members[i]
		was, known := old.find(m.Name)
		p.history.transition(was, known, m)
		if known && was.Status == m.Status && was.Addr == m.Addr && was.ID == m.ID || m.Name == p.opts.NodeName {
			continue
		}
		switch {
		case m.Status == api.MemberAlive && (!known || was.Status == api.MemberLeft):
			p.log.Info("member joined", "node", m.Name, "addr", m.Addr, "server", m.Server)
		case m.Status == api.MemberAlive && was.Addr != m.Addr:
			p.log.Info("member moved", "node", m.Name, "addr", m.Addr, "old_addr", was.Addr)
		case m.Status == api.MemberAlive && was.Status == api.MemberFailed:
			p.log.Info("member is back", "node", m.Name, "addr", m.Addr)
		case m.Status == api.MemberFailed:
			p.log.Warn("member failed: it does not answer, nor do others reach it", "node", m.Name, "addr", m.Addr)
		case m.Status == api.MemberLeft:
			p.log.Info("member left", "node", m.Name, "addr", m.Addr)
		}
		if other := v.ids[m.ID]; m.live() && other != m && other.live() {
			p.log.Warn("two members have the same node id: give one a data directory of its own", "node", m.Name, "addr", m.Addr,
				"other_node", other.Name, "other_addr", other.Addr)
		}
	}
	for i := range old.members {
		m := &old.members[i]
		if _, ok := v.find(m.Name); !ok {
			p.history.add(m.Name, api.MemberForgotten, "", "")
			p.log.Info("member forgotten", "node", m.Name, "addr", m.Addr)
		}
	}
}

// Members lists all that are known by name, this agent too. The maps in it are shared and not to be changed.
func (p *Pool) Members() []Member { return slices.Clone(p.view.Load().members) }

// Changed returns a channel that is closed at the next change. Take it before Members, so that none is missed.
func (p *Pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Servers lists the RPC addresses of the servers that are alive.
func (p *Pool) Servers() []string {
	addrs := []string{}
	v := p.view.Load()
	for i := range v.members {
		if m := &v.members[i]; m.Server && m.Status == api.MemberAlive {
			addrs = append(addrs, m.RPCAddr)
		}
	}
	return addrs
}

// APIMembers lists all members as the public API shows them.
func (p *Pool) APIMembers() []api.Member {
	v := p.view.Load()
	out := make([]api.Member, len(v.members))
	for i := range v.members {
		out[i] = v.members[i].apiMember()
	}
	return out
}

// Local is this agent's member.
func (p *Pool) Local() Member {
	m, _ := p.view.Load().find(p.opts.NodeName)
	return m
}

// APILocal is this agent's member as the public API shows it.
func (p *Pool) APILocal() api.Member {
	m := p.Local()
	return m.apiMember()
}

// Stats are serf's own numbers, for the agent's account of itself.
func (p *Pool) Stats() map[string]string { return p.serf.Stats() }

// Coordinate is where this agent places itself by the round trips to the others; nil when that is switched off.
func (p *Pool) Coordinate() *api.Coordinate {
	c, err := p.serf.GetCoordinate()
	if err != nil {
		return nil
	}
	return placeOf(c)
}

// Founding tells the others that this server belongs to no cluster, and with how many it founds one.
func (p *Pool) Founding(expect int) {
	if err := p.UpdateTags(map[string]string{tagExpect: strconv.Itoa(expect)}); err != nil {
		p.log.Warn("the others may not know yet that this server belongs to no cluster", "err", err)
	}
}

// Founded tells the others that this server belongs to a cluster and founds no new one.
func (p *Pool) Founded() {
	if err := p.UpdateTags(map[string]string{tagExpect: ""}); err != nil {
		p.log.Warn("the others may not know yet that this server belongs to a cluster", "err", err)
	}
}

// Belongs tells the others to which cluster this server belongs.
func (p *Pool) Belongs(cluster string) {
	if err := p.UpdateTags(map[string]string{tagCluster: cluster}); err != nil {
		p.log.Warn("the others may not know yet to which cluster this server belongs", "err", err)
	}
}

// UpdateTags changes tags of this agent, or removes those whose value is empty, and tells the others. What says who the
// agent is stays. After an error the others hear of it later, with the next exchange of all that is known.
func (p *Pool) UpdateTags(set map[string]string) error {
	for _, tag := range fixedTags {
		if _, ok := set[tag]; ok {
			return fmt.Errorf("gossip: the tag %q does not change while the agent runs", tag)
		}
	}
	p.tagsMu.Lock()
	defer p.tagsMu.Unlock()
	next := maps.Clone(p.tags)
	maps.Copy(next, set)
	maps.DeleteFunc(next, func(tag, value string) bool { return value == "" })
	if maps.Equal(next, p.tags) {
		return nil
	}
	if err := checkSize(next); err != nil {
		return err
	}
	done, err := p.call()
	if err != nil {
		return err
	}
	defer done()
	p.tags = next
	err = p.serf.SetTags(maps.Clone(next))
	p.refresh()
	if err != nil {
		return fmt.Errorf("gossip: tell the others of changed tags: %w", err)
	}
	return nil
}

// call begins something that Close waits for.
func (p *Pool) call() (done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	p.calls.Add(1)
	return p.calls.Done, nil
}

// hasLeft tells whether Leave has been called.
func (p *Pool) hasLeft() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving != nil
}

// ForceLeave makes a failed member count as left; with prune it is forgotten.
func (p *Pool) ForceLeave(name string, prune bool) error {
	done, err := p.call()
	if err != nil {
		return err
	}
	defer done()
	p.refresh()
	m, ok := p.view.Load().find(name)
	if !ok {
		return api.Errorf(http.StatusInternalServerError, "agent: No node found with name '%s'", name) // the peer's words
	}
	remove := p.serf.RemoveFailedNode
	if prune {
		if m.live() {
			return api.Errorf(http.StatusInternalServerError,
				"node %q at %s is %s: only one that has failed or left can be forgotten; stop it first", name, m.Addr, m.Status)
		}
		remove = p.serf.RemoveFailedNodePrune
	}
	p.log.Info("member is made to leave", "node", name, "addr", m.Addr, "prune", prune)
	if err := remove(name); err != nil {
		return fmt.Errorf("force %q to leave: %w", name, err)
	}
	p.refresh()
	return nil
}

// propagate is how long a leaving agent stays for the others to hear of it: it answers them until they do, so that none
// takes it for failed.
const propagate = time.Second

// Leave tells the others that this agent leaves, so that they do not take it for failed. It is bounded by ctx, and by
// some seconds where the others do not answer. The pool remains, to be closed.
func (p *Pool) Leave(ctx context.Context) error {
	p.mu.Lock()
	switch {
	case p.leaving == nil && p.closed:
		p.mu.Unlock()
		return ErrClosed
	case p.leaving == nil:
		p.leaving = make(chan struct{})
		p.calls.Go(p.carryOutLeave)
	}
	p.mu.Unlock()
	select {
	case <-p.leaving:
	case <-ctx.Done():
		return fmt.Errorf("leave: the others may take this agent for failed: %w", ctx.Err())
	}
	if p.leave != nil {
		return fmt.Errorf("leave: %w", p.leave)
	}
	if !p.alone() {
		select {
		case <-time.After(propagate):
		case <-ctx.Done():
		}
	}
	return nil
}

func (p *Pool) carryOutLeave() {
	defer close(p.leaving)
	p.leave = p.serf.Leave()
	p.refresh()
}

// alone tells whether no other member is alive.
func (p *Pool) alone() bool {
	for _, m := range p.view.Load().members {
		if m.Name != p.opts.NodeName && m.live() {
			return false
		}
	}
	return true
}

// Close ends the membership at once: who has not left is seen to fail. It can be called again.
func (p *Pool) Close() error {
	p.closeOnce.Do(p.close)
	return p.closeErr
}

func (p *Pool) close() {
	p.mu.Lock()
	p.closed = true
	leaving := p.leaving
	p.mu.Unlock()
	if leaving != nil {
		<-leaving // it takes some seconds at most, and memberlist does not bear to be shut down meanwhile
	}
	p.closeErr = p.serf.Shutdown() // ends the joins, too
	p.calls.Wait()
	close(p.stop)
	p.loops.Wait()
}
