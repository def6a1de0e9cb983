package api

import "net/http"

// The verbs of a transaction's operations. A node, service or check knows get, set, cas, delete and delete-cas, a session only
// delete; the others are about keys.
const (
	VerbSet            = "set"
	VerbCAS            = "cas"
	VerbGet            = "get"
	VerbDelete         = "delete"
	VerbDeleteCAS      = "delete-cas"
	VerbDeleteTree     = "delete-tree"
	VerbLock           = "lock"
	VerbUnlock         = "unlock"
	VerbGetOrEmpty     = "get-or-empty"
	VerbGetTree        = "get-tree"
	VerbCheckIndex     = "check-index"
	VerbCheckSession   = "check-session"
	VerbCheckNotExists = "check-not-exists"
)

// TxnOp is one operation of a transaction: one of its fields is set.
type TxnOp struct {
	KV      *KVOp      `json:",omitempty"`
	Node    *NodeOp    `json:",omitempty"`
	Service *ServiceOp `json:",omitempty"`
	Check   *CheckOp   `json:",omitempty"`
	Session *SessionOp `json:",omitempty"`
}

// KVOp is an operation on keys.
type KVOp struct {
	Verb      string
	Key       string
	Value     []byte `json:",omitempty"`
	Flags     uint64 `json:",omitempty"`
	Index     uint64 `json:",omitempty"` // for cas, delete-cas and check-index
	Session   string `json:",omitempty"` // for lock, unlock and check-session
	Namespace string `json:",omitempty"`
	Partition string `json:",omitempty"`
}

// NodeOp is an operation on a node, which is found by its ID or, without one, by its name. Its ModifyIndex is for cas and
// delete-cas.
type NodeOp struct {
	Verb string
	Node Node
}

// ServiceOp is an operation on a service of a node.
type ServiceOp struct {
	Verb    string
	Node    string
	Service Service
}

// CheckOp is an operation on a check.
type CheckOp struct {
	Verb  string
	Check Check
}

// SessionOp ends a session.
type SessionOp struct {
	Verb    string
	Session Session
}

// TxnResult is what an operation found or wrote: the field is set that was set in the operation. Keys have values only where
// they were asked for, by get, get-or-empty and get-tree.
type TxnResult struct {
	KV      *KVPair  `json:",omitempty"`
	Node    *Node    `json:",omitempty"`
	Service *Service `json:",omitempty"`
	Check   *Check   `json:",omitempty"`
}

// TxnError tells why the operation at a place of the transaction kept all of it from being done.
type TxnError struct {
	OpIndex int
	What    string
}

// TxnResponse is the outcome of a transaction. When there are errors, nothing was done. Operations that delete have no result.
type TxnResponse struct {
	Results []TxnResult
	Errors  []TxnError
}

// Done tells whether the transaction was carried out.
func (r *TxnResponse) Done() bool { return len(r.Errors) == 0 }

// MaxTxnOps is how many operations a transaction may have.
const MaxTxnOps = 128

// CheckTxnSize refuses a transaction of too many operations.
func CheckTxnSize(ops []TxnOp) error {
	if len(ops) > MaxTxnOps {
		return Errorf(http.StatusRequestEntityTooLarge, "Transaction contains too many operations (%d > %d)", len(ops), MaxTxnOps)
	}
	return nil
}
