package state

import (
	"fmt"
	"sync/atomic"

	"github.com/parleymesh/parley/server/codec"
)

// RememberedResults is how many of the last commands a repetition is recognised among. A client that retries does so
// within seconds; at ten thousand writes a second this is one and a half.
const RememberedResults = 16384

// rememberedBytes bounds the results that are remembered, beyond the last one. Most take a byte; those of transactions may
// be large.
const rememberedBytes = 32 << 20

// Remembered is the first result of a command, by the id of its envelope.
type Remembered struct {
	ID      string
	Index   uint64 // of the command
	Raw     []byte
	Status  int    // of a refusal
	Refusal string // its message
}

// Result returns what a command with the id has been answered, or nil. The transaction is one that writes.
func Result(tx *Tx, id string) *Remembered {
	for _, r := range tx.results {
		if r.ID == id {
			return r
		}
	}
	return tx.store.results.byID[id]
}

// Remember keeps the result of a command and forgets the oldest beyond RememberedResults, or beyond so many bytes.
func Remember(tx *Tx, r Remembered) { tx.results = append(tx.results, &r) }

// resultLog holds the results. They are no rows: every command writes one and forgets one, and in a tree of random ids that took
// twice the time of a small command itself.
type resultLog struct {
	// queue is the oldest first. It is appended to and cut at its beginning, and never changed in between, so whoever has
	// loaded it sees one moment.
	queue atomic.Pointer[[]*Remembered]

	byID  map[string]*Remembered // as bytes, guarded by there being one writer
	bytes int
}

func newResultLog() *resultLog {
	l := &resultLog{byID: map[string]*Remembered{}}
	l.queue.Store(new([]*Remembered))
	return l
}

// add keeps what a transaction remembers that commits.
func (l *resultLog) add(results []*Remembered) {
	if len(results) == 0 {
		return
	}
	queue := *l.queue.Load()
	for _, r := range results {
		queue = append(queue, r)
		l.byID[r.ID] = r
		l.bytes += len(r.Raw)
		for len(queue) > RememberedResults || len(queue) > 1 && l.bytes > rememberedBytes {
			l.bytes -= len(queue[0].Raw)
			delete(l.byID, queue[0].ID)
			queue = queue[1:]
		}
	}
	l.queue.Store(&queue)
}

// results is what snapshots see of the results: a table like the others, in the order of the commands.
var results resultTable

type resultTable struct{}

func (resultTable) tableName() string { return "results" }

func (resultTable) rowVersion() uint8 { return 1 }

func (resultTable) dump(tx *Tx, emit func(string, []byte) error) error {
	for _, r := range tx.results {
		data, err := codec.Encode(r)
		if err != nil {
			return fmt.Errorf("table results: %w", err)
		}
		if err := emit(r.ID, data); err != nil {
			return err
		}
	}
	return nil
}

func (t resultTable) load(tx *Tx, key string, version uint8, data []byte) error {
	if version != t.rowVersion() {
		return fmt.Errorf("table results: rows of version %d, this release reads %d", version, t.rowVersion())
	}
	var r Remembered
	if err := codec.Decode(data, &r); err != nil {
		return fmt.Errorf("table results: %w", err)
	}
	if r.ID != key {
		return fmt.Errorf("table results: row %q stands under the key %q", r.ID, key)
	}
	if n := len(tx.results); n > 0 && tx.results[n-1].Index >= r.Index {
		return fmt.Errorf("table results: row %q of index %d comes after one of index %d", key, r.Index, tx.results[n-1].Index)
	}
	Remember(tx, r)
	return nil
}

func (resultTable) value(data []byte) (any, error) {
	r := new(Remembered)
	return r, codec.Decode(data, r)
}
