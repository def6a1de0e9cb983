package api

import (
	"context"
	"io"
	"net/http"
)

// Snapshot groups the calls that save and restore the servers' state as a whole. They need a token that may do everything.
type Snapshot struct{ c *Client }

// Snapshot returns the calls that save and restore the servers' state.
func (c *Client) Snapshot() Snapshot { return Snapshot{c} }

// Save returns an archive of the state of now, which the caller reads to its end and closes. It holds every secret there is. The
// Meta tells its index.
func (s Snapshot) Save(ctx context.Context, q *QueryOptions) (io.ReadCloser, Meta, error) {
	r := request{method: http.MethodGet, path: "/v1/snapshot", params: s.c.queryParams(q, nil), token: q.token()}
	req, err := s.c.newRequest(ctx, r)
	if err != nil {
		return nil, Meta{}, err
	}
	resp, err := s.c.http.Do(req)
	if err != nil {
		return nil, Meta{}, s.c.unreachable(ctx, r, err)
	}
	meta := metaOf(resp.Header)
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, meta, answeredError(resp)
	}
	return resp.Body, meta, nil
}

// Restore puts the state of an archive in the place of all there is, on all servers. One that is damaged changes nothing.
func (s Snapshot) Restore(ctx context.Context, archive io.Reader, w *WriteOptions) error {
	return s.c.write(ctx, http.MethodPut, "/v1/snapshot", w, nil, archive, nil)
}
