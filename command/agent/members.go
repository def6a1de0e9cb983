package agent

import (
	"context"
	"net/netip"

	"github.com/parleymesh/parley/agent/gossip"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server"
)

// gossipOptions is the pool as the configuration wants it.
func (a *Agent) gossipOptions() (gossip.Options, error) {
	c := a.cfg
	o := gossip.Default()
	o.NodeName, o.NodeID, o.Datacenter, o.Server = c.NodeName, a.nodeID, c.Datacenter, c.Server
	o.RPCPort = a.rpcPort()
	o.Version, o.PeerVersion, o.ACLs, o.Meta = a.opts.Build.Version, api.CompatibleWith, c.ACL.Enabled, a.node().Meta
	o.Ports = gossip.Ports{GRPC: max(a.listen.grpcN, 0), GRPCTLS: max(a.listen.tlsN, 0), WAN: max(c.Ports.SerfWAN, 0)}
	o.Bind = netip.AddrPortFrom(c.Addrs.SerfLAN, uint16(c.Ports.SerfLAN))
	o.Advertise = netip.AddrPortFrom(c.Addrs.Advertise, 0)
	o.EncryptVerifyIncoming, o.EncryptVerifyOutgoing = c.EncryptVerifyIncoming, c.EncryptVerifyOutgoing
	o.AllowedCIDRs = prefixes(c.SerfLANAllowedCIDRs)
	o.Timing = gossip.Timing(c.GossipLAN)
	o.ReconnectTimeout, o.AdvertiseReconnect = c.ReconnectTimeout, c.AdvertiseReconnect
	o.RejoinAfterLeave, o.DisableCoordinates = c.RejoinAfterLeave, c.DisableCoordinates
	o.Logger = a.log
	if a.dir != nil {
		o.SnapshotPath = a.dir.Path("serf", "local.snapshot")
	}
	var err error
	if o.EncryptKeys, err = a.gossipKeys(); err != nil {
		return o, err
	}
	if a.keepsKeys() {
		o.SaveKeys = a.saveGossipKeys
	}
	return o, nil
}

// members is gossip as the server needs it.
type members struct {
	pool *gossip.Pool
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
func (m members) Belongs(cluster string) { m.pool.Belongs(cluster) }

// Remove implements server.Members.
func (m members) Remove(node string) error { return m.pool.ForceLeave(node, false) }

// pool is the gossip pool as the HTTP API shows it.
type pool struct{ *gossip.Pool }

// Members implements agenthttp.Members. Of all servers everywhere, those of this datacenter are known.
func (p pool) Members(wan bool) []api.Member {
	all := p.Pool.APIMembers()
	if !wan {
		return all
	}
	servers := []api.Member{}
	for _, m := range all {
		if m.Tags["role"] == "consul" {
			m.Name += "." + m.Tags["dc"]
			servers = append(servers, m)
		}
	}
	return servers
}

// Join implements agenthttp.Members.
func (p pool) Join(ctx context.Context, addrs []string, wan bool) error {
	if wan {
		return errNoWAN
	}
	_, err := p.Pool.Join(ctx, addrs)
	return err
}

// ForceLeave implements agenthttp.Members.
func (p pool) ForceLeave(_ context.Context, node string, prune, wan bool) error {
	if wan {
		return errNoWAN
	}
	return p.Pool.ForceLeave(node, prune)
}

var errNoWAN = api.Errorf(500, "this release knows one datacenter only: the WAN pool is not there yet")
