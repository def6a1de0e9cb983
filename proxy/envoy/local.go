package envoy

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

const localAppCluster = "local_app"

// localApp adds the cluster of the service that the proxy stands for, and, if it speaks HTTP, the route to it.
func (r *Resources) localApp(s *snapshot.Snapshot) error {
	cluster, err := localCluster(s)
	if err != nil {
		return err
	}
	if _, err := r.add(ClusterType, localAppCluster, cluster); err != nil {
		return err
	}
	if !isHTTP(s.Protocol) {
		return nil
	}
	_, err = r.add(RouteType, publicListener, routeConfiguration(publicListener, []*routev3.Route{localRoute(s)}))
	return err
}

func localCluster(s *snapshot.Snapshot) (*clusterv3.Cluster, error) {
	const key = "envoy_local_cluster_json"
	if text := s.Config().String(key); text != "" {
		cluster := &clusterv3.Cluster{}
		if err := unmarshal(text, cluster); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		cluster.Name = localAppCluster // by this name everything here leads to it
		return cluster, nil
	}
	cluster := &clusterv3.Cluster{
		Name:                          localAppCluster,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                durationpb.New(s.LocalConnectTimeout()),
		TypedExtensionProtocolOptions: upstreamProtocol(s.Protocol),
	}
	if most, ok := s.Config().Uint32("max_inbound_connections"); ok && most > 0 {
		cluster.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
			{MaxConnections: wrapperspb.UInt32(most)},
		}}
	}
	address := socketAddress(s.LocalApp)
	switch {
	case s.Proxy.Proxy != nil && s.Proxy.Proxy.LocalServiceSocketPath != "":
		address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: s.Proxy.Proxy.LocalServiceSocketPath}}}
	case !isIP(s.LocalApp.Host):
		cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	}
	cluster.LoadAssignment = oneEndpoint(localAppCluster, address)
	return cluster, nil
}

func oneEndpoint(cluster string, address *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		}}}},
	}
}

// localRoute leads every request to the service. A timeout of 0 is none; one that is not set is Envoy's own, 15 s.
func localRoute(s *snapshot.Snapshot) *routev3.Route {
	action := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: localAppCluster}}
	if timeout, ok := s.Config().Milliseconds("local_request_timeout_ms"); ok {
		action.Timeout = durationpb.New(timeout)
	}
	if timeout, ok := s.Config().Milliseconds("local_idle_timeout_ms"); ok {
		action.IdleTimeout = durationpb.New(timeout)
	}
	return &routev3.Route{Match: everyRequest(), Action: &routev3.Route_Route{Route: action}}
}
