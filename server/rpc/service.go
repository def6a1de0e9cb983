package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/parleymesh/parley/server/verb"
)

// The names under which the methods are called.
const (
	serviceName   = "parley.Server"
	methodApply   = "Apply"
	methodQuery   = "Query"
	methodWatch   = "Watch"
	methodSave    = "Save"
	methodRestore = "Restore"
	methodPing    = "Ping"
)

// beat is how often a quiet watch says how old its server's state is.
const beat = 10 * time.Second

// NewServer returns a gRPC server that answers with h. Serve it what Listener.GRPC accepts.
func NewServer(h verb.Handler) *grpc.Server {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(msgpack{}),
		grpc.MaxRecvMsgSize(maxMessage),
		// Agents ask often whether the server is there, also without a request.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveEvery / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	Register(s, h)
	return s
}

// Register adds the methods to a gRPC server that uses this package's codec.
func Register(s grpc.ServiceRegistrar, h verb.Handler) { s.RegisterService(describe(), h) }

// describe is what a generator would have written.
func describe() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*verb.Handler)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: methodApply, Handler: serveApply}, {MethodName: methodPing, Handler: servePing}},
		Streams: []grpc.StreamDesc{
			{StreamName: methodQuery, Handler: serveStream(serveQuery), ServerStreams: true},
			{StreamName: methodWatch, Handler: serveStream(serveWatch), ServerStreams: true},
			{StreamName: methodSave, Handler: serveSave, ServerStreams: true},
			{StreamName: methodRestore, Handler: serveRestore, ServerStreams: true, ClientStreams: true},
		},
	}
}

func serveApply(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in request
	if err := decode(&in); err != nil {
		return nil, err
	}
	ctx, cancel := early(ctx)
	defer cancel()
	r, err := srv.(verb.Handler).ApplyEnvelope(ctx, in.Envelope)
	if err != nil {
		return &applied{Fault: faultOf(err)}, nil
	}
	return &applied{Result: r}, nil
}

// ping is what Ping is sent and replies with. That there is a reply is all there is to it.
type ping struct{}

func servePing(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	return &ping{}, decode(new(ping))
}

// early ends a little before the caller's patience does, so that the caller hears why it was not answered.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end.Add(-min(time.Until(end)/8, time.Second)))
}

// serveStream reads the one request of a stream and tells the error of the handler by a last frame. Errors of gRPC's own
// are so errors of the transport only.
func serveStream(serve func(context.Context, verb.Handler, request, func(*frame) error) error) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		var in request
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		in.Options.Token, in.Options.Datacenter, in.Options.Tenant = in.Envelope.Token, in.Envelope.Datacenter, in.Envelope.Tenant
		send := func(f *frame) error {
			if err := stream.SendMsg(f); err != nil {
				return &sendError{err}
			}
			return nil
		}
		err := serve(stream.Context(), srv.(verb.Handler), in, send)
		var broken *sendError
		if err == nil || errors.As(err, &broken) {
			return err
		}
		return stream.SendMsg(&frame{Fault: faultOf(err)})
	}
}

// sendError is an error of the stream itself: nothing more can be said on it.
type sendError struct{ err error }

// Error implements error.
func (e *sendError) Error() string { return e.err.Error() }

// Unwrap returns the error of the stream.
func (e *sendError) Unwrap() error { return e.err }

func serveQuery(ctx context.Context, h verb.Handler, in request, send func(*frame) error) error {
	ctx, cancel := early(ctx)
	defer cancel()
	a, err := h.QueryEnvelope(ctx, in.Envelope, in.Options)
	if err != nil {
		return err
	}
	return pieces(difference(nil, a, true), a, send)
}

func serveWatch(ctx context.Context, h verb.Handler, in request, send func(*frame) error) error {
	r, err := h.WatchEnvelope(ctx, in.Envelope, in.Options)
	if err != nil {
		return err
	}
	defer r.Close()
	var sent []*verb.Row
	for first := true; ; {
		a, changed, err := next(ctx, r)
		if err != nil {
			return err
		}
		if !changed {
			if err := sendBeat(r, send); err != nil {
				return err
			}
			continue
		}
		if err := pieces(difference(sent, a, first), a, send); err != nil {
			return err
		}
		sent, first = a.Rows, false
	}
}

// next waits for a change, but no longer than a beat.
func next(ctx context.Context, r verb.Reader) (a verb.Answer, changed bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	a, err = r.Next(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return a, false, nil
	}
	return a, err == nil, err
}

// contact is a reader that knows how old what it shows may be.
type contact interface {
	Contact() (knownLeader bool, last time.Duration)
}

func sendBeat(r verb.Reader, send func(*frame) error) error {
	f := &frame{Beat: true}
	if c, ok := r.(contact); ok {
		f.KnownLeader, f.LastContact = c.Contact()
	} else {
		f.KnownLeader = true
	}
	return send(f)
}
