package snapshot

import (
	"context"
	"errors"
)

// What Subscribe and Next can fail with, apart from the context's error. Anything else is temporary: what was last
// known stays in force.
var (
	// ErrDenied means that the token may not have the proxy's configuration, which includes its private key.
	ErrDenied = errors.New("permission denied")
	// ErrClosed means that the source or the stream has been closed.
	ErrClosed = errors.New("closed")
)

// Source hands out the snapshots of this host's proxies.
type Source interface {
	// Subscribe follows a proxy on behalf of whoever holds the token. It does not wait: a proxy that is not registered
	// yet, or about which not everything is known yet, only has no first snapshot yet. It fails with ErrDenied when the
	// token is known not to suffice.
	Subscribe(ctx context.Context, proxyID, token string) (Stream, error)
}

// Stream follows one proxy. It is used by one goroutine; only Close may be called from another, and more than once.
type Stream interface {
	// Next waits for a snapshot newer than the last it returned. Of several, only the newest is returned. A proxy that is
	// deregistered keeps its last snapshot: what it may still do is for its operator, who stops it, to decide.
	Next(ctx context.Context) (*Snapshot, error)
	Close()
}
