package verb

import (
	"context"
	"io"
	"time"
)

// Snapshots saves and restores the state as a whole, as an archive (server/archive).
type Snapshots interface {
	// Save calls begin once, when the archive is about to be written to what that returns. After an error the archive is not
	// whole, and before begin was called nothing of it is there. Of the options, the place, the token and the mode count.
	Save(ctx context.Context, o Options, begin func(Saved) (io.Writer, error)) error
	// Restore calls open once, when somebody is ready to read the archive, and puts its state in the place of all there is. An
	// archive that is not whole changes nothing.
	Restore(ctx context.Context, o Options, open func() (io.Reader, error)) error
}

// SnapshotHandler is the servers' side of Snapshots. The envelope has no type and no payload.
type SnapshotHandler interface {
	SaveEnvelope(ctx context.Context, e Envelope, o Options, begin func(Saved) (io.Writer, error)) error
	RestoreEnvelope(ctx context.Context, e Envelope, open func() (io.Reader, error)) error
}

// Saved tells of which moment an archive is.
type Saved struct {
	Index       uint64
	KnownLeader bool
	LastContact time.Duration // since the server heard from the leader; 0 on the leader
}

// Bare returns an envelope without type and payload, for SnapshotHandler.
func Bare(o Options) (Envelope, error) { return Wrap(o, "", nil) }
