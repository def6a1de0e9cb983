package envoy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// exposed adds listeners that serve single paths of the service in the clear, to those who are not of the mesh: checks and
// collectors of metrics. Paths that share a port share a listener.
func (r *Resources) exposed(s *snapshot.Snapshot) error {
	if s.Proxy.Proxy == nil {
		return nil
	}
	if s.Proxy.Proxy.Expose.Checks {
		r.problem(errors.New("expose.checks is not carried out yet: expose the paths of the checks by expose.paths"))
	}
	byPort := map[int][]api.ExposePath{}
	for _, path := range s.Proxy.Proxy.Expose.Paths {
		if path.ListenerPort <= 0 || path.LocalPathPort <= 0 || path.Path == "" {
			r.problem(fmt.Errorf("exposed path %q: it needs a path, a listener_port and a local_path_port", path.Path))
			continue
		}
		byPort[path.ListenerPort] = append(byPort[path.ListenerPort], path)
	}
	for _, port := range slices.Sorted(maps.Keys(byPort)) {
		if err := r.exposedPort(s, port, byPort[port]); err != nil {
			return fmt.Errorf("exposed paths on port %d: %w", port, err)
		}
	}
	return nil
}

func (r *Resources) exposedPort(s *snapshot.Snapshot, port int, paths []api.ExposePath) error {
	name := fmt.Sprintf("exposed_path_%d", port)
	var routes []*routev3.Route
	for _, path := range paths {
		cluster := fmt.Sprintf("exposed_cluster_%d", path.LocalPathPort)
		if isHTTP2(path.Protocol) {
			cluster += "_" + path.Protocol
		}
		if _, err := r.cluster(&clusterv3.Cluster{
			Name:                          cluster,
			ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			ConnectTimeout:                durationpb.New(s.LocalConnectTimeout()),
			LoadAssignment:                oneEndpoint(cluster, socketAddress(snapshot.Address{Host: "127.0.0.1", Port: path.LocalPathPort})),
			TypedExtensionProtocolOptions: upstreamProtocol(path.Protocol),
		}); err != nil {
			return err
		}
		routes = append(routes, &routev3.Route{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path.Path}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		})
	}
	manager := r.connectionManager(s, managerOptions{name: name})
	manager.UpgradeConfigs = nil
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routeConfiguration(name, routes)}
	if err := normalize(manager, requestNormalization(s.Mesh)); err != nil {
		return err
	}
	address := snapshot.Address{Host: s.Public.Host, Port: port}
	listener := &listenerv3.Listener{
		Name:             fmt.Sprintf("%s:%s", name, address),
		Address:          socketAddress(address),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		FilterChains:     []*listenerv3.FilterChain{{Name: name, Filters: []*listenerv3.Filter{httpNetworkFilter(manager)}}},
	}
	_, err := r.add(ListenerType, listener.Name, listener)
	return err
}
