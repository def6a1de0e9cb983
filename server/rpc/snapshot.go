package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// pieceSize is how much of a snapshot travels in one message.
const pieceSize = 256 << 10

// saved is what Save replies with: first of which moment the archive is, then the archive, then that this was all of it.
type saved struct {
	Of    *verb.Saved `json:",omitempty"` // the first
	Data  []byte      `json:",omitempty"`
	Done  bool        `json:",omitempty"` // the last
	Fault *fault      `json:",omitempty"` // or this
}

// restoring is what Restore is sent: first who asks then, after the reply that somebody is ready for it, the archive, then that
// this was all of it.
type restoring struct {
	Envelope *verb.Envelope `json:",omitempty"` // the first
	Data     []byte         `json:",omitempty"`
	Done     bool           `json:",omitempty"` // the last
}

// restored is what Restore replies with: that the archive may come, then that it was restored.
type restored struct {
	Ready bool   `json:",omitempty"`
	Done  bool   `json:",omitempty"`
	Fault *fault `json:",omitempty"`
}

// pieceWriter sends what is written to it. The buffer before it makes the pieces.
type pieceWriter func(data []byte) error

// Write implements io.Writer.
func (w pieceWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), pieceSize)
		if err := w(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// pieceReader reads what comes in pieces. The last one says that it is: whoever breaks off is not taken for one who has ended.
type pieceReader struct {
	next func() (data []byte, done bool, err error)
	rest []byte
	err  error
}

// Read implements io.Reader.
func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		data, done, err := r.next()
		switch r.rest = data; {
		case errors.Is(err, io.EOF):
			r.err = io.ErrUnexpectedEOF
		case err != nil:
			r.err = err
		case done:
			r.err = io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// snapshots is the part of a handler that knows snapshots.
func snapshots(srv any) (verb.SnapshotHandler, error) {
	if h, ok := srv.(verb.SnapshotHandler); ok {
		return h, nil
	}
	return nil, api.Errorf(http.StatusNotImplemented, "this server has no snapshots")
}

func serveSave(srv any, stream grpc.ServerStream) error {
	var in request
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	in.Options.Token, in.Options.Datacenter, in.Options.Tenant = in.Envelope.Token, in.Envelope.Datacenter, in.Envelope.Tenant
	send := func(out *saved) error {
		if err := stream.SendMsg(out); err != nil {
			return &sendError{err}
		}
		return nil
	}
	out := bufio.NewWriterSize(pieceWriter(func(data []byte) error { return send(&saved{Data: data}) }), pieceSize)
	h, err := snapshots(srv)
	if err == nil {
		err = h.SaveEnvelope(stream.Context(), in.Envelope, in.Options, func(of verb.Saved) (io.Writer, error) { return out, send(&saved{Of: &of}) })
	}
	if err == nil {
		err = out.Flush()
	}
	var broken *sendError
	switch {
	case errors.As(err, &broken):
		return err
	case err != nil:
		return stream.SendMsg(&saved{Fault: faultOf(err)})
	}
	return stream.SendMsg(&saved{Done: true})
}

func serveRestore(srv any, stream grpc.ServerStream) error {
	var in restoring
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	h, err := snapshots(srv)
	if err == nil && in.Envelope == nil {
		err = api.Errorf(http.StatusBadRequest, "restore: who asks was not told")
	}
	if err == nil {
		err = h.RestoreEnvelope(stream.Context(), *in.Envelope, func() (io.Reader, error) {
			return &pieceReader{next: func() ([]byte, bool, error) {
				var in restoring
				err := stream.RecvMsg(&in)
				return in.Data, in.Done, err
			}}, stream.SendMsg(&restored{Ready: true})
		})
	}
	if err != nil {
		return stream.SendMsg(&restored{Fault: faultOf(err)})
	}
	return stream.SendMsg(&restored{Done: true})
}

// open begins a stream whose messages are not frames.
func (l *link) open(ctx context.Context, d *grpc.StreamDesc, name string, first any) (grpc.ClientStream, error) {
	if err := l.ready(ctx); err != nil {
		return nil, &transportError{err: err}
	}
	s, err := l.conn.NewStream(ctx, d, method(name))
	if err == nil {
		err = s.SendMsg(first)
	}
	if err != nil && !errors.Is(err, io.EOF) { // after io.EOF it is receiving that tells why
		return nil, &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
	}
	return s, nil
}

// save has one server save. Before begin was called the error is a *transportError or the server's own; afterwards nobody may
// take it for one after which another server can be asked.
func (l *link) save(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := l.open(ctx, &grpc.StreamDesc{ServerStreams: true}, methodSave, strip(e, o))
	if err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
	}
	var w io.Writer
	for {
		var in saved
		err := s.RecvMsg(&in)
		switch {
		case err != nil && w == nil:
			return &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
		case err != nil:
			return fmt.Errorf("the snapshot is not whole, server %s broke off: %v", l.addr, err)
		case in.Fault != nil && w == nil:
			return in.Fault.err()
		case in.Fault != nil:
			return fmt.Errorf("the snapshot is not whole: %v", in.Fault.err())
		case w == nil && in.Of != nil:
			if w, err = begin(*in.Of); err != nil {
				return err
			}
		case w == nil:
			return fmt.Errorf("server %s does not say of which moment its snapshot is", l.addr)
		case in.Done:
			return nil
		}
		if _, err := w.Write(in.Data); err != nil {
			return err
		}
	}
}

// restore has one server restore. After open was called nobody may take an error for one after which another can be asked.
func (l *link) restore(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := l.open(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, methodRestore, &restoring{Envelope: &e})
	if err != nil {
		return err
	}
	var in restored
	switch err := s.RecvMsg(&in); {
	case err != nil:
		return &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
	case in.Fault != nil:
		return in.Fault.err()
	case !in.Ready:
		return fmt.Errorf("server %s does not say that it is ready for the snapshot", l.addr)
	}
	r, err := open()
	if err != nil {
		return err
	}
	if err := l.send(s, r); err != nil {
		return err
	}
	in = restored{}
	switch err := s.RecvMsg(&in); {
	case err != nil:
		return fmt.Errorf("it is not known whether the snapshot was restored, server %s broke off: %v", l.addr, err)
	case in.Fault != nil:
		return &api.Error{Status: in.Fault.Status, Message: in.Fault.Message}
	}
	return nil
}

// send sends the archive. When the server does not want any more of it, the reply tells why.
func (l *link) send(s grpc.ClientStream, r io.Reader) error {
	buffer := make([]byte, pieceSize)
	for {
		n, err := fill(r, buffer)
		done := errors.Is(err, io.EOF)
		if err != nil && !done {
			return fmt.Errorf("read the snapshot: %w; nothing was changed", err)
		}
		if err := s.SendMsg(&restoring{Data: buffer[:n], Done: done}); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("send the snapshot to server %s: %v; nothing was changed", l.addr, err)
		}
		if done {
			return nil
		}
	}
}

// fill reads until the buffer is full, or there is an error: the reader's own, so that its end is told from its breaking off.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var more int
		more, err = r.Read(buffer[n:])
		n += more
	}
	return n, err
}

var (
	_ verb.Snapshots       = (*Client)(nil)
	_ verb.SnapshotHandler = (*Leader)(nil)
)

// noAnswer is instead of nothing.
func noAnswer() (struct{}, bool) { return struct{}{}, false }

// Save implements verb.Snapshots.
func (c *Client) Save(ctx context.Context, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	e, err := verb.Bare(o)
	if err != nil {
		return err
	}
	return c.SaveEnvelope(ctx, e, o, begin)
}

// Restore implements verb.Snapshots.
func (c *Client) Restore(ctx context.Context, o verb.Options, open func() (io.Reader, error)) error {
	e, err := verb.Bare(o)
	if err != nil {
		return err
	}
	return c.RestoreEnvelope(ctx, e, open)
}

// SaveEnvelope implements verb.SnapshotHandler.
func (l *Leader) SaveEnvelope(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	to, err := l.link()
	if err != nil {
		return err
	}
	e.Forwarded = true
	return unanswered(to.save(ctx, e, o, begin), false)
}

// RestoreEnvelope implements verb.SnapshotHandler.
func (l *Leader) RestoreEnvelope(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	to, err := l.link()
	if err != nil {
		return err
	}
	e.Forwarded = true
	return unanswered(to.restore(ctx, e, open), false)
}
