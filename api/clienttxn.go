package api

import (
	"context"
	"net/http"
)

// Txn carries out operations in their order, all of them or, if one fails, none; the answer then tells which failed and why. If
// they change nothing, the options say how fresh what they read must be.
func (c *Client) Txn(ctx context.Context, ops []TxnOp, q *QueryOptions) (*TxnResponse, error) {
	if ops == nil {
		ops = []TxnOp{} // null is no list
	}
	var out TxnResponse
	_, err := c.do(ctx, request{
		method: http.MethodPut, path: "/v1/txn", params: c.queryParams(q, nil), token: q.token(), body: ops, fine: http.StatusConflict,
	}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}
