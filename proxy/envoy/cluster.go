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
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

const (
	maxWeight = 128 // what the public API allows
	// overprovisioning has a target's instances take all its calls for as long as one in this many percent is healthy. Envoy's
	// own factor of 140 % sends calls to the next target while most instances of the first are well.
	overprovisioning = 100 * 1000
)

// Builder builds resources. What is the same for many proxies it builds once: the endpoints of a target, for as long as
// the snapshots that share them live.
type Builder struct {
	assignments sync.Map // weak.Pointer[snapshot.Endpoints] -> *Resource
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{} }

// target adds the cluster of one target of an upstream, and asks for the target's endpoints. It returns the cluster's name.
func (r *Resources) target(s *snapshot.Snapshot, u *snapshot.Upstream, id string, resolver *api.DiscoveryResolver, lb *api.LoadBalancer) (string, error) {
	endpoints := s.Endpoints[id]
	if endpoints == nil {
		return "", fmt.Errorf("no endpoints of target %q", id)
	}
	r.targets[id] = true
	cluster, err := ownCluster(s, u, endpoints)
	if err = r.unused(u, err); err != nil {
		return "", err
	}
	if cluster == nil {
		if cluster, err = targetCluster(s, u, endpoints, resolver, lb); err != nil {
			return "", err
		}
	}
	return r.cluster(cluster)
}

// cluster adds a cluster. Of two that bear one name and differ, the second gets a name of its own.
func (r *Resources) cluster(c *clusterv3.Cluster) (string, error) {
	resource, err := encode(ClusterType, c.GetName(), c)
	if err != nil {
		return "", err
	}
	if other := r.ByType[ClusterType][c.GetName()]; other != nil && other.Version != resource.Version {
		c.Name = resource.Version + "~" + c.GetName()
		if resource, err = encode(ClusterType, c.GetName(), c); err != nil {
			return "", err
		}
	}
	r.put(resource)
	if eds := c.GetEdsClusterConfig(); eds != nil {
		name := eds.GetServiceName()
		if name == "" {
			name = c.GetName()
		}
		r.Assignments[c.GetName()] = name
	}
	return c.GetName(), nil
}

// targetCluster reaches a target with mTLS. Nothing in it changes with the target's instances or with the certificate, so
// neither touches an open connection. Endpoints are found by the target alone, whatever the cluster is called: they are the same for
// all who call it.
func targetCluster(s *snapshot.Snapshot, u *snapshot.Upstream, e *snapshot.Endpoints, resolver *api.DiscoveryResolver, lb *api.LoadBalancer) (*clusterv3.Cluster, error) {
	cluster := &clusterv3.Cluster{
		Name:                          e.SNI,
		AltStatName:                   e.SNI,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:              &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: e.SNI},
		ConnectTimeout:                durationpb.New(u.ConnectTimeout(time.Duration(resolver.ConnectTimeout))),
		CommonLbConfig:                noPanic(),
		CircuitBreakers:               limit(u.Config),
		OutlierDetection:              ejection(u.Config),
		TypedExtensionProtocolOptions: upstreamProtocol(u.Chain.Protocol),
		TransportSocket:               tlsSocket(mustAny(upstreamTLS(s, e, alpn(u.Chain.Protocol)))),
	}
	return cluster, balance(cluster, lb)
}

// noPanic keeps calls from instances whose check is critical, even if all are.
func noPanic() *clusterv3.Cluster_CommonLbConfig {
	return &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}}
}

// upstreamTLS shows the proxy's own certificate and wants the destination's.
func upstreamTLS(s *snapshot.Snapshot, e *snapshot.Endpoints, alpn []string) *tlsv3.UpstreamTlsContext {
	names := e.SPIFFE
	if len(names) == 0 {
		names = []string{nobody}
	}
	validation := &tlsv3.CertificateValidationContext{}
	for _, n := range names {
		validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: exactly(n),
		})
	}
	return &tlsv3.UpstreamTlsContext{
		Sni:            e.SNI,
		MaxSessionKeys: wrapperspb.UInt32(0),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      outgoingTLS(s.Mesh),
			AlpnProtocols:                  alpn,
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

// alpn is what a protocol is called in a TLS handshake.
func alpn(protocol string) []string {
	switch {
	case isHTTP2(protocol):
		return []string{"h2"}
	case isHTTP(protocol):
		return []string{"http/1.1"}
	}
	return nil
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
		Policy:      &endpointv3.ClusterLoadAssignment_Policy{OverprovisioningFactor: wrapperspb.UInt32(overprovisioning)},
	}
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
