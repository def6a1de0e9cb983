package api

import (
	"context"
	"net/url"
)

// Health groups the calls that read health.
type Health struct{ c *Client }

// Health returns the calls that concern health.
func (c *Client) Health() Health { return Health{c} }

// Node returns the checks of a node and its services.
func (h Health) Node(ctx context.Context, node string, q *QueryOptions) ([]Check, Meta, error) {
	return read[[]Check](ctx, h.c, "/v1/health/node/"+url.PathEscape(node), q, nil)
}

// Checks returns the checks of all instances of a service.
func (h Health) Checks(ctx context.Context, service string, q *QueryOptions) ([]Check, Meta, error) {
	return read[[]Check](ctx, h.c, "/v1/health/checks/"+url.PathEscape(service), q, nil)
}

// Service returns the instances of a service that have all of the tags and, with passing, only passing checks.
func (h Health) Service(ctx context.Context, service string, tags []string, passing bool, q *QueryOptions) ([]ServiceEntry, Meta, error) {
	return h.entries(ctx, "/v1/health/service/", service, tags, passing, q)
}

// Connect returns the instances through which a service is reached over mTLS.
func (h Health) Connect(ctx context.Context, service string, tags []string, passing bool, q *QueryOptions) ([]ServiceEntry, Meta, error) {
	return h.entries(ctx, "/v1/health/connect/", service, tags, passing, q)
}

// State returns all checks of a status, or all for "any".
func (h Health) State(ctx context.Context, status string, q *QueryOptions) ([]Check, Meta, error) {
	return read[[]Check](ctx, h.c, "/v1/health/state/"+url.PathEscape(status), q, nil)
}

func (h Health) entries(ctx context.Context, path, service string, tags []string, passing bool, q *QueryOptions) ([]ServiceEntry, Meta, error) {
	params := flag("passing", passing)
	params["tag"] = tags
	return read[[]ServiceEntry](ctx, h.c, path+url.PathEscape(service), q, params)
}
