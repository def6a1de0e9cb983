package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/archive"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// mayEverything is what saving and restoring need: all secrets are in a snapshot, the certificate authority's key among them, and
// who may restore one may make any state.
func mayEverything() []api.Permission { return []api.Permission{{Resource: "acl", Access: api.Write}} }

// restoreGap is how far beyond the end of the log the index of a restored state is: more than can be appended until it is raft's
// turn to restore, since nobody is answered as by a leader meanwhile. So it is known before which index that will be.
const restoreGap = 1 << 16

// Save implements verb.Snapshots.
func (c *Core) Save(ctx context.Context, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	e, err := verb.Bare(o)
	if err != nil {
		return err
	}
	return c.SaveEnvelope(ctx, e, o, begin)
}

// SaveEnvelope implements verb.SnapshotHandler.
func (c *Core) SaveEnvelope(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	if there, err := c.routeSnapshots(e.Datacenter); err != nil {
		return err
	} else if there != nil {
		return there.SaveEnvelope(ctx, e, o, begin)
	}
	if o.Mode == verb.Default {
		o.Mode = verb.Consistent // it costs one round to the others, and nobody wants an old backup
	}
	var began bool
	var over error // it has begun, and cannot be begun again
	_, err := hold(ctx, c, e.Forwarded, false, func(ctx context.Context) (struct{}, error) {
		first := func(s verb.Saved) (io.Writer, error) {
			began = true
			return begin(s)
		}
		_, here, err := c.place(ctx, o)
		if err == nil && here {
			err = c.saveHere(ctx, e, first)
		} else if err == nil {
			err = c.saveThere(ctx, e, o, first)
		}
		if err != nil && began {
			over, err = err, nil
		}
		return struct{}{}, err
	})
	return errors.Join(over, err)
}

// saveThere has the leader save.
func (c *Core) saveThere(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	to, err := c.snapshotsElsewhere(e.Forwarded)
	if err != nil {
		return err
	}
	return to.SaveEnvelope(ctx, e, o, begin)
}

func (c *Core) snapshotsElsewhere(forwarded bool) (verb.SnapshotHandler, error) {
	leader, err := c.elsewhere(forwarded)
	if err != nil {
		return nil, err
	}
	to, ok := leader.(verb.SnapshotHandler)
	if !ok {
		return nil, verb.ErrNoLeader
	}
	return to, nil
}

// saveHere writes this server's state of now. What is written meanwhile is not in it, and does not wait.
func (c *Core) saveHere(ctx context.Context, e verb.Envelope, begin func(verb.Saved) (io.Writer, error)) error {
	tx, index := c.fsm.moment()
	if err := c.mayEverything(tx, e); err != nil {
		return err
	}
	m := archive.Meta{Release: c.opts.Release, Index: index, Term: c.raft.CurrentTerm(), Created: time.Now().UTC(), Datacenter: c.opts.Datacenter}
	m.Identify()
	plan, err := archive.Prepare(&m, func(w io.Writer) error { return tx.Dump(untilDone(ctx, w), index) })
	if err != nil {
		return err
	}
	leader, _ := c.raft.LeaderWithID()
	w, err := begin(verb.Saved{Index: max(index, 1), KnownLeader: leader != "", LastContact: c.lastContact()})
	if err != nil {
		return err
	}
	return plan.Write(w)
}

// mayEverything judges an envelope without a type.
func (c *Core) mayEverything(tx *state.Tx, e verb.Envelope) error {
	if e.Version != verb.EnvelopeVersion {
		return api.Errorf(http.StatusBadRequest, "envelope of version %d, this release reads %d", e.Version, verb.EnvelopeVersion)
	}
	judge, err := c.opts.Authorizer.Judge(tx, e.Token)
	if err != nil {
		return err
	}
	return allow(judge, mayEverything())
}

// untilDone is a writer that fails when ctx has ended.
func untilDone(ctx context.Context, w io.Writer) io.Writer { return &ctxWriter{ctx, w} }

type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (w *ctxWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// Restore implements verb.Snapshots.
func (c *Core) Restore(ctx context.Context, o verb.Options, open func() (io.Reader, error)) error {
	e, err := verb.Bare(o)
	if err != nil {
		return err
	}
	return c.RestoreEnvelope(ctx, e, open)
}

// RestoreEnvelope implements verb.SnapshotHandler.
func (c *Core) RestoreEnvelope(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	if there, err := c.routeSnapshots(e.Datacenter); err != nil {
		return err
	} else if there != nil {
		return there.RestoreEnvelope(ctx, e, open)
	}
	var opened bool
	var over error // it has been opened, and cannot be opened again
	_, err := hold(ctx, c, e.Forwarded, false, func(ctx context.Context) (struct{}, error) {
		once := func() (io.Reader, error) {
			opened = true
			return open()
		}
		_, here, err := c.place(ctx, verb.Options{})
		if err == nil && here {
			err = c.restoreHere(ctx, e, once)
		} else if err == nil {
			err = c.restoreThere(ctx, e, once)
		}
		if err != nil && opened {
			over, err = err, nil
		}
		return struct{}{}, err
	})
	return errors.Join(over, err)
}

func (c *Core) restoreThere(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	to, err := c.snapshotsElsewhere(e.Forwarded)
	if err != nil {
		return err
	}
	return to.RestoreEnvelope(ctx, e, open)
}

// restoreHere reads an archive on the leader and, once all of it is known to be good, has raft put its state in the place of what
// there is, on all servers.
func (c *Core) restoreHere(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	tx := c.Store().Read()
	if err := c.mayEverything(tx, e); err != nil {
		return err
	}
	if c.opts.Admit != nil {
		if err := c.opts.Admit(); err != nil {
			return err
		}
	}
	// Most of the servers must be there, now: raft puts the state back here before it asks the others.
	if err := c.proved(ctx); err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return err
	}
	var loaded *state.Store
	m, err := archive.Read(r, func(m archive.Meta, in io.Reader) error {
		if c.opts.AdmitSnapshot != nil {
			if err := c.opts.AdmitSnapshot(m.Size); err != nil {
				return archive.Refuse(err)
			}
		}
		var err error
		loaded, _, err = state.Load(in)
		return err
	})
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nothingChanged(err)
	}
	return c.putBack(ctx, m, loaded)
}

// nothingChanged says so. Whose fault it is, the public API does not tell by the status.
func nothingChanged(err error) error {
	return api.Errorf(api.StatusOf(err), "%v; nothing was changed", err)
}

// putBack makes the loaded state that of all servers.
func (c *Core) putBack(ctx context.Context, m archive.Meta, s *state.Store) error {
	done := make(chan error, 1)
	do := func(leads bool) {
		if !leads {
			done <- nothingChanged(verb.ErrNoLeader)
			return
		}
		done <- c.install(m, s)
	}
	select {
	case c.interludes <- do:
		return <-done // once begun it goes on to its end, whether or not anybody waits
	case <-ctx.Done():
		return nothingChanged(ctx.Err())
	case <-c.ending:
		return nothingChanged(verb.ErrNoLeader)
	}
}

// install has raft take the state. It is called between two terms of the core's.
func (c *Core) install(m archive.Meta, s *state.Store) error {
	start, began := time.Now(), false
	index := max(m.Index, c.raft.LastIndex()) + restoreGap
	s.Rebase(index + 1) // which is where raft will put it
	tx := s.Read()
	dump := func(w io.Writer) error { return tx.Dump(w, index+1) }
	var size length
	if err := dump(&size); err != nil {
		return nothingChanged(err)
	}
	pr, pw := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = pw.CloseWithError(dump(pw))
	}()
	err := c.ask(func() error {
		// What is on its way comes to an end first. Raft refuses, too, while a change of its configuration is.
		if err := c.raft.Barrier(c.opts.Hold).Error(); err != nil {
			return err
		}
		began = true
		return c.raft.Restore(&raft.SnapshotMeta{Version: 1, Index: index, Term: m.Term, Size: int64(size)}, pr, 0)
	})
	_ = pr.Close()
	<-written
	switch {
	case err != nil && (!began || c.Store().Last() < index):
		return nothingChanged(fmt.Errorf("restore the snapshot: %w", err))
	case err != nil:
		return api.Errorf(http.StatusInternalServerError, "restore the snapshot: %v: it is not known whether most servers have the restored state; "+
			"see what is there, and restore once more if that is something else", err)
	}
	c.log.Warn("the state was put back from a snapshot", "snapshot", m.ID, "saved", m.Created, "datacenter", m.Datacenter, "snapshot_index", m.Index,
		"index", index+1, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// length counts what is written to it.
type length int64

// Write implements io.Writer.
func (n *length) Write(p []byte) (int, error) {
	*n += length(len(p))
	return len(p), nil
}
