package server

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// Everywhere is the pool of the servers of all datacenters, as a server needs it.
type Everywhere interface {
	// Servers lists them as the public API shows members.
	Servers() []api.Member
	// Place is where one of them is in the network, by the member's name; nil when that is not known.
	Place(member string) *api.Coordinate
}

// areaWAN is what the area of all servers is called.
const areaWAN = "wan"

// Datacenters implements verb.Servers.
func (s *Server) Datacenters() []string {
	all := s.Places()
	out := make([]string, len(all))
	for i, p := range all {
		out[i] = p.Datacenter
	}
	return out
}

// Places implements verb.Servers.
func (s *Server) Places() []api.CoordinateDatacenter {
	var members []api.Member
	place := func(string) *api.Coordinate { return nil }
	if e := s.opts.Everywhere; e != nil {
		members, place = e.Servers(), e.Place
	}
	return places(s.opts.Datacenter, s.opts.NodeName, members, place)
}

// ServersEverywhere implements verb.Servers.
func (s *Server) ServersEverywhere() []api.Member {
	if s.opts.Everywhere == nil {
		return nil
	}
	return s.opts.Everywhere.Servers()
}

// places sorts the datacenters of the servers by how far they are from one server of one of them, which itself comes first.
func places(here, node string, members []api.Member, place func(member string) *api.Coordinate) []api.CoordinateDatacenter {
	all := map[string]*api.CoordinateDatacenter{here: {Datacenter: here, AreaID: areaWAN, Coordinates: []api.CoordinateEntry{}}}
	for _, m := range members {
		dc := m.Tags["dc"]
		if m.Status == api.MemberLeft || dc == "" {
			continue
		}
		if all[dc] == nil {
			all[dc] = &api.CoordinateDatacenter{Datacenter: dc, AreaID: areaWAN, Coordinates: []api.CoordinateEntry{}}
		}
		if at := place(m.Name); at.Valid() && m.Status == api.MemberAlive {
			all[dc].Coordinates = append(all[dc].Coordinates, api.CoordinateEntry{Node: nodeOf(m), Coord: at})
		}
	}
	origin := place(node + "." + here)
	distance := func(p *api.CoordinateDatacenter) time.Duration {
		if p.Datacenter == here {
			return -1
		}
		return medianDistance(origin, p.Coordinates)
	}
	out := make([]api.CoordinateDatacenter, 0, len(all))
	far := map[string]time.Duration{}
	for dc, p := range all {
		slices.SortFunc(p.Coordinates, func(a, b api.CoordinateEntry) int { return cmp.Compare(a.Node, b.Node) })
		out, far[dc] = append(out, *p), distance(p)
	}
	slices.SortFunc(out, func(a, b api.CoordinateDatacenter) int {
		return cmp.Or(cmp.Compare(far[a.Datacenter], far[b.Datacenter]), cmp.Compare(a.Datacenter, b.Datacenter))
	})
	return out
}

// nodeOf is the name of a member in its own datacenter.
func nodeOf(m api.Member) string {
	return strings.TrimSuffix(m.Name, "."+m.Tags["dc"])
}

// medianDistance is how far half of the places are from one at the most; those of which that is not known are farther than any.
func medianDistance(from *api.Coordinate, to []api.CoordinateEntry) time.Duration {
	var all []time.Duration
	for _, e := range to {
		if d, ok := from.Distance(e.Coord); ok {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return math.MaxInt64
	}
	slices.Sort(all)
	return all[len(all)/2]
}
