package core

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// fsm applies the log to the store, one transaction for each batch. Raft calls it from one goroutine.
type fsm struct {
	types  Types
	topics *watch.Topics[state.Topic]
	fail   func(error)
	store  atomic.Pointer[state.Store]

	mu sync.Mutex // held while the store or last is changed, so that both can be seen of one moment

	// stopped is set when an entry cannot be applied: none after it is.
	stopped error
	last    uint64 // index of the last command applied
}

// outcome is what Raft hands back to whoever proposed a command.
type outcome struct {
	result verb.Result
	err    error
}

func newFSM(types Types, topics *watch.Topics[state.Topic], fail func(error)) *fsm {
	f := &fsm{types: types, topics: topics, fail: fail}
	f.store.Store(state.New())
	return f
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The store has no savepoints: when a command fails after it has written, the
// batch is dropped and its entries are applied one by one.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	if out, ok := f.apply(logs); ok {
		return out
	}
	var out []any
	for _, l := range logs {
		one, _ := f.apply([]*raft.Log{l})
		out = append(out, one...)
	}
	return out
}

// apply applies the entries in one transaction. It reports false, and has changed nothing, when there are several and
// one of them failed after a write.
func (f *fsm) apply(logs []*raft.Log) ([]any, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]any, len(logs))
	tx := f.store.Load().Write()
	defer func() { tx.Abort() }()
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		if f.stopped != nil {
			out[i] = outcome{err: f.stopped}
			continue
		}
		e, cmd, err := f.read(l)
		if err != nil {
			f.stop(err)
			out[i] = outcome{err: f.stopped}
			continue
		}
		tx.At(e.Tenant, l.Index)
		o, dirty := f.one(tx, e, cmd)
		if dirty {
			if len(logs) > 1 {
				return nil, false
			}
			tx.Abort()
			tx = f.store.Load().Write()
			tx.At(e.Tenant, l.Index)
			remember(tx, e.ID, o)
		}
		out[i] = o
		f.last = l.Index
	}
	f.topics.Publish(tx.Commit())
	return out, true
}

// one applies one command and remembers its result. Dirty: it failed after it had written.
func (f *fsm) one(tx *state.Tx, e verb.Envelope, cmd verb.Command) (o outcome, dirty bool) {
	if first := state.Result(tx, e.ID); first != nil {
		return recall(first), false
	}
	tx.Wrote()
	v, err := cmd.Apply(tx)
	o = outcome{result: verb.Result{Index: tx.Index()}, err: err}
	if err == nil && v != nil {
		o.result.Raw, o.err = codec.Encode(v)
	}
	if o.err != nil && tx.Wrote() {
		return o, true
	}
	remember(tx, e.ID, o)
	return o, false
}

// read decodes an entry. An error means that this release must not go on.
func (f *fsm) read(l *raft.Log) (verb.Envelope, verb.Command, error) {
	var e verb.Envelope
	if err := codec.Decode(l.Data, &e); err != nil {
		return e, nil, err
	}
	cmd, err := f.types.command(e)
	if err != nil {
		return e, nil, err
	}
	return e, cmd, nil
}

func (f *fsm) stop(err error) {
	f.stopped = fmt.Errorf("the raft log cannot be applied: %w; start a release that knows it", err)
	f.fail(f.stopped)
}

func remember(tx *state.Tx, id string, o outcome) {
	r := state.Remembered{ID: id, Index: o.result.Index, Raw: o.result.Raw}
	if o.err != nil {
		r.Status, r.Refusal = api.StatusOf(o.err), o.err.Error()
	}
	state.Remember(tx, r)
}

func recall(r *state.Remembered) outcome {
	o := outcome{result: verb.Result{Index: r.Index, Raw: r.Raw}}
	if r.Status != 0 {
		o.err = &api.Error{Status: r.Status, Message: r.Refusal}
	}
	return o
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped != nil {
		return nil, f.stopped
	}
	return &snapshot{tx: f.store.Load().Read(), index: f.last}, nil
}

// Restore implements raft.FSM. A snapshot that cannot be read changes nothing.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	s, index, err := state.Load(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.store.Store(s)
	f.last = index
	f.mu.Unlock()
	f.topics.PublishAll()
	return nil
}

// moment returns the state of now and the index of the last command in it.
func (f *fsm) moment() (*state.Tx, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Load().Read(), f.last
}

// snapshot is the state of one moment, on its way to a sink.
type snapshot struct {
	tx    *state.Tx
	index uint64
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.tx.Dump(sink, s.index); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}
