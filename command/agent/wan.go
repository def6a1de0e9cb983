package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/gossip"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/rpc"
)

// startWAN enters the pool of the servers of all datacenters. It joins nobody yet.
func (a *Agent) startWAN() error {
	if !a.cfg.Server || a.cfg.Ports.SerfWAN == config.Closed {
		return nil
	}
	o, err := a.wanOptions()
	if err != nil {
		return err
	}
	if a.wan, err = gossip.New(o); err != nil {
		return err
	}
	a.undo.push("gossip between datacenters", closing(a.wan.Close))
	return nil
}

func (a *Agent) wanOptions() (gossip.Options, error) {
	c := a.cfg
	o, err := a.poolOptions(keyringWAN)
	if err != nil {
		return o, err
	}
	o.Pool = gossip.WAN
	o.Bind = netip.AddrPortFrom(c.Addrs.SerfWAN, uint16(c.Ports.SerfWAN))
	o.Advertise = netip.AddrPortFrom(c.Addrs.AdvertiseWAN, 0)
	o.AllowedCIDRs = prefixes(c.SerfWANAllowedCIDRs)
	o.Timing = gossip.Timing(c.GossipWAN)
	o.ReconnectTimeout = c.ReconnectTimeoutWAN
	if a.dir != nil {
		o.SnapshotPath = a.dir.Path("serf", "remote.snapshot")
	}
	return o, nil
}

// wanPort is where this server is in the WAN pool; 0: it is not.
func (a *Agent) wanPort() int {
	if a.wan == nil {
		return 0
	}
	return int(a.wan.Local().Addr.Port())
}

// wanHost is where this server listens in the WAN pool, if not at the address that its own datacenter knows.
func (a *Agent) wanHost() string {
	if a.wan == nil || a.cfg.Addrs.SerfWAN.IsUnspecified() {
		return ""
	}
	return a.cfg.Addrs.SerfWAN.String()
}

// startElsewhere opens the ways to other datacenters.
func (a *Agent) startElsewhere() *rpc.Elsewhere {
	c := a.cfg
	e := rpc.NewElsewhere(rpc.ElsewhereOptions{
		Datacenter: c.Datacenter, Datacenters: a.wan, Hold: c.Performance.RPCHoldTimeout, DefaultWait: c.DefaultQueryTime, MaxWait: c.MaxQueryTime,
		Dialer: func(dc string) rpc.Dialer { return rpc.Dialer{TLS: a.tls.dialServersOf(dc, c.Domain)} }, Logger: a.log,
	})
	a.undo.push("connections to other datacenters", closing(e.Close))
	return e
}

// joinWAN looks for servers of other datacenters until one answers.
func (a *Agent) joinWAN(ctx context.Context) {
	if a.wan == nil {
		if len(a.cfg.RetryJoinWAN) > 0 {
			a.log.Warn("retry_join_wan has no effect: only servers whose ports.serf_wan is open meet other datacenters")
		}
		return
	}
	err := a.wan.RetryJoin(ctx, a.cfg.RetryJoinWAN, a.cfg.RetryIntervalWAN, a.cfg.RetryMaxWAN, nil)
	if err != nil && ctx.Err() == nil && !errors.Is(err, gossip.ErrLeft) {
		a.fail(err)
	}
}

// floodEvery is how often the servers of the datacenter are looked through for one that the WAN pool lacks, without a change.
const floodEvery = 30 * time.Second

// flood brings the other servers of this datacenter into the WAN pool, so that it suffices to introduce one of them.
func (a *Agent) flood(ctx context.Context) {
	tick := time.NewTicker(floodEvery)
	defer tick.Stop()
	for {
		changed := a.gossip.Changed()
		if addrs := missing(a.gossip.Members(), a.wan.Members()); len(addrs) > 0 {
			if _, err := a.wan.Join(ctx, addrs); err != nil && ctx.Err() == nil {
				a.log.Debug("servers of this datacenter are not in the WAN pool yet, it is tried again", "component", "gossip", "err", err)
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// missing lists where the servers of the LAN pool are in the WAN pool that is lacking them.
func missing(lan, wan []gossip.Member) []string {
	var out []string
	for _, m := range lan {
		there := slices.ContainsFunc(wan, func(w gossip.Member) bool { return w.ID == m.ID && w.Status == api.MemberAlive })
		if !m.Server || m.Status != api.MemberAlive || m.Ports.WAN == 0 || there {
			continue
		}
		if addr, err := netip.ParseAddr(m.WANHost); err == nil {
			out = append(out, netip.AddrPortFrom(addr, uint16(m.Ports.WAN)).String())
		}
	}
	return out
}

// everywhere is the WAN pool as a server needs it.
type everywhere struct{ lan, wan *gossip.Pool }

// Servers implements server.Everywhere. Without a WAN pool they are those of this datacenter, by the names they would have in it.
func (e everywhere) Servers() []api.Member {
	if e.wan != nil {
		return e.wan.APIMembers()
	}
	var out []api.Member
	for _, m := range e.lan.APIMembers() {
		if m.Tags["role"] == "consul" {
			m.Name += "." + m.Tags["dc"]
			out = append(out, m)
		}
	}
	return out
}

// Place implements server.Everywhere.
func (e everywhere) Place(member string) *api.Coordinate {
	if e.wan == nil {
		return e.lan.Place(strings.TrimSuffix(member, "."+e.lan.Local().Datacenter))
	}
	return e.wan.Place(member)
}

// knownDatacenters counts them.
func (a *Agent) knownDatacenters() string {
	if a.wan == nil {
		return "1"
	}
	return strconv.Itoa(len(a.wan.Datacenters()))
}

// leavePools leaves both at the same time.
func (a *Agent) leavePools(ctx context.Context) error {
	left := make(chan error, 1)
	go func() {
		if a.wan == nil {
			left <- nil
			return
		}
		left <- a.wan.Leave(ctx)
	}()
	err := a.gossip.Leave(ctx)
	return errors.Join(err, <-left)
}
