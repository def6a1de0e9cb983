package agent

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/parleymesh/parley/agent/gossip"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server"
)

// gossipOptions is the pool of this datacenter as the configuration wants it.
func (a *Agent) gossipOptions() (gossip.Options, error) {
	c := a.cfg
	o, err := a.poolOptions(keyringLAN)
	if err != nil {
		return o, err
	}
	o.Ports.WAN, o.WANHost = a.wanPort(), a.wanHost()
	o.Bind = netip.AddrPortFrom(c.Addrs.SerfLAN, uint16(c.Ports.SerfLAN))
	o.Advertise = netip.AddrPortFrom(c.Addrs.Advertise, 0)
	o.AllowedCIDRs = prefixes(c.SerfLANAllowedCIDRs)
	o.Timing = gossip.Timing(c.GossipLAN)
	o.ReconnectTimeout = c.ReconnectTimeout
	if a.dir != nil {
		o.SnapshotPath = a.dir.Path("serf", "local.snapshot")
	}
	return o, nil
}

// poolOptions is what both pools have in common. Each keeps its keys in a file of its own.
func (a *Agent) poolOptions(keys string) (gossip.Options, error) {
	c := a.cfg
	o := gossip.Default()
	o.NodeName, o.NodeID, o.Datacenter, o.Server = c.NodeName, a.nodeID, c.Datacenter, c.Server
	o.RPCPort = a.rpcPort()
	o.Version, o.PeerVersion, o.ACLs, o.Meta = a.opts.Build.Version, api.CompatibleWith, c.ACL.Enabled, a.node().Meta
	o.Ports = gossip.Ports{GRPC: max(a.listen.grpcN, 0), GRPCTLS: max(a.listen.tlsN, 0)}
	o.EncryptVerifyIncoming, o.EncryptVerifyOutgoing = c.EncryptVerifyIncoming, c.EncryptVerifyOutgoing
	o.AdvertiseReconnect = c.AdvertiseReconnect
	o.RejoinAfterLeave, o.DisableCoordinates = c.RejoinAfterLeave, c.DisableCoordinates
	o.Logger = a.log
	var err error
	if o.EncryptKeys, err = a.gossipKeys(keys); err != nil {
		return o, err
	}
	if a.keepsKeys() {
		o.SaveKeys = func(now [][]byte) error { return a.saveGossipKeys(keys, now) }
	}
	return o, nil
}

// members is gossip as the server needs it.
type members struct {
	pool *gossip.Pool
	wan  *gossip.Pool // nil: there is none
	self api.Node
}

// Members implements server.Members.
func (m members) Members() []server.Member {
	var out []server.Member
	for _, g := range m.pool.Members() {
		if g.Datacenter != m.self.Datacenter {
			continue
		}
		out = append(out, m.member(g))
	}
	return out
}

func (m members) member(g gossip.Member) server.Member {
	node := api.Node{ID: g.ID, Node: g.Name, Address: g.Addr.Addr().String(), Datacenter: g.Datacenter}
	if g.ID == m.self.ID {
		node = m.self
	}
	return server.Member{
		Node: node, Status: status(g.Status),
		Server: g.Server, RPCAddr: g.RPCAddr, Cluster: g.Cluster, Expect: g.Expect, NonVoter: g.NonVoter, Version: g.PeerVersion,
	}
}

func status(s api.MemberStatus) server.Status {
	switch s {
	case api.MemberAlive:
		return server.Alive
	case api.MemberLeaving:
		return server.Leaving
	case api.MemberLeft:
		return server.Left
	}
	return server.Failed
}

// Changed implements server.Members.
func (m members) Changed() <-chan struct{} { return m.pool.Changed() }

// Founding implements server.Members.
func (m members) Founding(expect int) { m.pool.Founding(expect) }

// Founded implements server.Members.
func (m members) Founded() { m.pool.Founded() }

// Belongs implements server.Members.
func (m members) Belongs(cluster string) {
	m.pool.Belongs(cluster)
	if m.wan != nil {
		m.wan.Belongs(cluster)
	}
}

// Remove implements server.Members.
func (m members) Remove(node string) error { return m.pool.ForceLeave(node, false) }

// pools is gossip as the HTTP API shows it.
type pools struct{ lan, wan *gossip.Pool }

// Members implements agenthttp.Members.
func (p pools) Members() []api.Member { return p.lan.APIMembers() }

// Explain implements agenthttp.Members.
func (p pools) Explain(ctx context.Context, node string, wan bool) (api.MemberExplanation, error) {
	of, err := p.of(wan)
	if err != nil {
		return api.MemberExplanation{}, err
	}
	return of.Explain(ctx, node)
}

// Join implements agenthttp.Members.
func (p pools) Join(ctx context.Context, addrs []string, wan bool) error {
	to, err := p.of(wan)
	if err == nil {
		_, err = to.Join(ctx, addrs)
	}
	return err
}

// of is one of the two.
func (p pools) of(wan bool) (*gossip.Pool, error) {
	switch {
	case !wan:
		return p.lan, nil
	case p.wan == nil:
		return nil, api.Errorf(http.StatusInternalServerError,
			"this agent is not in the pool of the servers of all datacenters: ask a server whose ports.serf_wan is open")
	}
	return p.wan, nil
}

// ForceLeave implements agenthttp.Members. A server that is made to leave its datacenter is made to leave the others as well.
func (p pools) ForceLeave(_ context.Context, node string, prune, wan bool) error {
	to, err := p.of(wan)
	if err != nil {
		return err
	}
	err = to.ForceLeave(node, prune)
	if !wan && p.wan != nil && err == nil {
		name := node + "." + p.lan.Local().Datacenter
		for _, m := range p.wan.Members() {
			if m.Name == name && m.Status == api.MemberFailed {
				return p.wan.ForceLeave(name, prune)
			}
		}
	}
	return err
}
