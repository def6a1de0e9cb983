package http

import (
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/verb"
)

var coordinateRoutes = []route{
	on("/v1/coordinate/datacenters", get(coordinateDatacenters)),
	on("/v1/coordinate/nodes", get(func(r *request) (any, error) { return coordinates(r, coordinate.List{}) })),
	on("/v1/coordinate/node/", get(coordinateNode)),
	on("/v1/coordinate/update", put(coordinateUpdate)),
}

// coordinates lists where nodes are, those of a segment if it is named.
func coordinates(r *request, q verb.Query) (rows, error) {
	return listBy(r, r.ask, q, func(e *api.CoordinateEntry) bool { return !r.flag("segment") || e.Segment == r.param("segment") })
}

func coordinateNode(r *request) (any, error) {
	found, err := coordinates(r, coordinate.Node{Name: r.name})
	if err == nil && len(found) == 0 {
		err = errAbsent
	}
	return orError(found, err)
}

func coordinateUpdate(r *request) (any, error) {
	var e api.CoordinateEntry
	if err := r.decode(&e); err != nil {
		return nil, err
	}
	if err := onlyDefaultTenant("", e.Partition); err != nil {
		return nil, err
	}
	_, err := r.apply(coordinate.Update{Entries: []api.CoordinateEntry{e}})
	return nil, err
}

// areaWAN is what the area of all servers is called.
const areaWAN = "wan"

// coordinateDatacenters tells where the servers are, of those that have told.
func coordinateDatacenters(r *request) (any, error) {
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	o.Mode = verb.Stale
	a, err := r.s.opts.Client.Query(r.Context(), o, coordinate.List{})
	if err != nil {
		return nil, err
	}
	here := api.CoordinateDatacenter{Datacenter: r.s.opts.Datacenter, AreaID: areaWAN, Coordinates: []api.CoordinateEntry{}}
	told := verb.Values[*api.CoordinateEntry](a)
	for _, m := range r.s.opts.Members.Members(false) {
		if m.Tags["role"] != "consul" || m.Status != api.MemberAlive {
			continue
		}
		if shown, err := r.may("node", m.Name, api.Read); err != nil {
			return nil, err
		} else if !shown {
			continue
		}
		i := slices.IndexFunc(told, func(e *api.CoordinateEntry) bool { return e.Node == m.Name && e.Segment == "" })
		switch {
		case m.Name == r.s.opts.Node && r.s.opts.Coordinate != nil && r.s.opts.Coordinate() != nil:
			here.Coordinates = append(here.Coordinates, api.CoordinateEntry{Node: m.Name, Coord: r.s.opts.Coordinate()})
		case i >= 0:
			here.Coordinates = append(here.Coordinates, *told[i])
		}
	}
	return []api.CoordinateDatacenter{here}, nil
}
