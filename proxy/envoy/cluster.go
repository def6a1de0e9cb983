package envoy

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"weak"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

const (
	localAppCluster = "local_app"
	maxWeight       = 128 // what the public API allows
)

// Builder builds resources. What is the same for many proxies it builds once: the endpoints of a target, for as long as
// the snapshots that share them live.
type Builder struct {
	assignments sync.Map // weak.Pointer[snapshot.Endpoints] -> *Resource
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{} }

// localApp adds the cluster of the service that the proxy stands for.
func (r *Resources) localApp(s *snapshot.Snapshot) error {
	cluster := &clusterv3.Cluster{
		Name:                 localAppCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(s.LocalConnectTimeout()),
	}
	address := socketAddress(s.LocalApp)
	switch {
	case s.Proxy.Proxy != nil && s.Proxy.Proxy.LocalServiceSocketPath != "":
		address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: s.Proxy.Proxy.LocalServiceSocketPath}}}
	case !isIP(s.LocalApp.Host):
		cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	}
	cluster.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: localAppCluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		}}}},
	}
	_, err := r.add(ClusterType, cluster.Name, cluster)
	return err
}

// upstream adds what an upstream needs: its listener, the cluster of its target and that cluster's endpoints.
func (b *Builder) upstream(r *Resources, s *snapshot.Snapshot, u *snapshot.Upstream) error {
	target, timeout, err := u.Target()
	if err != nil {
		return err
	}
	endpoints := s.Endpoints[target]
	if endpoints == nil {
		return fmt.Errorf("upstream %s: no endpoints of target %q", u.ID, target)
	}
	name := endpoints.SNI
	if r.ByType[ClusterType][name] == nil {
		if _, err := r.add(ClusterType, name, upstreamCluster(name, endpoints, timeout)); err != nil {
			return fmt.Errorf("upstream %s: %w", u.ID, err)
		}
		assignment, err := b.assignment(endpoints)
		if err != nil {
			return fmt.Errorf("upstream %s: %w", u.ID, err)
		}
		r.put(assignment)
	}
	return r.outbound(s, u, name)
}

// upstreamCluster reaches a target with mTLS. Nothing in it changes with the target's instances or with the certificate, so
// neither touches an open connection.
func upstreamCluster(name string, e *snapshot.Endpoints, timeout time.Duration) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		AltStatName:          name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:       durationpb.New(timeout),
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			// An instance whose check is critical takes no calls, even if all are.
			HealthyPanicThreshold: &typev3.Percent{Value: 0},
		},
		TransportSocket: tlsSocket(mustAny(upstreamTLS(e))),
	}
}

// upstreamTLS shows the proxy's own certificate and wants the destination's.
func upstreamTLS(e *snapshot.Endpoints) *tlsv3.UpstreamTlsContext {
	names := e.SPIFFE
	if len(names) == 0 {
		names = []string{nobody}
	}
	validation := &tlsv3.CertificateValidationContext{}
	for _, n := range names {
		validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}},
		})
	}
	return &tlsv3.UpstreamTlsContext{
		Sni:            e.SNI,
		MaxSessionKeys: wrapperspb.UInt32(0),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      tlsParameters(),
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(leafSecret)},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         validation,
					ValidationContextSdsSecretConfig: sds(rootsSecret),
				},
			},
		},
	}
}

// assignment returns the endpoints of a target, built once for all who call it.
func (b *Builder) assignment(e *snapshot.Endpoints) (*Resource, error) {
	key := weak.Make(e)
	if built, ok := b.assignments.Load(key); ok {
		return built.(*Resource), nil
	}
	built, err := encode(EndpointType, e.SNI, loadAssignment(e))
	if err != nil {
		return nil, err
	}
	if _, loaded := b.assignments.LoadOrStore(key, built); !loaded {
		runtime.AddCleanup(e, func(k weak.Pointer[snapshot.Endpoints]) { b.assignments.Delete(k) }, key)
	}
	return built, nil
}

func loadAssignment(e *snapshot.Endpoints) *endpointv3.ClusterLoadAssignment {
	var all []*endpointv3.LbEndpoint
	for _, i := range e.Instances {
		if !isIP(i.Address.Host) {
			continue // Envoy takes addresses only, and one name would lose all the others
		}
		health := corev3.HealthStatus_HEALTHY
		if !i.Usable() {
			health = corev3.HealthStatus_UNHEALTHY
		}
		all = append(all, &endpointv3.LbEndpoint{
			HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(i.Address)}},
			HealthStatus:        health,
			LoadBalancingWeight: wrapperspb.UInt32(uint32(min(max(i.Weight, 1), maxWeight))),
		})
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: e.SNI,
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: all}},
	}
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
