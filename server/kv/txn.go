package kv

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Txn carries out operations in their order, all of them or, if one fails, none. Its result is an *api.TxnResponse. One that
// changes nothing can be asked as a query: see TxnRead.
type Txn struct{ Ops []api.TxnOp }

// CommandType implements verb.Command.
func (Txn) CommandType() string { return "txn.apply" }

// Validate implements verb.Command. Who wants to know of each operation what is wrong with it calls CheckTxn before.
func (t Txn) Validate() error { return checkOps(t.Ops) }

func checkOps(ops []api.TxnOp) error {
	if err := api.CheckTxnSize(ops); err != nil {
		return err
	}
	for _, e := range CheckTxn(ops) {
		return api.Errorf(http.StatusBadRequest, "operation %d: %s", e.OpIndex, e.What)
	}
	return nil
}

// Needs implements verb.Command.
func (t Txn) Needs(tx *state.Tx) []api.Permission {
	var needs []api.Permission
	for i := range t.Ops {
		if op := operationOf(&t.Ops[i]); op != nil {
			needs = append(needs, op.needs(tx)...)
		}
	}
	return needs
}

// Apply implements verb.Command.
func (t Txn) Apply(tx *state.Tx) (any, error) {
	out := &api.TxnResponse{Results: []api.TxnResult{}}
	if !tx.Try(func() bool {
		out.Results, out.Errors = carryOut(tx, t.Ops)
		return out.Done()
	}) {
		out.Results = nil
	}
	return out, nil
}

// maxResults bounds, in bytes, the values that a transaction with changes finds. Its result is remembered for a while, so that
// it is not carried out again when it is repeated; one without changes is not bounded.
const maxResults = 4 << 20

// carryOut does the operations and goes on after one that fails, to tell of all that do.
func carryOut(tx *state.Tx, ops []api.TxnOp) ([]api.TxnResult, []api.TxnError) {
	results, errs, size := []api.TxnResult{}, []api.TxnError(nil), 0
	for i := range ops {
		op := operationOf(&ops[i])
		if op == nil {
			continue
		}
		found, err := op.do(tx)
		for _, r := range found {
			if r.KV != nil {
				size += len(r.KV.Key) + len(r.KV.Value)
			}
		}
		if err == nil && size > maxResults {
			err = fmt.Errorf("more than %d bytes of keys and values are found; read them in a transaction that changes nothing", maxResults)
		}
		if err != nil {
			errs = append(errs, api.TxnError{OpIndex: i, What: err.Error()})
			continue
		}
		results = append(results, found...)
	}
	return results, errs
}

// operation is what all operations have in common.
type operation interface {
	// check tells what is wrong with its shape.
	check() error
	// reads reports that it changes nothing.
	reads() bool
	needs(tx *state.Tx) []api.Permission
	// do carries it out. An operation that reads may be given a transaction that cannot write.
	do(tx *state.Tx) ([]api.TxnResult, error)
}

// operationOf returns what an operation does; nil when it does nothing.
func operationOf(op *api.TxnOp) operation {
	switch {
	case op.KV != nil:
		return (*keyOp)(op.KV)
	case op.Node != nil:
		return (*nodeOp)(op.Node)
	case op.Service != nil:
		return (*serviceOp)(op.Service)
	case op.Check != nil:
		return (*checkOp)(op.Check)
	case op.Session != nil:
		return (*sessionOp)(op.Session)
	}
	return nil
}

// CheckTxn tells what is wrong with the shape of operations, without any state.
func CheckTxn(ops []api.TxnOp) (errs []api.TxnError) {
	for i := range ops {
		if err := checkOp1(&ops[i]); err != nil {
			errs = append(errs, api.TxnError{OpIndex: i, What: err.Error()})
		}
	}
	return errs
}

func checkOp1(o *api.TxnOp) error {
	given := 0
	for _, is := range []bool{o.KV != nil, o.Node != nil, o.Service != nil, o.Check != nil, o.Session != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return fmt.Errorf("an operation is about one of KV, Node, Service, Check and Session, this one is about %d", given)
	}
	if op := operationOf(o); op != nil {
		return op.check()
	}
	return nil
}

// TxnReads tells whether operations change nothing.
func TxnReads(ops []api.TxnOp) bool {
	for i := range ops {
		if op := operationOf(&ops[i]); op != nil && !op.reads() {
			return false
		}
	}
	return true
}

// badVerb is for a verb that an operation does not know.
func badVerb(about, verb string) error {
	return fmt.Errorf("unknown %s verb %q", about, verb)
}

// TxnRead is a transaction that changes nothing. A row is a *TxnReadRow, in the order of the operations.
type TxnRead struct{ Ops []api.TxnOp }

// TxnReadRow is one thing that was found, or why an operation failed.
type TxnReadRow struct {
	Result *api.TxnResult `json:",omitempty"`
	Error  *api.TxnError  `json:",omitempty"`
}

// QueryType implements verb.Query.
func (TxnRead) QueryType() string { return "txn.read" }

// Validate implements verb.Query.
func (q TxnRead) Validate() error {
	if !TxnReads(q.Ops) {
		return api.Errorf(http.StatusBadRequest, "a transaction with changes is no query")
	}
	return checkOps(q.Ops)
}

// Needs implements verb.Query. What the token may not see is left out, but a check that nobody may see would pass for one
// that held.
func (q TxnRead) Needs() (needs []api.Permission) {
	for i := range q.Ops {
		if op := q.Ops[i].KV; op != nil {
			switch op.Verb {
			case api.VerbCheckIndex, api.VerbCheckSession, api.VerbCheckNotExists:
				needs = append(needs, permission(op.Key, api.Read)...)
			}
		}
	}
	return needs
}

// NewValue implements verb.Query.
func (TxnRead) NewValue() any { return new(TxnReadRow) }

// Read implements verb.Query.
func (q TxnRead) Read(tx *state.Tx) ([]*verb.Row, error) {
	var rows []*verb.Row
	add := func(v *TxnReadRow, version uint64, needs []api.Permission) {
		rows = append(rows, &verb.Row{Key: rowNumber(len(rows)), Version: version, Value: v, Needs: needs})
	}
	for i := range q.Ops {
		op := operationOf(&q.Ops[i])
		if op == nil {
			continue
		}
		found, err := op.do(tx)
		if err != nil {
			add(&TxnReadRow{Error: &api.TxnError{OpIndex: i, What: err.Error()}}, textVersion(strconv.Itoa(i), err.Error()), nil)
			continue
		}
		for n := range found {
			version, needs := shows(&found[n])
			add(&TxnReadRow{Result: &found[n]}, version, needs)
		}
	}
	return rows, nil
}

// rowNumber is the key of a row by its place.
func rowNumber(n int) string { return fmt.Sprintf("%010d", n) }

// textVersion is the version of a row that consists of words.
func textVersion(words ...string) uint64 {
	var all []uint64
	for _, w := range words {
		for _, b := range []byte(w) {
			all = append(all, uint64(b))
		}
		all = append(all, 256)
	}
	return verb.Version(all...)
}

// shows returns the version of a result, and what it takes to see it.
func shows(r *api.TxnResult) (uint64, []api.Permission) {
	switch {
	case r.KV != nil:
		return verb.Version(textVersion("key", r.KV.Key), r.KV.ModifyIndex), permission(r.KV.Key, api.Read)
	case r.Node != nil:
		return verb.Version(textVersion("node", r.Node.Node), r.Node.ModifyIndex), onNode(r.Node.Node, api.Read)
	case r.Service != nil:
		return verb.Version(textVersion("service", r.Service.ID), r.Service.ModifyIndex), onService(r.Service.Service, api.Read)
	case r.Check.ServiceName != "":
		return verb.Version(textVersion("check", r.Check.CheckID), r.Check.ModifyIndex), onService(r.Check.ServiceName, api.Read)
	}
	return verb.Version(textVersion("check", r.Check.CheckID), r.Check.ModifyIndex), onNode(r.Check.Node, api.Read)
}

func onNode(name string, a api.Access) []api.Permission {
	return []api.Permission{{Resource: "node", Name: name, Access: a}}
}

func onService(name string, a api.Access) []api.Permission {
	return []api.Permission{{Resource: "service", Name: name, Access: a}}
}
