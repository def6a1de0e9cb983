package http

import (
	"encoding/json"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/verb"
)

var txnRoutes = []route{on("/v1/txn", put(txn))}

// txnRead is the answer to a transaction that changes nothing. Of the fields that tell how it was answered, the public API fills
// in few.
type txnRead struct {
	api.TxnResponse
	Index                 uint64
	KnownLeader           bool
	LastContact           int64 // nanoseconds
	NotModified           bool
	Backend               int
	ConsistencyLevel      string
	ResultsFilteredByACLs bool
}

func txn(r *request) (any, error) {
	ops, err := txnOps(r)
	if err != nil {
		return nil, err
	}
	errs, reads := kv.CheckTxn(ops), kv.TxnReads(ops)
	switch {
	case len(errs) > 0 && reads:
		r.showReader(verb.Answer{})
		return outcome(&txnRead{TxnResponse: api.TxnResponse{Errors: errs}}, false), nil
	case len(errs) > 0:
		return outcome(&api.TxnResponse{Errors: errs}, false), nil
	case reads:
		return readTxn(r, ops)
	}
	result, err := r.apply(kv.Txn{Ops: ops})
	if err != nil {
		return nil, err
	}
	var out api.TxnResponse
	if err := result.Decode(&out); err != nil {
		return nil, err
	}
	return outcome(&out, out.Done()), nil
}

// txnOps reads the operations and bounds them.
func txnOps(r *request) ([]api.TxnOp, error) {
	data, err := r.body(r.s.opts.MaxTxn)
	if err != nil {
		return nil, err
	}
	var ops []api.TxnOp
	if nesting(data) > maxNesting {
		return nil, api.Errorf(http.StatusBadRequest, "the request's body is nested more than %d levels deep", maxNesting)
	}
	if err := json.Unmarshal(data, &ops); err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Failed to parse body: %v", err)
	}
	if err := api.CheckTxnSize(ops); err != nil {
		return nil, err
	}
	for _, op := range ops {
		switch {
		case op.KV != nil && int64(len(op.KV.Value)) > r.s.opts.MaxValue:
			return nil, api.Errorf(http.StatusRequestEntityTooLarge, "Value for key %q is too large (%d > %d bytes)", op.KV.Key, len(op.KV.Value), r.s.opts.MaxValue)
		case op.Node != nil && op.Node.Node.Datacenter == "":
			op.Node.Node.Datacenter = r.datacenter() // a node is where it is registered
		}
	}
	return ops, nil
}

// readTxn carries out a transaction that changes nothing. It does not wait for a change.
func readTxn(r *request, ops []api.TxnOp) (any, error) {
	a, err := r.peek(kv.TxnRead{Ops: ops})
	if err != nil {
		return nil, err
	}
	r.showReader(a)
	out := &txnRead{Index: 1, KnownLeader: a.KnownLeader, LastContact: int64(a.LastContact), ResultsFilteredByACLs: a.Filtered}
	out.Results = []api.TxnResult{}
	for _, row := range a.Rows {
		switch v := row.Value.(*kv.TxnReadRow); {
		case v.Error != nil:
			out.Errors = append(out.Errors, *v.Error)
		case v.Result != nil:
			out.Results = append(out.Results, *v.Result)
		}
	}
	return outcome(out, out.Done()), nil
}

// outcome is an answer with the status that tells whether the transaction was carried out.
func outcome(v any, done bool) *reply {
	if done {
		return &reply{body: v}
	}
	switch v := v.(type) {
	case *txnRead:
		v.Results = nil
	case *api.TxnResponse:
		v.Results = nil
	}
	return &reply{status: http.StatusConflict, body: v}
}
