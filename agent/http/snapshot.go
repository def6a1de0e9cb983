package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// Snapshots saves and restores the servers' state as a whole: the local server, or the RPC client of an agent without one.
type Snapshots interface {
	Save(ctx context.Context, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error
	Restore(ctx context.Context, o verb.Options, open func() (io.Reader, error)) error
}

var snapshotRoutes = []route{on("/v1/snapshot", get(saveSnapshot), put(restoreSnapshot))}

// snapshots refuses where there are none.
func (r *request) snapshots() (Snapshots, error) {
	if r.s.opts.Snapshots == nil {
		return nil, api.Errorf(http.StatusNotImplemented, "this agent has no snapshots")
	}
	return r.s.opts.Snapshots, nil
}

// saveSnapshot streams an archive. When that fails in its midst the connection is cut: half of one must not pass for a whole one.
func saveSnapshot(r *request) (any, error) {
	s, err := r.snapshots()
	if err != nil {
		return nil, err
	}
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	o.MinIndex = 0
	ctx, stop := r.s.untilClose(r.Context())
	defer stop()
	began := false
	err = s.Save(ctx, o, func(of verb.Saved) (io.Writer, error) {
		began = true
		r.showMeta(verb.Answer{Index: of.Index, KnownLeader: of.KnownLeader, LastContact: of.LastContact})
		r.w.Header().Set("Content-Type", "application/x-gzip")
		r.w.WriteHeader(http.StatusOK)
		return &slowWriter{r.w, http.NewResponseController(r.w)}, nil
	})
	switch {
	case err == nil:
		return answered, nil
	case began:
		r.s.log.Warn("a snapshot was not saved to its end", "from", r.RemoteAddr, "err", err)
		panic(http.ErrAbortHandler)
	case r.s.closing.Err() != nil:
		err = errClosing
	}
	return nil, err
}

// slowWriter gives a client time for each piece, however many there are.
type slowWriter struct {
	w  io.Writer
	rc *http.ResponseController
}

// Write implements io.Writer.
func (s *slowWriter) Write(p []byte) (int, error) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTime(len(p))))
	return s.w.Write(p)
}

// restoreSnapshot reads an archive, of any size, once the leader is ready for it.
func restoreSnapshot(r *request) (any, error) {
	s, err := r.snapshots()
	if err != nil {
		return nil, err
	}
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	rc := http.NewResponseController(r.w)
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	ctx, stop := r.s.untilClose(r.Context())
	defer stop()
	err = s.Restore(ctx, o, func() (io.Reader, error) { return &slowReader{r.Body, rc}, nil })
	if err != nil && errors.Is(err, context.Canceled) && r.s.closing.Err() != nil {
		err = errClosing
	}
	return nil, err
}

// slowReader gives a client time for each piece, however many there are.
type slowReader struct {
	r  io.Reader
	rc *http.ResponseController
}

// Read implements io.Reader.
func (s *slowReader) Read(p []byte) (int, error) {
	_ = s.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	return s.r.Read(p)
}
