package http

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/verb"
)

// near sorts rows by their distance from the node that ?near names: that node's own first, those nobody knows the distance
// of last. Equals keep their order.
func near[T any](r *request, all rows, nodeOf func(T) string) (any, error) {
	if r.param("near") == "" || len(all) == 0 {
		return all, nil
	}
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	o.MinIndex = 0
	node, err := r.nearNode(o)
	if err != nil {
		return nil, err
	}
	from, err := r.distances(o, node)
	if err != nil {
		return nil, err
	}
	type placed struct {
		row      *verb.Row
		distance time.Duration
	}
	sorted := make([]placed, len(all))
	for i, row := range all {
		sorted[i] = placed{row, from(nodeOf(row.Value.(T)))}
	}
	slices.SortStableFunc(sorted, func(a, b placed) int { return cmp.Compare(a.distance, b.distance) })
	out := make(rows, len(all))
	for i, p := range sorted {
		out[i] = p.row
	}
	return out, nil
}

// nearNode returns the name of the node from which distances are measured: "_agent" is this agent's, "_ip" that of
// whoever asks.
func (r *request) nearNode(o verb.Options) (string, error) {
	switch node := r.param("near"); node {
	case "_agent":
		return r.s.opts.Node, nil
	case "_ip":
		return r.askingNode(o)
	default:
		return node, nil
	}
}

// askingNode returns the name of the node that has the address from which the request comes; empty: it is none's.
func (r *request) askingNode(o verb.Options) (string, error) {
	from, ok := addrOf(r.RemoteAddr)
	if !ok {
		return "", nil
	}
	a, err := r.s.opts.Client.Query(r.Context(), o, catalog.Nodes{})
	if err != nil {
		return "", err
	}
	for _, n := range verb.Values[*api.Node](a) {
		if addr, err := netip.ParseAddr(n.Address); err == nil && addr.Unmap() == from {
			return n.Node, nil
		}
	}
	return "", nil
}

// farAway is the distance of what nobody knows the distance of.
const farAway = time.Duration(math.MaxInt64)

// distances returns how far nodes are from one.
func (r *request) distances(o verb.Options, from string) (func(node string) time.Duration, error) {
	a, err := r.s.opts.Client.Query(r.Context(), o, coordinate.List{})
	if err != nil {
		return nil, err
	}
	places := make(map[string]*api.Coordinate, len(a.Rows))
	for _, e := range verb.Values[*api.CoordinateEntry](a) {
		if e.Segment == "" {
			places[strings.ToLower(e.Node)] = e.Coord
		}
	}
	origin := places[strings.ToLower(from)]
	return func(node string) time.Duration {
		if strings.EqualFold(node, from) {
			return -1
		}
		if d, ok := origin.Distance(places[strings.ToLower(node)]); ok {
			return d
		}
		return farAway
	}, nil
}
