package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

const (
	publicListener = "public_listener"
	rbacType       = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
)

// public adds the listener that takes calls from the mesh, and the cluster of the service behind it.
func (r *Resources) public(s *snapshot.Snapshot, generation string) error {
	if err := r.localApp(s); err != nil {
		return err
	}
	policy := policyName(policyFilter, generation)
	logs, err := accessLogs(s.Proxy.Proxy, publicListener)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	listener := &listenerv3.Listener{
		Name:             fmt.Sprintf("%s:%s", publicListener, s.Public),
		Address:          socketAddress(s.Public),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		AccessLog:        logs,
		FilterChains: []*listenerv3.FilterChain{{
			Name:            publicListener,
			TransportSocket: tlsSocket(mustAny(downstreamTLS(generation))),
			Filters: []*listenerv3.Filter{
				{Name: policy, ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
					ConfigSource: ads(), TypeUrls: []string{rbacType},
				}}},
				tcpProxy(&tcpproxyv3.TcpProxy{
					StatPrefix:       publicListener,
					ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: localAppCluster},
					// The service is not bothered with callers before they have proved who they are. Envoys that do not know
					// the mode connect at once, and send nothing back.
					UpstreamConnectMode: tcpproxyv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE,
					MaxEarlyDataBytes:   wrapperspb.UInt32(0),
				}),
			},
		}},
	}
	resource, err := encode(ListenerType, listener.Name, listener)
	if err != nil {
		return err
	}
	resource.Version = listenerVersion(generation, &s.Policy, resource.Version)
	r.put(resource)
	return nil
}

// downstreamTLS wants a certificate that the policy lets pass. A resumed session would skip that, so there are none.
func downstreamTLS(generation string) *tlsv3.DownstreamTlsContext {
	return &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      tlsParameters(),
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(leafSecret)},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: sds(policyName(policySecret, generation)),
			},
		},
		RequireClientCertificate:         wrapperspb.Bool(true),
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}
}

// outbound adds the listener on the upstream's local address, which leads to a cluster.
func (r *Resources) outbound(s *snapshot.Snapshot, u *snapshot.Upstream, cluster string) error {
	logs, err := accessLogs(s.Proxy.Proxy, u.ID)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	name := fmt.Sprintf("%s:%s", u.ID, u.Local)
	r.Needs[Ref{ListenerType, name}] = []Ref{
		{ClusterType, cluster}, {EndpointType, cluster}, {SecretType, leafSecret}, {SecretType, rootsSecret},
	}
	_, err = r.add(ListenerType, name, &listenerv3.Listener{
		Name:             name,
		Address:          socketAddress(u.Local),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		AccessLog:        logs,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{
			tcpProxy(&tcpproxyv3.TcpProxy{
				StatPrefix:       "upstream." + u.ID,
				ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
			}),
		}}},
	})
	return err
}

func tcpProxy(config *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.tcp_proxy",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: mustAny(config)},
	}
}

func socketAddress(a snapshot.Address) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port)},
	}}}
}
