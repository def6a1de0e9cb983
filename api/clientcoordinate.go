package api

import (
	"context"
	"net/http"
	"net/url"
)

// Coordinates groups the calls about where nodes are in the network.
type Coordinates struct{ c *Client }

// Coordinate returns the calls about where nodes are in the network.
func (c *Client) Coordinate() Coordinates { return Coordinates{c} }

// Datacenters returns where the servers of each datacenter are.
func (o Coordinates) Datacenters(ctx context.Context, q *QueryOptions) ([]CoordinateDatacenter, Meta, error) {
	return read[[]CoordinateDatacenter](ctx, o.c, "/v1/coordinate/datacenters", q, nil)
}

// Nodes returns where the datacenter's nodes are, of those that have told.
func (o Coordinates) Nodes(ctx context.Context, q *QueryOptions) ([]CoordinateEntry, Meta, error) {
	return read[[]CoordinateEntry](ctx, o.c, "/v1/coordinate/nodes", q, nil)
}

// Node returns where a node is. It is empty when that is not known.
func (o Coordinates) Node(ctx context.Context, node string, q *QueryOptions) ([]CoordinateEntry, Meta, error) {
	entries, meta, err := read[[]CoordinateEntry](ctx, o.c, "/v1/coordinate/node/"+url.PathEscape(node), q, nil)
	return entries, meta, orAbsent(err)
}

// Update tells where a node is. The servers take it up within seconds.
func (o Coordinates) Update(ctx context.Context, entry CoordinateEntry, w *WriteOptions) error {
	return o.c.write(ctx, http.MethodPut, "/v1/coordinate/update", w, nil, entry, nil)
}
