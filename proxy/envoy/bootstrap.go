package envoy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	fileaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

const agentCluster = "local_agent"

// TokenHeader is the gRPC metadata key that carries the token.
const TokenHeader = "x-consul-token"

// DefaultAdminBind is where Envoy's administration listens unless told otherwise.
const DefaultAdminBind = "127.0.0.1:19000"

// BootstrapOptions say what Envoy must know before it can ask the agent for the rest.
type BootstrapOptions struct {
	ProxyID    string // becomes the node's id
	Service    string // becomes the node's cluster
	NodeName   string
	Namespace  string
	Partition  string
	Datacenter string

	AdminBind          string // host:port; a host that is a name is looked up; empty: DefaultAdminBind
	AdminAccessLogPath string // empty: /dev/null

	GRPCAddr       string // host:port or unix:///path of the agent's xDS port; empty: 127.0.0.1:8502
	GRPCTLS        bool   // also set by an https:// in front of GRPCAddr
	GRPCCA         string // PEM bundle that the agent's certificate is verified with
	GRPCServerName string // what the agent's certificate must be for; empty: anything that the CA signed

	Token string
}

// Bootstrap returns Envoy's bootstrap file, as JSON. It holds the token: treat it as a secret.
func Bootstrap(o BootstrapOptions) ([]byte, error) {
	if o.ProxyID == "" {
		return nil, errors.New("envoy bootstrap: the proxy's id is missing")
	}
	admin, err := adminOf(o)
	if err != nil {
		return nil, err
	}
	agent, err := agentClusterOf(o)
	if err != nil {
		return nil, err
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"node_name": o.NodeName, "namespace": orDefault(o.Namespace), "partition": orDefault(o.Partition),
	})
	if err != nil {
		return nil, fmt.Errorf("envoy bootstrap: %w", err)
	}
	runtime, err := runtimeOf(map[string]any{
		// Who may call is a pattern. Envoy's own bound is less than what a long name takes.
		"re2.max_program_size.error_level": maxProgramSize,
	})
	if err != nil {
		return nil, fmt.Errorf("envoy bootstrap: %w", err)
	}
	bootstrap := &bootstrapv3.Bootstrap{
		Admin:           admin,
		Node:            &corev3.Node{Id: o.ProxyID, Cluster: o.Service, Metadata: metadata},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{agent}},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			LdsConfig: ads(), CdsConfig: ads(), AdsConfig: adsOf(o.Token),
		},
		LayeredRuntime: runtime,
		StatsConfig:    &metricsv3.StatsConfig{UseAllDefaultTags: wrapperspb.Bool(true), StatsTags: statsTags(o)},
	}
	if err := bootstrap.ValidateAll(); err != nil {
		return nil, fmt.Errorf("envoy bootstrap: %w", err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("envoy bootstrap: %w", err)
	}
	var pretty bytes.Buffer // protojson varies its blanks on purpose
	if err := json.Indent(&pretty, text, "", "  "); err != nil {
		return nil, fmt.Errorf("envoy bootstrap: %w", err)
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), nil
}

// runtimeOf sets Envoy's runtime keys.
func runtimeOf(keys map[string]any) (*bootstrapv3.LayeredRuntime, error) {
	static, err := structpb.NewStruct(keys)
	if err != nil {
		return nil, err
	}
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "parley", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: static},
	}}}, nil
}

func adminOf(o BootstrapOptions) (*bootstrapv3.Admin, error) {
	bind := cmp.Or(o.AdminBind, DefaultAdminBind)
	address, err := resolve(bind)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w; give it as <address>:<port>", bind, err)
	}
	path := o.AdminAccessLogPath
	if path == "" {
		path = "/dev/null"
	}
	return &bootstrapv3.Admin{
		Address: socketAddress(address),
		AccessLog: []*accesslogv3.AccessLog{{
			Name: "envoy.access_loggers.file",
			ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: mustAny(
				&fileaccesslogv3.FileAccessLog{Path: path},
			)},
		}},
	}, nil
}

// resolve reads host:port; where Envoy wants an address, a name is looked up now.
func resolve(text string) (snapshot.Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return snapshot.Address{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return snapshot.Address{}, fmt.Errorf("%q is not a port", port)
	}
	if !isIP(host) {
		ip, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return snapshot.Address{}, err
		}
		host = ip.String()
	}
	return snapshot.Address{Host: host, Port: int(n)}, nil
}

// adsOf describes the one stream over which everything comes.
func adsOf(token string) *corev3.ApiConfigSource {
	service := &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
		ClusterName: agentCluster,
		// An agent that restarts is back within a second; Envoy's own bound of 30 s would leave a proxy behind for as long.
		RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
			BaseInterval: durationpb.New(200 * time.Millisecond), MaxInterval: durationpb.New(5 * time.Second),
		}},
	}}}
	if token != "" {
		service.InitialMetadata = []*corev3.HeaderValue{{Key: TokenHeader, Value: token}}
	}
	return &corev3.ApiConfigSource{
		ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
		TransportApiVersion:       corev3.ApiVersion_V3,
		SetNodeOnFirstMessageOnly: true,
		GrpcServices:              []*corev3.GrpcService{service},
	}
}

func agentClusterOf(o BootstrapOptions) (*clusterv3.Cluster, error) {
	target := o.GRPCAddr
	if target == "" {
		target = "127.0.0.1:8502"
	}
	cluster := &clusterv3.Cluster{
		Name:                          agentCluster,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                durationpb.New(time.Second),
		TypedExtensionProtocolOptions: protocolOptions(http2Options()),
	}
	var address *corev3.Address
	if path, ok := strings.CutPrefix(target, "unix://"); ok {
		address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	} else {
		rest, secure := strings.CutPrefix(target, "https://")
		rest = strings.TrimPrefix(rest, "http://")
		o.GRPCTLS = o.GRPCTLS || secure
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return nil, fmt.Errorf("gRPC address %q: %w; give it as <address>:<port> or unix://<path>", target, err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("gRPC address %q: %q is not a port", target, port)
		}
		if !isIP(host) {
			cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		}
		address = socketAddress(snapshot.Address{Host: host, Port: int(n)})
	}
	cluster.LoadAssignment = oneEndpoint(agentCluster, address)
	if o.GRPCTLS {
		if strings.TrimSpace(o.GRPCCA) == "" {
			return nil, fmt.Errorf("gRPC address %q: TLS needs the CA that signed the agent's certificate: give -grpc-ca-file or -grpc-ca-path", target)
		}
		cluster.TransportSocket = tlsSocket(mustAny(agentTLS(o)))
	}
	return cluster, nil
}

func http2Options() *upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig {
	http2 := &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
		// A host that vanished answers nothing, not even with a reset.
		Interval: durationpb.New(20 * time.Second), Timeout: durationpb.New(10 * time.Second),
	}}
	return &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2},
	}
}

func agentTLS(o BootstrapOptions) *tlsv3.UpstreamTlsContext {
	validation := &tlsv3.CertificateValidationContext{TrustedCa: inline(o.GRPCCA)}
	if o.GRPCServerName != "" {
		validation.MatchTypedSubjectAltNames = []*tlsv3.SubjectAltNameMatcher{{
			SanType: tlsv3.SubjectAltNameMatcher_DNS,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: o.GRPCServerName}},
		}}
	}
	return &tlsv3.UpstreamTlsContext{
		Sni: o.GRPCServerName,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:             tlsParameters(),
			AlpnProtocols:         []string{"h2"},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation},
		},
	}
}

// statsTags puts who the proxy is on each of its metrics.
func statsTags(o BootstrapOptions) []*metricsv3.TagSpecifier {
	var tags []*metricsv3.TagSpecifier
	for _, t := range [][2]string{
		{"local_cluster", o.Service},
		{"consul.source.service", o.Service},
		{"consul.source.namespace", orDefault(o.Namespace)},
		{"consul.source.partition", orDefault(o.Partition)},
		{"consul.source.datacenter", o.Datacenter},
	} {
		if t[1] != "" {
			tags = append(tags, &metricsv3.TagSpecifier{TagName: t[0], TagValue: &metricsv3.TagSpecifier_FixedValue{FixedValue: t[1]}})
		}
	}
	return tags
}
