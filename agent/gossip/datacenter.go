package gossip

import (
	"slices"

	"github.com/hashicorp/serf/coordinate"

	"github.com/parleymesh/parley/api"
)

// Datacenters lists the datacenters of the pool's servers by name, those too of which all have failed.
func (p *Pool) Datacenters() []string {
	var out []string
	v := p.view.Load()
	for i := range v.members {
		if m := &v.members[i]; m.Server && m.Status != api.MemberLeft {
			out = append(out, m.Datacenter)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ServersOf lists the RPC addresses of a datacenter's servers: those that are alive, and those that have failed, which may be
// reached all the same: it may be gossip alone that is cut off.
func (p *Pool) ServersOf(datacenter string) (alive, failed []string) {
	v := p.view.Load()
	for i := range v.members {
		switch m := &v.members[i]; {
		case !m.Server || m.Datacenter != datacenter:
		case m.Status == api.MemberAlive:
			alive = append(alive, m.RPCAddr)
		case m.Status == api.MemberFailed:
			failed = append(failed, m.RPCAddr)
		}
	}
	return alive, failed
}

// Place is where a member, by its name, was last seen to be in the network; nil when that is not known.
func (p *Pool) Place(name string) *api.Coordinate {
	if name == p.opts.NodeName {
		return p.Coordinate()
	}
	if p.opts.DisableCoordinates {
		return nil
	}
	c, ok := p.serf.GetCachedCoordinate(name)
	if !ok {
		return nil
	}
	return placeOf(c)
}

func placeOf(c *coordinate.Coordinate) *api.Coordinate {
	return &api.Coordinate{Vec: c.Vec, Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
}
