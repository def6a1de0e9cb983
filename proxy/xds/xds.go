// Package xds delivers Envoy's resources: it serves delta ADS to the sidecars of this host.
//
// A stream is answered only once the proxy's snapshot is complete, and nothing is removed because it is not known yet: an
// Envoy that reconnects after a restart of the agent is sent what differs from what it says it holds, and nothing else. What is
// new is made before what is old is broken: clusters, then their endpoints, then the listeners and routes that lead to them, and
// removals last, when no listener or route that Envoy has can lead there any more. One goroutine writes to each Envoy, and between it and the snapshots stands only the newest of them, so an Envoy that
// does not read holds up nobody and costs no memory.
//
// What the resources say is decided by proxy/envoy, and what a snapshot holds by proxy/snapshot. Listening, TLS and keepalive
// are the business of whoever makes the gRPC server.
package xds

import (
	"context"
	"log/slog"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parleymesh/parley/proxy/envoy"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// Options say what a server serves.
type Options struct {
	Source snapshot.Source
	Logger *slog.Logger // nil: none
}

// Server serves the aggregated discovery service. It is safe for concurrent use.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	source  snapshot.Source
	log     *slog.Logger
	builder *envoy.Builder
	ctx     context.Context
	stop    context.CancelFunc

	mu      sync.Mutex // guards what follows
	closed  bool
	streams map[*stream]struct{}
	wg      sync.WaitGroup // of the streams; grows with mu held and not closed
}

// NewServer returns a server of the source's snapshots. It is to be closed.
func NewServer(o Options) *Server {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Server{
		source: o.Source, log: log.With("component", "xds"), builder: envoy.NewBuilder(),
		ctx: ctx, stop: stop, streams: map[*stream]struct{}{},
	}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// Close ends all streams, and returns when they have ended. Envoys keep what they hold and try again.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}

// StreamAggregatedResources implements the older protocol by refusing it.
func (s *Server) StreamAggregatedResources(grpc.BidiStreamingServer[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]) error {
	return status.Error(codes.Unimplemented, "only the delta protocol is served: set api_type to DELTA_GRPC in the bootstrap's ads_config")
}

// DeltaAggregatedResources implements the service: it serves one Envoy until it goes away.
func (s *Server) DeltaAggregatedResources(in grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]) error {
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	st := &stream{server: s, in: in, client: newClient(), log: s.log}
	if !s.enter(st) {
		return errClosing
	}
	defer s.leave(st)
	err := st.serve(ctx, cancel)
	if s.ctx.Err() != nil {
		return errClosing
	}
	return err
}

var errClosing = status.Error(codes.Unavailable, "the agent is shutting down; try again")

func (s *Server) enter(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.streams[st] = struct{}{}
	s.wg.Add(1)
	return true
}

// Streams is how many proxies are being served.
func (s *Server) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

func (s *Server) leave(st *stream) {
	s.mu.Lock()
	delete(s.streams, st)
	s.mu.Unlock()
	s.wg.Done()
}

// tokenOf returns the token that came with the stream, or nothing.
func tokenOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get(envoy.TokenHeader); len(values) > 0 {
		return values[0]
	}
	return ""
}

// proxyID returns which proxy a node is.
func proxyID(node *corev3.Node) (string, error) {
	if node.GetId() == "" {
		return "", status.Error(codes.InvalidArgument, "the first request names no node; the node's id must be the id of the proxy's registration")
	}
	return node.GetId(), nil
}
