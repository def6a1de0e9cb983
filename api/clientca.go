package api

import (
	"context"
	"net/http"
)

// CA groups the calls that concern the certificate authority.
type CA struct{ c *Client }

// CA returns the calls that concern the certificate authority.
func (c *Client) CA() CA { return CA{c} }

// Roots returns the root certificates in force.
func (a CA) Roots(ctx context.Context, q *QueryOptions) (CARoots, Meta, error) {
	return read[CARoots](ctx, a.c, "/v1/connect/ca/roots", q, nil)
}

// Configuration returns how certificates are signed.
func (a CA) Configuration(ctx context.Context, q *QueryOptions) (CAConfiguration, Meta, error) {
	return read[CAConfiguration](ctx, a.c, "/v1/connect/ca/configuration", q, nil)
}

// SetConfiguration changes how certificates are signed, which may bring a new root into force.
func (a CA) SetConfiguration(ctx context.Context, config *CAConfiguration, w *WriteOptions) error {
	return a.c.write(ctx, http.MethodPut, "/v1/connect/ca/configuration", w, nil, config, nil)
}
