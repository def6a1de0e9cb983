package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/parleymesh/parley/server/verb"
)

// attempt bounds one try at one server, where a try need not wait for anything to change: a server that takes longer is
// given up for another, which is given the same id.
const attempt = 4 * time.Second

// transportError means that the server did not answer. What was sent may have been carried out.
type transportError struct {
	err  error
	sent bool
}

// Error implements error.
func (e *transportError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *transportError) Unwrap() error { return e.err }

func method(name string) string { return "/" + serviceName + "/" + name }

// strip leaves out of the options what travels in the envelope.
func strip(e verb.Envelope, o verb.Options) *request {
	o.Token, o.Datacenter = "", ""
	return &request{Envelope: e, Options: o}
}

// apply tries a command at one server. The error is a *transportError or the server's own.
func (l *link) apply(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if err := l.ready(ctx); err != nil {
		return verb.Result{}, &transportError{err: err}
	}
	var out applied
	if err := l.conn.Invoke(ctx, method(methodApply), &request{Envelope: e}, &out); err != nil {
		return verb.Result{}, &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
	}
	if out.Fault != nil {
		return verb.Result{}, out.Fault.err()
	}
	return out.Result, nil
}

// ping asks a server whether it is there, at once: also where the connection waits before it is made again.
func (l *link) ping(ctx context.Context) error {
	if l.conn.GetState() == connectivity.TransientFailure {
		l.conn.ResetConnectBackoff()
		// It may have tried, and failed, before this is looked at.
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		l.conn.WaitForStateChange(soon, connectivity.TransientFailure)
		cancel()
	}
	if err := l.ready(ctx); err != nil {
		return err
	}
	err := l.conn.Invoke(ctx, method(methodPing), &ping{}, new(ping))
	if err != nil && status.Code(err) != codes.Unimplemented { // which is an answer, too
		return fmt.Errorf("server %s: %w", l.addr, err)
	}
	return nil
}

// query tries a query at one server.
func (l *link) query(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	if o.MinIndex == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attempt)
		defer cancel()
	}
	s, err := l.stream(ctx, methodQuery, e, o)
	if err != nil {
		return verb.Answer{}, err
	}
	defer s.close()
	f, err := s.next()
	if err != nil {
		return verb.Answer{}, err
	}
	return verb.Answer{
		Index: f.Index, Rows: f.rows(), KnownLeader: f.KnownLeader, LastContact: f.LastContact, Filtered: f.Filtered,
	}, nil
}

// stream is an open Query or Watch.
type stream struct {
	link   *link
	in     grpc.ClientStream
	cancel context.CancelFunc
}

// stream opens a Query or Watch at one server.
func (l *link) stream(ctx context.Context, name string, e verb.Envelope, o verb.Options) (*stream, error) {
	if err := l.ready(ctx); err != nil {
		return nil, &transportError{err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{link: l, cancel: cancel}
	var err error
	if s.in, err = l.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method(name)); err == nil {
		if err = s.in.SendMsg(strip(e, o)); err == nil || errors.Is(err, io.EOF) {
			// After io.EOF it is receiving that tells why.
			err = s.in.CloseSend()
		}
	}
	if err != nil {
		cancel()
		return nil, &transportError{fmt.Errorf("server %s: %w", l.addr, err), true}
	}
	return s, nil
}

// next returns the next frame. The error is a *transportError or the server's own.
func (s *stream) next() (*frame, error) {
	broken := false
	f, err := whole(func(f *frame) error {
		err := s.in.RecvMsg(f)
		broken = err != nil
		return err
	})
	if broken {
		return nil, &transportError{fmt.Errorf("server %s: %w", s.link.addr, err), true}
	}
	return f, err
}

func (s *stream) close() { s.cancel() }
