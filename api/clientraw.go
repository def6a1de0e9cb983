package api

import (
	"context"
	"net/url"
)

// Read returns the answer to a read as it came, for whoever passes it on. The path is escaped and begins with "/v1/"; params,
// which may be nil, go along with what the options say. The Meta is valid also with an *Error.
func (c *Client) Read(ctx context.Context, path string, q *QueryOptions, params url.Values) ([]byte, Meta, error) {
	own := url.Values{}
	for name, values := range params {
		own[name] = values
	}
	return read[[]byte](ctx, c, path, q, own)
}
