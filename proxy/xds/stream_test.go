package xds_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/parleymesh/parley/proxy/envoy"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/proxy/xds"
	"github.com/parleymesh/parley/testutil/meshcases"
)

// still is a data plane that does nothing: the tests here look at snapshots only.
type still struct{}

func (still) Start(testing.TB, snapshot.Source, string) {}
func (still) Drain() time.Duration                      { return 0 }

// server is an xDS server on a network in memory, and a world that it serves.
type server struct {
	t     *testing.T
	world *meshcases.World
	xds   *xds.Server
	conn  *grpc.ClientConn
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, world: meshcases.NewWorld(t, still{})}
	s.xds = xds.NewServer(xds.Options{Source: s.world.Source})
	l, g := bufconn.Listen(1<<20), grpc.NewServer()
	s.xds.Register(g)
	served := make(chan struct{})
	go func() { defer close(served); _ = g.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
	t.Cleanup(func() {
		s.xds.Close()
		g.Stop()
		_ = conn.Close()
		<-served
	})
	return s
}

// envoyStream is an Envoy as far as the server sees it.
type envoyStream struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node   *corev3.Node
	cancel context.CancelFunc
	got    chan *discoveryv3.DeltaDiscoveryResponse
	err    error // after got is closed
}

func (s *server) connect(proxyID, token string) *envoyStream {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, envoy.TokenHeader, token)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	e := &envoyStream{t: s.t, stream: stream, cancel: cancel, got: make(chan *discoveryv3.DeltaDiscoveryResponse, 64)}
	if proxyID != "" {
		e.node = &corev3.Node{Id: proxyID}
	}
	go func() {
		defer close(e.got)
		for {
			r, err := stream.Recv()
			if err != nil {
				e.err = err
				return
			}
			e.got <- r
		}
	}()
	s.t.Cleanup(e.end)
	return e
}

// end ends the stream and waits until it has.
func (e *envoyStream) end() {
	e.cancel()
	for range e.got {
	}
}

func (e *envoyStream) send(r *discoveryv3.DeltaDiscoveryRequest) {
	e.t.Helper()
	r.Node, e.node = e.node, nil
	if err := e.stream.Send(r); err != nil {
		e.t.Fatal(err)
	}
}

func (e *envoyStream) ask(typeURL string, names ...string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

func (e *envoyStream) ack(r *discoveryv3.DeltaDiscoveryResponse) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func (e *envoyStream) nack(r *discoveryv3.DeltaDiscoveryResponse, reason string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &status.Status{Code: 13, Message: reason},
	})
}

// next waits for a response and tells it in short: the type's last word, names, and removed names with a minus.
func (e *envoyStream) next() (*discoveryv3.DeltaDiscoveryResponse, string) {
	e.t.Helper()
	select {
	case r, ok := <-e.got:
		if !ok {
			e.t.Fatalf("the stream has ended: %v", e.err)
		}
		return r, short(r)
	case <-time.After(meshcases.Patience):
		e.t.Fatal("no response")
	}
	return nil, ""
}

func short(r *discoveryv3.DeltaDiscoveryResponse) string {
	words := []string{r.GetTypeUrl()[strings.LastIndex(r.GetTypeUrl(), ".")+1:]}
	for _, x := range r.GetResources() {
		words = append(words, stem(x.GetName()))
	}
	for _, name := range r.GetRemovedResources() {
		words = append(words, "-"+stem(name))
	}
	return strings.Join(words, " ")
}

// stem leaves out what differs from run to run.
func stem(name string) string {
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, ".default.")
	return name
}

// expect wants these responses, in this order, and accepts them.
func (e *envoyStream) expect(want ...string) []*discoveryv3.DeltaDiscoveryResponse {
	e.t.Helper()
	var all []*discoveryv3.DeltaDiscoveryResponse
	for _, w := range want {
		r, got := e.next()
		if got != w {
			e.t.Fatalf("got %q, want %q", got, w)
		}
		e.ack(r)
		all = append(all, r)
	}
	return all
}

// quiet wants nothing more to come. It asks for something that is not there, which is answered after all that was due.
func (e *envoyStream) quiet() {
	e.t.Helper()
	e.ask(envoy.SecretType, "nothing")
	e.expect("Secret -nothing")
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.SecretType, ResourceNamesUnsubscribe: []string{"nothing"}})
}

// fails waits for the end of the stream.
func (e *envoyStream) fails(want codes.Code) {
	e.t.Helper()
	for r := range e.got {
		e.t.Errorf("got %q", short(r))
	}
	if got := grpcstatus.Code(e.err); got != want {
		e.t.Errorf("the stream ended with %v, want %v", e.err, want)
	}
}

// held is what an Envoy holds after these responses.
func held(responses ...*discoveryv3.DeltaDiscoveryResponse) map[string]string {
	out := map[string]string{}
	for _, r := range responses {
		for _, x := range r.GetResources() {
			out[x.GetName()] = x.GetVersion()
		}
	}
	return out
}

// begin asks for everything as Envoy does at its start, and returns the responses by type.
func (e *envoyStream) begin() map[string][]*discoveryv3.DeltaDiscoveryResponse {
	e.t.Helper()
	out := map[string][]*discoveryv3.DeltaDiscoveryResponse{}
	take := func(typeURL string, want ...string) {
		e.t.Helper()
		out[typeURL] = append(out[typeURL], e.expect(want...)...)
	}
	e.ask(envoy.ClusterType)
	take(envoy.ClusterType, "Cluster db local_app")
	e.ask(envoy.ListenerType)
	take(envoy.ListenerType, "Listener public_listener") // the other one's cluster is not ready
	public := out[envoy.ListenerType][0].GetResources()[0]
	generation, _, _ := strings.Cut(public.GetVersion(), ".")
	e.ask(envoy.SecretType, "leaf", "roots", "policy:"+generation)
	take(envoy.SecretType, "Secret leaf", "Secret policy", "Secret roots")
	e.ask(envoy.FilterType, "rbac:"+generation)
	take(envoy.FilterType, "TypedExtensionConfig rbac")
	e.ask(envoy.EndpointType, out[envoy.ClusterType][0].GetResources()[0].GetName())
	take(envoy.EndpointType, "ClusterLoadAssignment db")
	take(envoy.ListenerType, "Listener db")
	e.quiet()
	return out
}

func TestListenersComeAfterWhatTheyNeed(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.WebProxy, "")
	e.begin()
}

func TestNothingIsAnsweredBeforeTheSnapshotIsThere(t *testing.T) {
	s := newServer(t)
	e := s.connect("late", "")
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.ListenerType, InitialResourceVersions: map[string]string{"old": "1"}})
	e.ask(envoy.SecretType, "leaf")
	waitFor(t, func() bool { p := s.xds.Status(); return len(p) == 1 && len(p[0].Resources) == 1 && !p[0].Ready })
	select {
	case r := <-e.got:
		t.Fatalf("got %q for a proxy that is not known yet", short(r))
	default:
	}
	s.world.Change(meshcases.DBProxy, func(next *snapshot.Snapshot) { next.ProxyID = "late" })
	e.expect("Secret leaf", "Listener public_listener -old")
}

func TestAReconnectingEnvoyIsSentWhatDiffersOnly(t *testing.T) {
	s := newServer(t)
	first := s.connect(meshcases.WebProxy, "")
	had := first.begin()
	first.end()
	open := func() *envoyStream {
		e := s.connect(meshcases.WebProxy, "")
		for _, typeURL := range []string{envoy.ClusterType, envoy.ListenerType, envoy.EndpointType, envoy.SecretType, envoy.FilterType} {
			r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, InitialResourceVersions: held(had[typeURL]...)}
			if typeURL != envoy.ClusterType && typeURL != envoy.ListenerType {
				for name := range r.InitialResourceVersions {
					r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, name)
				}
			}
			e.send(r)
		}
		return e
	}
	e := open()
	e.quiet()
	s.world.Change(meshcases.WebProxy, func(next *snapshot.Snapshot) { next.Leaf = s.world.Authority.Leaf(t, "web") })
	e.expect("Secret leaf")
	e.end()
	e = open() // without the leaf
	e.expect("Secret leaf")
	e.quiet() // all that it asks for has arrived
	before := had[envoy.ListenerType][0].GetResources()[0]
	for _, c := range []struct {
		rules []snapshot.Rule
		stays bool
	}{
		{[]snapshot.Rule{meshcases.Allow("a")}, true},
		{[]snapshot.Rule{meshcases.Allow("a"), meshcases.Allow("b")}, true},
		{[]snapshot.Rule{meshcases.Allow("b")}, false},
	} {
		s.world.Change(meshcases.WebProxy, func(next *snapshot.Snapshot) { next.Policy.Rules = c.rules })
		after := e.expect("Secret policy", "TypedExtensionConfig rbac", "Listener public_listener")[2].GetResources()[0]
		if stays := generationOf(after.GetVersion()) == generationOf(before.GetVersion()); stays != c.stays {
			t.Errorf("with %v the generation stays: %t, want %t", c.rules, stays, c.stays)
		}
	}
}

func generationOf(version string) string {
	name, _, _ := strings.Cut(version, ".")
	return name
}

func TestRemovalsComeLast(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.WebProxy, "")
	e.begin()
	s.world.Change(meshcases.WebProxy, func(next *snapshot.Snapshot) {
		local := next.Upstreams[0].Local
		next.Upstreams = nil
		meshcases.AddUpstream(next, "db", "v2", local, s.world.DBInstance())
	})
	clusters := e.expect("Cluster v2.db")
	// The old listener goes and the new one waits; the old cluster stays until the new one leads elsewhere.
	e.expect("Listener -db")
	e.quiet()
	e.ask(envoy.EndpointType, clusters[0].GetResources()[0].GetName())
	e.expect("ClusterLoadAssignment v2.db")
	r, got := e.next()
	if got != "Listener dbv2" {
		t.Fatalf("got %q", got)
	}
	e.quiet()
	e.ack(r)
	e.expect("Cluster -db")
	e.quiet()
}

func TestARejectionIsKeptAndNotRepeated(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.WebProxy, "")
	e.ask(envoy.ClusterType)
	r, _ := e.next()
	bad := r.GetResources()[0].GetName()
	e.nack(r, "Error adding/updating cluster(s) "+bad+": no good")
	e.quiet()
	want := map[string]xds.State{"db": xds.Rejected, "local_app": xds.Accepted}
	for _, p := range s.xds.Status() {
		for _, x := range p.Resources {
			if state := want[stem(x.Name)]; x.State != state || (state == xds.Rejected) != strings.Contains(x.Reason, "no good") {
				t.Errorf("%+v, want it %s", x, state)
			}
			delete(want, stem(x.Name))
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing is known of %v", want)
	}
}

func TestAPolicyThatEnvoyDoesNotTakeLetsNobodyPass(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.DBProxy, "")
	e.ask(envoy.SecretType, "leaf", "policy:x")
	e.expect("Secret leaf")
	r, _ := e.next()
	if !strings.Contains(string(r.GetResources()[0].GetResource().GetValue()), "/svc/web") {
		t.Fatal("the policy does not name web")
	}
	e.nack(r, "too hard for me")
	r = e.expect("Secret policy")[0]
	if body := string(r.GetResources()[0].GetResource().GetValue()); strings.Contains(body, "/svc/web") || !strings.Contains(body, "denied:everybody") {
		t.Errorf("the policy that follows is %q", body)
	}
	e.quiet()
	s.world.Rules(meshcases.Allow("other"))
	r = e.expect("Secret policy")[0]
	if !strings.Contains(string(r.GetResources()[0].GetResource().GetValue()), "/svc/other") {
		t.Error("another policy is not tried")
	}
}

func TestWhatIsAskedForAgainIsSentAgain(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.WebProxy, "")
	e.ask(envoy.SecretType, "leaf")
	e.expect("Secret leaf")
	e.ask(envoy.SecretType, "leaf")
	e.expect("Secret leaf")
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.SecretType, ResourceNamesUnsubscribe: []string{"leaf"}})
	e.quiet() // it has arrived
	s.world.Change(meshcases.WebProxy, func(next *snapshot.Snapshot) { next.Leaf = s.world.Authority.Leaf(t, "web") })
	e.quiet()
	e.ask(envoy.ClusterType, "*", "absent")
	e.expect("Cluster db local_app -absent")
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/something.Else"})
	e.quiet()
}

func TestStreamsThatMayNotBe(t *testing.T) {
	s := newServer(t)
	s.world.Source.Deny("bad")
	e := s.connect(meshcases.WebProxy, "bad")
	e.ask(envoy.ClusterType)
	e.fails(codes.PermissionDenied)

	e = s.connect(meshcases.WebProxy, "good")
	e.ask(envoy.ClusterType)
	e.expect("Cluster db local_app")
	s.world.Source.Deny("good")
	e.fails(codes.PermissionDenied)

	e = s.connect("", "")
	e.ask(envoy.ClusterType)
	e.fails(codes.InvalidArgument)

	e = s.connect(meshcases.WebProxy, "")
	e.ask(envoy.ClusterType)
	e.expect("Cluster db local_app")
	e.node = &corev3.Node{Id: meshcases.DBProxy}
	e.ask(envoy.ListenerType)
	e.fails(codes.InvalidArgument)

	e = s.connect("unknown", "")
	e.ask(envoy.EndpointType, slices.Repeat([]string{"x"}, 100)...)
	names := make([]string, 40000)
	for i := range names {
		names[i] = strings.Repeat("x", i%7) + time.Duration(i).String()
	}
	e.ask(envoy.EndpointType, names...)
	e.fails(codes.ResourceExhausted)
}

func TestCloseEndsStreams(t *testing.T) {
	s := newServer(t)
	e := s.connect(meshcases.WebProxy, "")
	e.ask(envoy.ClusterType)
	e.expect("Cluster db local_app")
	waiting := s.connect("unknown", "")
	waiting.ask(envoy.ClusterType)
	waitFor(t, func() bool { return len(s.xds.Status()) == 2 })
	s.xds.Close()
	e.fails(codes.Unavailable)
	waiting.fails(codes.Unavailable)
	late := s.connect(meshcases.WebProxy, "")
	late.fails(codes.Unavailable)
}

// An Envoy that does not read keeps only itself waiting, and ends when its connection does.
func TestAnEnvoyThatDoesNotReadHoldsUpNobody(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	stuck, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	ask := &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: meshcases.WebProxy}, TypeUrl: envoy.SecretType, ResourceNamesSubscribe: []string{"leaf"}}
	if err := stuck.Send(ask); err != nil {
		t.Fatal(err)
	}
	e := s.connect(meshcases.WebProxy, "")
	e.ask(envoy.SecretType, "leaf")
	e.expect("Secret leaf")
	for range 100 { // more than the windows of a stream hold
		s.world.Change(meshcases.WebProxy, func(next *snapshot.Snapshot) {
			next.Leaf.SerialNumber += "x"
			next.Leaf.CertPEM += strings.Repeat("#", 1<<10)
		})
		e.expect("Secret leaf")
	}
	cancel()
	waitFor(t, func() bool { return len(s.xds.Status()) == 1 })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(meshcases.Patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
