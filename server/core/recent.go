package core

import (
	"sync"
	"time"

	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

const (
	// recentTime is how long a list is kept that nobody asks for, or up to twice that.
	recentTime = 5 * time.Second
	// recentRows bounds the rows of all lists that are kept. A row, with its encoding, takes about 2 KiB.
	recentRows = 16 << 10
	// recentLeast is the number of rows from which on a list is kept. A single row is soon read, and may be the answer to a
	// query that does more than read, as signing a certificate does.
	recentLeast = 2
)

// recent keeps the lists that were read a moment ago. Who asks for one again before anything of it has changed is given the
// same rows, which have their encodings; after a change, the rows that are as they were.
//
// Nothing here wakes anybody or has to be told of changes: each time the store is asked whether one of the topics that were
// read has been touched since.
type recent struct {
	mu    sync.Mutex
	lists map[viewKey]*recentList
	rows  int         // of all lists
	sweep *time.Timer // nil while nothing is kept
}

// recentList is a list as it was read. It is not changed, but for used.
type recentList struct {
	store   *state.Store
	reading state.Reading
	state   watch.State[*verb.Row]
	used    bool // since the last sweep; guarded by recent.mu
}

// find returns the list of that key, or nil, and whether it is what tx would read.
func (r *recent) find(key viewKey, store *state.Store, tx *state.Tx) (list *recentList, current bool) {
	r.mu.Lock()
	if list = r.lists[key]; list != nil {
		list.used = true
	}
	r.mu.Unlock()
	return list, list != nil && list.store == store && tx.Repeats(list.reading)
}

// keep keeps a list that was read, and lets others go when there are too many rows.
func (r *recent) keep(key viewKey, list *recentList) {
	n := len(list.state.Rows)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(key)
	if n < recentLeast || n > recentRows {
		return
	}
	for other := range r.lists {
		if r.rows+n <= recentRows {
			break
		}
		r.drop(other)
	}
	if r.sweep == nil {
		r.lists = map[viewKey]*recentList{}
		r.sweep = time.AfterFunc(recentTime, r.forget)
	}
	list.used = true
	r.lists[key] = list
	r.rows += n
}

// forget drops what was not asked for since the last time.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sweep == nil {
		return
	}
	for key, list := range r.lists {
		if !list.used {
			r.drop(key)
		}
		list.used = false
	}
	if len(r.lists) == 0 {
		r.sweep = nil
		return
	}
	r.sweep.Reset(recentTime)
}

// drop is called with mu held.
func (r *recent) drop(key viewKey) {
	if list := r.lists[key]; list != nil {
		r.rows -= len(list.state.Rows)
		delete(r.lists, key)
	}
}

// close forgets everything. What a query under way keeps afterwards is swept like anything else.
func (r *recent) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sweep != nil {
		r.sweep.Stop()
	}
	r.lists, r.rows, r.sweep = nil, 0, nil
}
