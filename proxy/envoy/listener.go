package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

const (
	publicListener = "public_listener"
	rbacType       = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
	httpRBACType   = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
	jwtType        = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
)

// public adds the listener that takes calls from the mesh, and the cluster of the service behind it.
func (r *Resources) public(s *snapshot.Snapshot, generation string) error {
	if err := r.localApp(s); err != nil {
		return err
	}
	r.problem(strategyProblem("balance_inbound_connections", s.Config()))
	if text := s.Config().String(publicListenerJSON); text != "" {
		return r.ownPublic(s, generation, text)
	}
	if isHTTP(s.Protocol) {
		return r.publicHTTP(s)
	}
	logs, filterLogs, err := connectionLogs(s.Proxy.Proxy, publicListener)
	r.problem(err)
	listener := inbound(s)
	listener.AccessLog = logs
	listener.FilterChains = []*listenerv3.FilterChain{{
		Name:            publicListener,
		TransportSocket: tlsSocket(mustAny(downstreamTLS(s.Mesh, policyName(policySecret, generation), nil))),
		Filters: []*listenerv3.Filter{
			connectionGuard(generation),
			networkFilter("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{
				StatPrefix:       publicListener,
				AccessLog:        filterLogs,
				ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: localAppCluster},
				// The service is not bothered with callers before they have proved who they are. Envoys that do not know
				// the mode connect at once, and send nothing back.
				UpstreamConnectMode: tcpproxyv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE,
				MaxEarlyDataBytes:   wrapperspb.UInt32(0),
			}),
		},
	}}
	return r.guarded(listener, s, generation)
}

// inbound is the public listener without its filters.
func inbound(s *snapshot.Snapshot) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name:                    publicName(s),
		Address:                 socketAddress(s.Public),
		TrafficDirection:        corev3.TrafficDirection_INBOUND,
		ConnectionBalanceConfig: connectionBalance(s.Config().String("balance_inbound_connections")),
	}
}

func publicName(s *snapshot.Snapshot) string { return fmt.Sprintf("%s:%s", publicListener, s.Public) }

// guarded adds a public listener whose connections were judged when they were made: its version says by what.
func (r *Resources) guarded(listener *listenerv3.Listener, s *snapshot.Snapshot, generation string) error {
	resource, err := encode(ListenerType, listener.Name, listener)
	if err != nil {
		return err
	}
	resource.Version = listenerVersion(generation, &s.Policy, resource.Version)
	r.put(resource)
	return nil
}

// publicHTTP adds the listener of a service whose requests are told apart. Whoever is of the mesh may connect; each request is
// judged by the newest rules, which do not belong to the listener, so no rule touches a connection.
func (r *Resources) publicHTTP(s *snapshot.Snapshot) error {
	manager := r.connectionManager(s, managerOptions{
		name: publicListener, routes: publicListener, protocol: s.Protocol, guards: requestGuards(),
	})
	answerUnauthenticated(manager)
	if err := r.fromMesh(s, manager); err != nil {
		return err
	}
	listener := inbound(s)
	listener.FilterChains = []*listenerv3.FilterChain{{
		Name:            publicListener,
		TransportSocket: tlsSocket(mustAny(downstreamTLS(s.Mesh, rootsSecret, publicALPN(s.Protocol)))),
		Filters:         []*listenerv3.Filter{httpNetworkFilter(manager)},
	}}
	_, err := r.add(ListenerType, listener.Name, listener)
	return err
}

// publicALPN is what a caller may choose to speak. A service that is spoken to in HTTP/2 can be called in HTTP/1.1, too.
func publicALPN(protocol string) []string {
	if isHTTP2(protocol) {
		return []string{"h2", "http/1.1"}
	}
	return alpn(protocol)
}

// connectionGuard judges connections.
func connectionGuard(generation string) *listenerv3.Filter {
	return &listenerv3.Filter{Name: policyName(policyFilter, generation), ConfigType: &listenerv3.Filter_ConfigDiscovery{
		ConfigDiscovery: &corev3.ExtensionConfigSource{ConfigSource: ads(), TypeUrls: []string{rbacType}},
	}}
}

// requestGuards judge requests, in this order, before any other filter sees them.
func requestGuards() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		discoveredFilter(tokenFilter, jwtType), discoveredFilter(requestFilter, httpRBACType), httpFilter("enforce_rules", enforceRequests()),
	}
}

// downstreamTLS wants a certificate that the named validation secret lets pass. A resumed session would skip that, so there are none.
func downstreamTLS(m snapshot.Mesh, validation string, alpn []string) *tlsv3.DownstreamTlsContext {
	return &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      incomingTLS(m),
			AlpnProtocols:                  alpn,
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(leafSecret)},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: sds(validation),
			},
		},
		RequireClientCertificate:         wrapperspb.Bool(true),
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}
}

func socketAddress(a snapshot.Address) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port)},
	}}}
}
