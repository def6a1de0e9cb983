package envoy

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	grpcbridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// The protocols in which requests can be told apart.
const (
	protocolHTTP  = "http"
	protocolHTTP2 = "http2"
	protocolGRPC  = "grpc"
)

// isHTTP tells whether requests are told apart.
func isHTTP(protocol string) bool {
	return protocol == protocolHTTP || isHTTP2(protocol)
}

func isHTTP2(protocol string) bool { return protocol == protocolHTTP2 || protocol == protocolGRPC }

// managerOptions say how one connection manager differs from the others.
type managerOptions struct {
	name     string // of its statistics, and in its log
	routes   string // the name of its route configuration, which is discovered apart from the listener
	protocol string
	// guards judge each request before anything else sees it.
	guards []*hcmv3.HttpFilter
}

// connectionManager takes HTTP requests. All that may change often is discovered apart from it: a listener that changes lets go of
// its connections.
func (r *Resources) connectionManager(s *snapshot.Snapshot, o managerOptions) *hcmv3.HttpConnectionManager {
	logs, err := requestLogs(s.Proxy.Proxy, o.name)
	r.problem(err)
	tracing, err := tracingOf(s.Config())
	r.problem(err)
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: o.name,
		CodecType:  hcmv3.HttpConnectionManager_AUTO, // who speaks HTTP/2 where HTTP/1.1 would do is understood, and the other way round
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: ads(), RouteConfigName: o.routes,
		}},
		HttpFilters: slices.Concat(o.guards, protocolFilters(o.protocol), []*hcmv3.HttpFilter{
			httpFilter("envoy.filters.http.router", &routerv3.Router{}),
		}),
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		AccessLog:      logs,
		Tracing:        tracing,
	}
	if isHTTP2(o.protocol) {
		m.Http2ProtocolOptions = &corev3.Http2ProtocolOptions{AllowConnect: true}
	}
	return m
}

// protocolFilters are those that a protocol brings with it.
func protocolFilters(protocol string) []*hcmv3.HttpFilter {
	if protocol != protocolGRPC {
		return nil
	}
	return []*hcmv3.HttpFilter{
		httpFilter("envoy.filters.http.grpc_stats", &grpcstatsv3.FilterConfig{
			PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(true)},
		}),
		httpFilter("envoy.filters.http.grpc_http1_bridge", &grpcbridgev3.Config{}),
	}
}

func httpFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: mustAny(config)}}
}

// discoveredFilter is an HTTP filter whose configuration comes apart from the listener. Until it is there, Envoy does not listen.
func discoveredFilter(name string, typeURLs ...string) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: ads(), TypeUrls: typeURLs,
	}}}
}

func networkFilter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: mustAny(config)}}
}

// httpNetworkFilter is a connection manager as a filter of connections.
func httpNetworkFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}

// tracingOf reads envoy_listener_tracing_json, which holds for all listeners of a proxy.
func tracingOf(config snapshot.Config) (*hcmv3.HttpConnectionManager_Tracing, error) {
	const key = "envoy_listener_tracing_json"
	text := config.String(key)
	if text == "" {
		return nil, nil
	}
	tracing := &hcmv3.HttpConnectionManager_Tracing{}
	if err := unmarshal(text, tracing); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return tracing, nil
}

// maxRequestHeaders is the most that Envoy takes for max_request_headers_kb.
const maxRequestHeaders = 8192

// fromMesh prepares a connection manager for callers from the mesh: the service is told who they are, and nobody is told what a
// caller claims to be.
func (r *Resources) fromMesh(s *snapshot.Snapshot, m *hcmv3.HttpConnectionManager) error {
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
		Subject: wrapperspb.Bool(true), Dns: true, Uri: true,
	}
	if s.Mesh.HTTP != nil && s.Mesh.HTTP.SanitizeXForwardedClientCert {
		m.ForwardClientCertDetails, m.SetCurrentClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE, nil
	}
	const key = "max_request_headers_kb"
	if kb, ok := s.Config().Uint32(key); ok && kb > 0 {
		if kb > maxRequestHeaders {
			r.problem(fmt.Errorf("%s is %d, more than Envoy takes; it is taken for %d", key, kb, maxRequestHeaders))
		}
		m.MaxRequestHeadersKb = wrapperspb.UInt32(min(kb, maxRequestHeaders))
	}
	return normalize(m, requestNormalization(s.Mesh))
}

func requestNormalization(mesh snapshot.Mesh) api.RequestNormalization {
	if mesh.HTTP == nil || mesh.HTTP.Incoming == nil || mesh.HTTP.Incoming.RequestNormalization == nil {
		return api.RequestNormalization{}
	}
	return *mesh.HTTP.Incoming.RequestNormalization
}

// normalize has requests brought into one form before anything judges them: two ways to write a path would be two ways past a rule.
func normalize(m *hcmv3.HttpConnectionManager, n api.RequestNormalization) error {
	m.NormalizePath = wrapperspb.Bool(!n.InsecureDisablePathNormalization)
	m.MergeSlashes = n.MergeSlashes
	if n.PathWithEscapedSlashesAction != "" {
		action, ok := hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction_value[n.PathWithEscapedSlashesAction]
		if !ok {
			return fmt.Errorf("mesh: PathWithEscapedSlashesAction is %q, which is none of Envoy's", n.PathWithEscapedSlashesAction)
		}
		m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction(action)
	}
	if n.HeadersWithUnderscoresAction != "" {
		action, ok := corev3.HttpProtocolOptions_HeadersWithUnderscoresAction_value[n.HeadersWithUnderscoresAction]
		if !ok {
			return fmt.Errorf("mesh: HeadersWithUnderscoresAction is %q, which is none of Envoy's", n.HeadersWithUnderscoresAction)
		}
		if m.CommonHttpProtocolOptions == nil {
			m.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{}
		}
		m.CommonHttpProtocolOptions.HeadersWithUnderscoresAction = corev3.HttpProtocolOptions_HeadersWithUnderscoresAction(action)
	}
	return nil
}
