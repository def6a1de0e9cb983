package api

import (
	"context"
	"net/http"
	"net/url"
)

// Catalog groups the calls that read and change the catalog.
type Catalog struct{ c *Client }

// Catalog returns the calls that concern the catalog.
func (c *Client) Catalog() Catalog { return Catalog{c} }

// Datacenters returns the known datacenters, nearest first.
func (g Catalog) Datacenters(ctx context.Context, q *QueryOptions) ([]string, Meta, error) {
	return read[[]string](ctx, g.c, "/v1/catalog/datacenters", q, nil)
}

// Nodes returns all nodes.
func (g Catalog) Nodes(ctx context.Context, q *QueryOptions) ([]Node, Meta, error) {
	return read[[]Node](ctx, g.c, "/v1/catalog/nodes", q, nil)
}

// Node returns a node with its services, or nil when there is no such node.
func (g Catalog) Node(ctx context.Context, node string, q *QueryOptions) (*NodeServices, Meta, error) {
	return read[*NodeServices](ctx, g.c, "/v1/catalog/node/"+url.PathEscape(node), q, nil)
}

// Services returns the names of all services with the tags of their instances.
func (g Catalog) Services(ctx context.Context, q *QueryOptions) (map[string][]string, Meta, error) {
	return read[map[string][]string](ctx, g.c, "/v1/catalog/services", q, nil)
}

// Service returns the instances of a service that have all of the tags.
func (g Catalog) Service(ctx context.Context, service string, tags []string, q *QueryOptions) ([]CatalogService, Meta, error) {
	return read[[]CatalogService](ctx, g.c, "/v1/catalog/service/"+url.PathEscape(service), q, url.Values{"tag": tags})
}

// Connect returns the instances through which a service is reached over mTLS.
func (g Catalog) Connect(ctx context.Context, service string, tags []string, q *QueryOptions) ([]CatalogService, Meta, error) {
	return read[[]CatalogService](ctx, g.c, "/v1/catalog/connect/"+url.PathEscape(service), q, url.Values{"tag": tags})
}

// Register writes a node, service or checks straight into the catalog.
func (g Catalog) Register(ctx context.Context, r *Registration, w *WriteOptions) error {
	return g.c.write(ctx, http.MethodPut, "/v1/catalog/register", w, nil, r, nil)
}

// Deregister removes a node, service or check straight from the catalog.
func (g Catalog) Deregister(ctx context.Context, d *Deregistration, w *WriteOptions) error {
	return g.c.write(ctx, http.MethodPut, "/v1/catalog/deregister", w, nil, d, nil)
}
