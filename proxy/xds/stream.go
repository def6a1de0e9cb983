package xds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parleymesh/parley/proxy/envoy"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// retryNext is how long to wait before a source is asked again that failed for a passing reason.
const retryNext = time.Second

// stream serves one Envoy. All that is not marked otherwise belongs to the goroutine of serve, which alone sends.
type stream struct {
	server *Server
	in     grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	log    *slog.Logger

	latest     *snapshot.Snapshot
	generation envoy.Generation
	resources  *envoy.Resources // nil as long as there is no snapshot
	refused    string           // the hash of a policy that this Envoy does not take

	mu       sync.Mutex // guards what follows, for Status
	proxyID  string
	client   *client
	ready    bool     // there are resources
	problems []string // of theirs
}

// serve answers requests and sends what changes until the stream ends. It returns after its goroutines have ended, which
// cancel, and the end of the gRPC stream's context after it, sees to.
func (s *stream) serve(ctx context.Context, cancel context.CancelFunc) error {
	first, err := s.in.Recv()
	if err != nil {
		return receiveError(err)
	}
	id, err := proxyID(first.GetNode())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proxyID = id
	s.mu.Unlock()
	s.log = s.log.With("proxy", id)
	follow, err := s.server.source.Subscribe(ctx, id, tokenOf(ctx))
	if err != nil {
		return sourceError(id, err)
	}
	defer follow.Close()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	requests, received := make(chan *discoveryv3.DeltaDiscoveryRequest), make(chan error, 1)
	// Recv returns when the gRPC stream ends, which is after this method returns: nobody waits for this goroutine here.
	go func() { received <- receive(ctx, s.in, requests) }()
	snapshots, failed := make(chan *snapshot.Snapshot), make(chan error, 1)
	wg.Go(func() { failed <- s.pull(ctx, follow, snapshots) })

	s.log.Debug("proxy connected")
	defer s.log.Debug("proxy disconnected")
	if err := s.request(first); err != nil {
		return err
	}
	for {
		select {
		case r := <-requests:
			err = s.request(r)
		case next := <-snapshots:
			s.update(next)
		case err := <-received:
			return receiveError(err)
		case err := <-failed:
			return sourceError(id, err)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		if err == nil {
			err = s.push()
		}
		if err != nil {
			return err
		}
	}
}

// receive hands requests over until the stream ends.
func receive(ctx context.Context, in grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse], to chan<- *discoveryv3.DeltaDiscoveryRequest) error {
	for {
		r, err := in.Recv()
		if err != nil {
			return err
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pull hands snapshots over until that fails for good. While the other side is busy, it holds one, and the source only the
// newest after it.
func (s *stream) pull(ctx context.Context, from snapshot.Stream, to chan<- *snapshot.Snapshot) error {
	for {
		next, err := from.Next(ctx)
		switch {
		case err == nil:
			select {
			case to <- next:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		case ctx.Err() != nil, errors.Is(err, snapshot.ErrDenied), errors.Is(err, snapshot.ErrClosed):
			return err
		}
		s.log.Warn("no newer snapshot of the proxy for now; it keeps what it has", "err", err)
		select {
		case <-time.After(retryNext):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request takes in what Envoy says.
func (s *stream) request(r *discoveryv3.DeltaDiscoveryRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := r.GetNode().GetId(); id != "" && id != s.proxyID {
		return status.Errorf(codes.InvalidArgument, "the stream is that of node %q and cannot become that of %q", s.proxyID, id)
	}
	listening := s.client.holds(envoy.ListenerType) != nil
	rejected, err := s.client.request(r)
	if err != nil {
		return err
	}
	for _, ref := range rejected {
		s.log.Warn("Envoy rejected a resource and keeps the one before it", "type", ref.Type, "resource", ref.Name, "err", ref.Reason)
		if envoy.CarriesPolicy(ref.Type, ref.Name) {
			s.refuse()
		}
	}
	if !listening {
		s.recollect()
	}
	return nil
}

// refuse fails closed: an Envoy that does not take a policy would go on with the one before it, so it is told to let nobody
// pass until there is another.
func (s *stream) refuse() {
	if s.latest == nil || s.refused == s.latest.Policy.Hash() {
		return
	}
	s.refused = s.latest.Policy.Hash()
	s.log.Error("Envoy does not take the intentions as they are; it lets nobody call until they change", "service", s.latest.Service)
	s.build()
}

// recollect learns from an Envoy that has been connected before which generation its public listener is of: after a restart of
// the agent nothing else knows. It does nothing until Envoy has told what listeners it holds.
func (s *stream) recollect() {
	for name, version := range s.client.holds(envoy.ListenerType) {
		if g, ok := envoy.ReadGeneration(name, version); ok {
			s.generation = g
			if s.latest != nil {
				s.build()
			}
			return
		}
	}
}

// update makes a snapshot the current one.
func (s *stream) update(next *snapshot.Snapshot) {
	s.latest = next
	s.build()
}

func (s *stream) build() {
	latest := s.latest
	if s.refused != "" && s.refused == latest.Policy.Hash() {
		closed := *latest
		closed.Policy = snapshot.Policy{TrustDomain: latest.TrustDomain, DefaultWhy: "Envoy does not take the intentions as they are"}
		latest = &closed
	}
	s.generation = s.generation.Next(&latest.Policy)
	built := s.server.builder.Rebuild(s.resources, latest, s.generation.Name)
	if s.resources == nil || !slices.Equal(s.resources.Problems, built.Problems) {
		for _, problem := range built.Problems {
			s.log.Error("part of the proxy's configuration cannot be carried out", "err", problem)
		}
	}
	s.resources = built
}

// push sends what Envoy lacks.
func (s *stream) push() error {
	if s.resources == nil {
		return nil
	}
	s.mu.Lock()
	s.ready, s.problems = true, s.resources.Problems
	responses := s.client.next(s.resources)
	s.mu.Unlock()
	for _, r := range responses {
		if err := s.in.Send(r); err != nil {
			return fmt.Errorf("send to proxy %q: %w", s.proxyID, err)
		}
	}
	return nil
}

func receiveError(err error) error {
	if errors.Is(err, io.EOF) {
		return nil // the client has ended the stream
	}
	return err
}

func sourceError(id string, err error) error {
	switch {
	case errors.Is(err, snapshot.ErrDenied):
		return status.Errorf(codes.PermissionDenied,
			"the token does not allow to run proxy %q: it needs service:write on the service that the proxy stands for (%v)", id, err)
	case errors.Is(err, snapshot.ErrClosed):
		return errClosing
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Errorf(codes.Unavailable, "proxy %q: %v", id, err)
}
