// Package verb holds the shapes of the two things anyone can ask of Parley's servers: a Command changes the replicated
// state, a Query reads it. Noun packages (catalog, kv, intention, ...) declare them as plain structs; server/core carries
// them out, server/rpc carries them over the network, and agents hold a Client that hides which of the two it is.
//
// The package decides nothing: routing, authorisation, replication and watching are core's.
package verb

import (
	"context"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
)

// Command is a change. Its exported fields are its payload in the log, so a field, once released, keeps its meaning.
type Command interface {
	// CommandType is the command's stable name in the log, such as "catalog.register".
	CommandType() string
	// Validate checks the shape without any state. The error is an *api.Error that names the field.
	Validate() error
	// Needs names the permissions the change takes, judged at the leader against its state.
	Needs(tx *state.Tx) []api.Permission
	// Apply makes the change. It is deterministic, runs on every server, and checks what must be true at that moment
	// itself, all of it before its first write. The result must have an encoding; nil is fine.
	Apply(tx *state.Tx) (any, error)
}

// Stamped is a Command that needs the time or a new identifier. Both are decided once, on the leader, before
// replication, so that Apply stays deterministic.
type Stamped interface {
	Command
	// Stamp returns the command with what it needs filled in.
	Stamp(Stamp) Command
}

// Stamp is what the leader knows and a replica may not ask: the time, and identifiers that nobody has used.
type Stamp struct {
	Time  time.Time // UTC
	NewID func() string
}

// Gathered is a Command that is told again and again and that nobody waits for: the leader answers it once it is
// authorised, gathers those of a moment, and appends them as one. It has no result, and some may be lost with a leader.
type Gathered interface {
	Command
	// Gather returns one command, of the same type, for this one and all later ones.
	Gather(later []Command) Command
}

// Query is a read. Its exported fields are its arguments.
type Query interface {
	// QueryType is the query's stable name between releases, such as "health.service".
	QueryType() string
	// Validate checks the shape without any state.
	Validate() error
	// Needs names the permissions without which the query is refused as a whole.
	Needs() []api.Permission
	// Read returns the rows. What it reads through tx is what wakes those who watch the query.
	Read(tx *state.Tx) ([]*Row, error)
	// NewValue returns a pointer to the type of a row's Value, for decoding it far away.
	NewValue() any
}

// Mode says which server may answer a query.
type Mode uint8

// The consistency modes, as the public HTTP API names them.
const (
	Default    Mode = iota // the leader, by its lease
	Stale                  // any server
	Consistent             // the leader, after it has made sure that it still leads
)

// Options says how a command or query is to be carried out. The zero value is the local datacenter, no token, and the
// default mode.
type Options struct {
	Datacenter string
	Tenant     api.Tenant
	Token      string

	// What follows is for queries.
	Mode     Mode
	MinIndex uint64        // wait until the answer's index is above it; 0 does not wait
	Wait     time.Duration // at the most so long; 0 means the server's default
	MaxStale time.Duration // a stale answer older than this is asked of the leader instead; 0 means any age
}

// Result is what a command returned.
type Result struct {
	Index uint64
	// Raw is the encoded result; empty for none.
	Raw []byte
}

// Decode reads the result into the value that v points to and leaves it alone when there is no result.
func (r Result) Decode(v any) error {
	if len(r.Raw) == 0 {
		return nil
	}
	return codec.Decode(r.Raw, v)
}

// Answer is what a query returned. Rows are sorted by key, shared with other readers, and never changed.
type Answer struct {
	Index       uint64
	Rows        []*Row
	KnownLeader bool
	LastContact time.Duration // since the answering server heard from the leader; 0 on the leader
	Filtered    bool          // rows were left out that the token may not see
}

// Decode gives the rows that came from elsewhere their values; see Row.Decode.
func (a Answer) Decode(newValue func() any) error {
	for _, r := range a.Rows {
		if err := r.Decode(newValue); err != nil {
			return err
		}
	}
	return nil
}

// Values returns the rows' values, which are pointers of the type that the query's NewValue returns.
func Values[T any](a Answer) []T {
	out := make([]T, len(a.Rows))
	for i, r := range a.Rows {
		out[i] = r.Value.(T)
	}
	return out
}

// Reader follows a query. It is used by one goroutine; only Close may be called from another.
type Reader interface {
	// Next returns the first answer, then each time the newest one after a change.
	Next(ctx context.Context) (Answer, error)
	Close()
}

// Client carries out commands and queries: the local server, or the RPC client of an agent without one. Whoever uses
// it declares the few of these methods that it needs.
type Client interface {
	Apply(ctx context.Context, o Options, c Command) (Result, error)
	Query(ctx context.Context, o Options, q Query) (Answer, error)
	Watch(ctx context.Context, o Options, q Query) (Reader, error)
}
