package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

// admission decides who may be a member: it is memberlist's merge and alive delegate. The two differ in whom they see.
// A merge, which a join is, is judged before anything of the other side is believed, with what that side thinks of each
// member; a refusal ends the join on either side. The alive messages that come with gossip are judged one by one, while
// memberlist holds its lock: so that one looks at the latest view only, and waits for nothing.
type admission struct {
	kind                 *kind
	name, id, datacenter string
	addr                 netip.AddrPort
	view                 *atomic.Pointer[view]
	// answers tells whether somebody listens at the address. It may take a moment.
	answers func(a netip.AddrPort) bool
	joining *atomic.Int32 // how many joins of ours are under way: they return what they are refused for
	log     *slog.Logger
	limit   *limiter
	// moved is set when others still think that this agent is where nobody answers any more.
	moved atomic.Bool
}

var (
	_ memberlist.MergeDelegate = (*admission)(nil)
	_ memberlist.AliveDelegate = (*admission)(nil)
)

// candidate is who wants to be a member.
type candidate struct {
	name, id string
	addr     netip.AddrPort
}

func (c candidate) String() string { return fmt.Sprintf("agent %q at %s", c.name, c.addr) }

// NotifyMerge judges the pool of an agent that joins or is joined.
func (a *admission) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		if n.State != memberlist.StateAlive && n.State != memberlist.StateSuspect {
			continue
		}
		c, err := a.stranger(n)
		if err == nil {
			err = a.impostor(c)
		}
		if err == nil {
			continue
		}
		if a.joining.Load() == 0 && a.limit.allow("merge "+c.name+c.addr.String()) {
			a.log.Warn("another pool is refused", "node", c.name, "addr", c.addr, "err", err)
		}
		return err
	}
	err := a.oneCluster(nodes)
	if err != nil && a.joining.Load() == 0 && a.limit.allow("merge "+err.Error()) {
		a.log.Warn("another pool is refused", "err", err)
	}
	return err
}

// NotifyAlive judges one agent of which a member tells, or which tells of itself.
func (a *admission) NotifyAlive(n *memberlist.Node) error {
	if n.Name == a.name {
		// Whether it is us or another under our name, memberlist sees by the address; it never takes that from the others.
		return a.nameOfOurs(n)
	}
	c, err := a.stranger(n)
	if err == nil {
		err = a.double(c)
	}
	if err != nil && a.limit.allow("alive "+c.name+c.addr.String()) {
		a.log.Warn("an agent is refused", "node", c.name, "addr", c.addr, "err", err)
	}
	return err
}

// nameOfOurs says once where another agent goes by our name.
func (a *admission) nameOfOurs(n *memberlist.Node) error {
	addr, ok := netip.AddrFromSlice(n.Addr)
	other := netip.AddrPortFrom(addr.Unmap(), n.Port)
	if ok && other != a.addr && a.limit.allow("ours "+other.String()) {
		a.log.Warn("the others know this agent's name under another address, until they see that nobody is there",
			"node", a.name, "addr", a.addr, "other_addr", other)
	}
	return nil
}

// stranger judges what does not depend on the other members.
func (a *admission) stranger(n *memberlist.Node) (candidate, error) {
	addr, ok := netip.AddrFromSlice(n.Addr)
	c := candidate{name: n.Name, addr: netip.AddrPortFrom(addr.Unmap(), n.Port)}
	if err := validName(n.Name, a.kind.longest); err != nil {
		return c, fmt.Errorf("an agent at %s has no proper name: %w", c.addr, err)
	}
	if !ok {
		return c, fmt.Errorf("agent %q has an address of %d bytes: want 4 or 16", n.Name, len(n.Addr))
	}
	tags, err := decodeMeta(n.Meta)
	if err != nil {
		return c, fmt.Errorf("%s is not a Parley agent: %w", c, err)
	}
	c.id = tags[tagID]
	if tags[tagProduct] != product {
		return c, foreign(c, tags)
	}
	if newest, oldest := number(tags[tagProto], 1<<16), number(tags[tagProtoMin], 1<<16); newest < protoMin || oldest > proto {
		return c, fmt.Errorf("%s speaks versions %d to %d of our gossip and this agent %d to %d: run releases that are closer to one another",
			c, oldest, newest, protoMin, proto)
	}
	if err := a.placed(c, tags); err != nil {
		return c, err
	}
	if c.id == "" {
		return c, fmt.Errorf("%s has no node id", c)
	}
	return c, nil
}

// placed judges whether an agent belongs into such a pool.
func (a *admission) placed(c candidate, tags map[string]string) error {
	dc, wan := tags[tagDC], tags[tagPool] == WAN
	switch {
	case a.kind.name == WAN && tags[tagServer] != "1":
		return fmt.Errorf("%s of datacenter %q is no server: only servers join other datacenters, give the address of one", c, dc)
	case a.kind.name == WAN && !wan:
		return fmt.Errorf("%s answers for the agents of datacenter %q alone: give the port at which it meets other datacenters, %d unless %s is set there",
			c, dc, a.kind.port, a.kind.portKey)
	case a.kind.name == WAN && c.name != a.kind.memberName(strings.TrimSuffix(c.name, "."+dc), dc):
		return fmt.Errorf("%s is of datacenter %q, and its name does not end in that", c, dc)
	case a.kind.name == LAN && wan:
		return fmt.Errorf("%s answers for the servers of all datacenters: give the port at which it meets the agents of its own, %d unless %s is set there",
			c, a.kind.port, a.kind.portKey)
	case a.kind.name == LAN && dc != a.datacenter:
		return fmt.Errorf("%s is of datacenter %q and this agent of %q: join agents of the same datacenter; datacenters meet at their servers (retry_join_wan, join -wan)",
			c, dc, a.datacenter)
	}
	return nil
}

// foreign says what the agent of another program seems to be.
func foreign(c candidate, tags map[string]string) error {
	role := tags["role"]
	if (role == "consul" || role == "node") && tags[tagDC] != "" {
		return fmt.Errorf("%s belongs to a Consul pool: Parley speaks its HTTP and DNS interfaces, not its gossip; join Parley agents", c)
	}
	return fmt.Errorf("%s is not a Parley agent", c)
}

// impostor judges whether somebody else has our name or our id.
func (a *admission) impostor(c candidate) error {
	sameName, sameID := strings.EqualFold(c.name, a.name), c.id == a.id
	switch {
	case c.addr == a.addr || !sameName && !sameID:
		return nil // we ourselves, or what was here before we were
	case sameName && !sameID:
		return fmt.Errorf("the node name %q is taken by node %s at %s: give this agent (node %s at %s) another one (node_name, -node)",
			c.name, c.id, c.addr, a.id, a.addr)
	case sameID && !sameName:
		return fmt.Errorf("the node id %s is taken by %q at %s: give this agent (%q at %s) a data directory of its own, without a copied node-id",
			c.id, c.name, c.addr, a.name, a.addr)
	}
	// It is we under another address: a copy of this agent, or where we were before we moved.
	if !a.answers(c.addr) {
		a.moved.Store(true)
		return nil
	}
	return fmt.Errorf("%q with node id %s runs at %s already: give this agent (at %s) another node_name and a data directory of its own",
		c.name, c.id, c.addr, a.addr)
}

// double judges whether a live member has the name or the id of another.
func (a *admission) double(c candidate) error {
	v := a.view.Load()
	if v == nil {
		return nil
	}
	if strings.EqualFold(c.name, a.name) || c.id == a.id {
		if err := a.ours(c); err != nil {
			return err
		}
	}
	if m := v.names[strings.ToLower(c.name)]; m != nil && m.live() && m.Addr != c.addr {
		if m.ID != c.id {
			return fmt.Errorf("the node name %q is taken by node %s at %s: the agent at %s (node %s) needs another one (node_name, -node)",
				c.name, m.ID, m.Addr, c.addr, c.id)
		}
		// One that moved, or is there twice: memberlist keeps the first for as long as it answers.
		if a.limit.allow("twice " + c.name + c.addr.String()) {
			a.log.Warn("a live member is told of under another address, it counts when the first one fails",
				"node", c.name, "addr", m.Addr, "other_addr", c.addr)
		}
		return nil
	}
	if m := v.ids[c.id]; m != nil && m.live() && m.Name != c.name && m.Addr != c.addr {
		return fmt.Errorf("the node id %s is taken by %q at %s: %q at %s needs a data directory of its own, without a copied node-id",
			c.id, m.Name, m.Addr, c.name, c.addr)
	}
	return nil
}

var errOurs = errors.New("it has this agent's name in other letters, or its node id")

func (a *admission) ours(c candidate) error {
	if c.addr == a.addr {
		return nil
	}
	return fmt.Errorf("%s: %w", c, errOurs)
}
