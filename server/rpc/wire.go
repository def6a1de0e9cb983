package rpc

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// Message bounds. A frame is cut into pieces of about chunk bytes; one row may be longer.
const (
	chunk      = 1 << 20
	maxMessage = 64 << 20
)

// request is what Apply, Query and Watch are sent. Options' token and datacenter stand in the envelope.
type request struct {
	Envelope verb.Envelope
	Options  verb.Options
}

// applied is Apply's reply.
type applied struct {
	Result verb.Result
	Fault  *fault `json:",omitempty"`
}

// frame is what Query and Watch reply with: all rows, or what changed. A frame that does not fit one message comes in
// pieces, all but the last marked More.
type frame struct {
	Index   uint64
	Reset   bool     `json:",omitempty"` // these are all rows
	Upserts []row    `json:",omitempty"`
	Deletes []string `json:",omitempty"`
	More    bool     `json:",omitempty"`
	// Beat: nothing has changed but, perhaps, what follows.
	Beat        bool `json:",omitempty"`
	KnownLeader bool
	LastContact time.Duration
	Filtered    bool   `json:",omitempty"`
	Fault       *fault `json:",omitempty"` // the last of the stream
}

// row is a verb.Row as it travels. The permissions that show it have been judged before.
type row struct {
	Key     string
	Version uint64
	JSON    []byte
}

// fault is an error as it travels.
type fault struct {
	Status  int
	Message string
	Kind    string `json:",omitempty"` // one of kinds
}

// errGaveUp: the server is stopping, or ran out of time. Another may carry out what it did not, under the same id.
var errGaveUp = errors.New("the server gave up")

// kind is an error that a caller acts on, by the name under which it travels.
type kind struct {
	name string
	err  error
}

// kinds lists them, the one that tells most first.
func kinds() []kind {
	return []kind{
		{"unknown-outcome", verb.ErrUnknownOutcome}, {"not-leader", verb.ErrNotLeader}, {"no-leader", verb.ErrNoLeader},
		{"no-path", verb.ErrNoPath}, {"unreachable", verb.ErrUnreachable}, {"gave-up", errGaveUp},
	}
}

func faultOf(err error) *fault {
	f := &fault{Status: api.StatusOf(err), Message: err.Error()}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			f.Kind = k.name
			break
		}
	}
	switch {
	case f.Kind == "no-leader":
		f.Message = verb.ErrNoLeader.Message // that the caller's time ran out meanwhile is no news to it
	case f.Kind != "" || f.Status != http.StatusInternalServerError:
	case errors.Is(err, context.DeadlineExceeded):
		f.Kind, f.Message = "gave-up", "the server ran out of time: "+f.Message
	case errors.Is(err, context.Canceled):
		// It was not the caller who cancelled, or nobody would read this.
		f.Kind, f.Message = "gave-up", "the server is stopping: "+f.Message
	}
	return f
}

// err returns the error that the fault tells of.
func (f *fault) err() error {
	for _, k := range kinds() {
		if f.Kind == k.name {
			return &remoteError{text: f.Message, kind: k.err}
		}
	}
	return &api.Error{Status: f.Status, Message: f.Message}
}

// remoteError is an error of a known kind with the words of the server that met it.
type remoteError struct {
	text string
	kind error
}

// Error implements error.
func (e *remoteError) Error() string { return e.text }

// Unwrap returns the kind.
func (e *remoteError) Unwrap() error { return e.kind }

// difference is the frame that leads from the rows old to an answer.
func difference(old []*verb.Row, a verb.Answer, reset bool) watch.Frame[*verb.Row] {
	if reset {
		return watch.Frame[*verb.Row]{Index: a.Index, Reset: true, Upserts: a.Rows}
	}
	return watch.Diff(old, watch.State[*verb.Row]{Index: a.Index, Rows: a.Rows})
}

// pieces writes a frame in messages of bounded size.
func pieces(f watch.Frame[*verb.Row], a verb.Answer, send func(*frame) error) error {
	out := &frame{Index: f.Index, Reset: f.Reset, Deletes: f.Deletes, KnownLeader: a.KnownLeader, LastContact: a.LastContact, Filtered: a.Filtered}
	size := 0
	for _, r := range f.Upserts {
		data, err := r.JSON()
		if err != nil {
			return err
		}
		if size > 0 && size+len(data) > chunk {
			out.More = true
			if err := send(out); err != nil {
				return err
			}
			out, size = &frame{Index: f.Index, Reset: f.Reset, KnownLeader: a.KnownLeader, LastContact: a.LastContact, Filtered: a.Filtered}, 0
		}
		out.Upserts = append(out.Upserts, row{Key: r.Key, Version: r.Version, JSON: data})
		size += len(data) + len(r.Key) + 16
	}
	return send(out)
}

// whole receives one frame, put together again from its pieces.
func whole(recv func(*frame) error) (*frame, error) {
	var out *frame
	for {
		f := new(frame)
		if err := recv(f); err != nil {
			return nil, err
		}
		if f.Fault != nil {
			return nil, f.Fault.err()
		}
		if out == nil {
			out = f
		} else {
			out.Upserts = append(out.Upserts, f.Upserts...)
			out.Deletes = append(out.Deletes, f.Deletes...)
		}
		if !f.More {
			return out, nil
		}
	}
}

// rows returns the rows of a frame.
func (f *frame) rows() []*verb.Row {
	out := make([]*verb.Row, len(f.Upserts))
	for i, r := range f.Upserts {
		out[i] = verb.RemoteRow(r.Key, r.Version, r.JSON)
	}
	return out
}
