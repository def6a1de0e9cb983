// Package state is the replicated state: rows in tables, one file of free functions over a transaction for each table.
// cascade.go is the one place where a change of one table changes another.
//
// A transaction that reads records the topics it read, one that writes collects the topics it touched; so whoever waits for
// a query is woken by exactly what the query read. The last index at which a topic was touched is a row too, and is
// kept when the thing itself is gone: a name's index never goes back.
//
// The package knows no Raft, no permission and no HTTP. With no Raft around it, a Store is a fast in-memory store.
package state

import (
	"fmt"
	"iter"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"github.com/parleymesh/parley/api"
)

// Store holds all tables. Reads see one moment; there is one writer at a time.
type Store struct {
	db      *memdb.MemDB
	results *resultLog
	commits atomic.Uint64
	last    atomic.Uint64
	floor   uint64 // set before anybody else has the store: see Rebase
}

// New returns an empty store.
func New() *Store {
	schema := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range tables {
		schema.Tables[t.tableName()] = rowSchema(t.tableName())
	}
	db, err := memdb.NewMemDB(schema)
	if err != nil {
		// The schema is made of constants: only a mistake in tables.go can be refused.
		panic(err)
	}
	return &Store{db: db, results: newResultLog()}
}

// Read returns a transaction that sees the state of now. It needs no closing.
func (s *Store) Read() *Tx {
	return &Tx{mem: s.db.Txn(false), floor: s.floor, results: *s.results.queue.Load()}
}

// Watch is Read, and the transaction records the topics it reads. Commits is the count of commits before it: whoever
// subscribes to the topics afterwards, and then finds the count unchanged, has missed nothing.
func (s *Store) Watch() (tx *Tx, commits uint64) {
	commits = s.commits.Load()
	return &Tx{mem: s.db.Txn(false), floor: s.floor, seen: map[Topic]uint64{}}, commits
}

// Commits counts the commits so far.
func (s *Store) Commits() uint64 { return s.commits.Load() }

// Last is the index of the last change that every transaction from now on sees.
func (s *Store) Last() uint64 { return s.last.Load() }

// SetLast is for a store that was loaded: what it holds is as of an index.
func (s *Store) SetLast(index uint64) { s.last.Store(index) }

// Rebase makes what the store holds the state as of an index that is above all that anybody may have been told of another state
// in whose place this one is put. Everything then counts as changed at that index, also what is not there: it may have been. It
// is called before anybody else has the store.
func (s *Store) Rebase(index uint64) {
	s.floor = index
	s.last.Store(index)
}

// Floor is the index of the last Rebase of what the transaction sees; 0: there was none.
func (tx *Tx) Floor() uint64 { return tx.floor }

// Write returns the writing transaction; it waits for the one before. It ends with Commit or Abort.
func (s *Store) Write() *Tx {
	return &Tx{mem: s.db.Txn(true), floor: s.floor, store: s, touched: map[Topic]uint64{}}
}

// Tx is a transaction. It is used by one goroutine.
type Tx struct {
	mem     *memdb.Txn
	store   *Store // for a write
	tenant  api.Tenant
	index   uint64
	floor   uint64 // no topic's last index is below it
	wrote   bool
	seen    map[Topic]uint64 // topics read and their last index; nil when nobody asks
	apart   bool             // the last index of one of them does not stand in the table of topics
	touched map[Topic]uint64 // topics changed, and the index to be written for them; 0: none
	results []*Remembered    // of a read: all; of a write: those to be kept
	undo    []func()         // how to take back what was written since Try began, last first
	trying  bool
}

// At sets whose rows the transaction is about and, for a write, the index that its changes bear.
func (tx *Tx) At(tenant api.Tenant, index uint64) { tx.tenant, tx.index = tenant, index }

// Index is the index that changes bear.
func (tx *Tx) Index() uint64 { return tx.index }

// Wrote reports whether anything was written since the start or the last call.
func (tx *Tx) Wrote() bool {
	w := tx.wrote
	tx.wrote = false
	return w
}

// Commit makes the changes visible and returns the topics to publish.
func (tx *Tx) Commit() []Topic {
	out := tx.settle()
	tx.store.results.add(tx.results)
	tx.mem.Commit()
	tx.store.commits.Add(1)
	if tx.index > tx.store.last.Load() {
		tx.store.last.Store(tx.index)
	}
	return out
}

// Abort drops the changes. After Commit it does nothing.
func (tx *Tx) Abort() { tx.mem.Abort() }

// Seen returns the topics read and the highest index at which one of them was touched; 0 when none ever was.
func (tx *Tx) Seen() (topics []Topic, index uint64) {
	for t, i := range tx.seen {
		topics = append(topics, t)
		index = max(index, i)
	}
	return topics, index
}

// key builds the key of a row: the tenant, then the parts, each ended by a zero byte so that the key of a whole is a
// prefix of the keys of its parts. Every key of every table comes from here.
func (tx *Tx) key(parts ...string) string { return key(tx.tenant, parts...) }

func key(t api.Tenant, parts ...string) string {
	var b strings.Builder
	for _, p := range []string{t.Peer, t.Partition, t.Namespace} {
		b.WriteString(p)
		b.WriteByte(0)
	}
	for _, p := range parts {
		b.WriteString(p)
		b.WriteByte(0)
	}
	return b.String()
}

// seqKey is the part of a key that orders rows by a number.
func seqKey(n uint64) string { return fmt.Sprintf("%016x", n) }

// openKey is key without the end of the last part: the prefix of all names that begin with it.
func (tx *Tx) openKey(parts ...string) string {
	k := tx.key(parts...)
	return k[:len(k)-1]
}

// collect returns what seq yields.
func collect[T any](seq iter.Seq[*T]) []*T {
	var out []*T
	for v := range seq {
		out = append(out, v)
	}
	return out
}
