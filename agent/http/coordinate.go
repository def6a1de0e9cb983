package http

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/operator"
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

// coordinateDatacenters tells where the servers of all datacenters are.
func coordinateDatacenters(r *request) (any, error) {
	all, err := about[api.CoordinateDatacenter](r, operator.Places{})
	if err != nil {
		return nil, err
	}
	for i := range all {
		shown := []api.CoordinateEntry{}
		for _, e := range all[i].Coordinates {
			if may, err := r.may("node", e.Node, api.Read); err != nil {
				return nil, err
			} else if may {
				shown = append(shown, e)
			}
		}
		all[i].Coordinates = shown
	}
	return all, nil
}
