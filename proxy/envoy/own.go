package envoy

import (
	"errors"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// The settings by which an operator writes a part of the configuration in Envoy's own terms.
const (
	publicListenerJSON = "envoy_public_listener_json"
	listenerJSON       = "envoy_listener_json"
	clusterJSON        = "envoy_cluster_json"
)

// unmarshal reads a message from JSON, alone or wrapped with its type as "@type".
func unmarshal(text string, into proto.Message) error {
	wrapped := &anypb.Any{}
	if protojson.Unmarshal([]byte(text), wrapped) == nil && wrapped.GetTypeUrl() != "" {
		return wrapped.UnmarshalTo(into)
	}
	return protojson.Unmarshal([]byte(text), into)
}

// ownPublic adds a public listener as the operator wrote it, but for what guards the service: each filter chain wants a
// certificate of the mesh, and judges its connections, or its requests if the service has such, before anything else does.
func (r *Resources) ownPublic(s *snapshot.Snapshot, generation, text string) error {
	listener := &listenerv3.Listener{}
	if err := unmarshal(text, listener); err != nil {
		return fmt.Errorf("%s: %w", publicListenerJSON, err)
	}
	listener.Name = publicName(s) // by which its generation is found again
	chains := listener.GetFilterChains()
	if d := listener.GetDefaultFilterChain(); d != nil {
		chains = append(slices.Clip(chains), d)
	}
	if len(chains) == 0 {
		return fmt.Errorf("%s: it has no filter chain", publicListenerJSON)
	}
	for _, chain := range chains {
		managed := false
		for _, f := range chain.GetFilters() {
			guarded, err := guardRequests(f, s.Mesh)
			if err != nil {
				return fmt.Errorf("%s: filter %q: %w", publicListenerJSON, f.GetName(), err)
			}
			managed = managed || guarded
		}
		callers := rootsSecret
		if !managed || !isHTTP(s.Protocol) {
			callers = policyName(policySecret, generation)
			chain.Filters = append([]*listenerv3.Filter{connectionGuard(generation)}, chain.GetFilters()...)
		}
		chain.TransportSocket = tlsSocket(mustAny(downstreamTLS(s.Mesh, callers, publicALPN(s.Protocol))))
	}
	return r.guarded(listener, s, generation)
}

// guardRequests puts what judges requests in front of the filters of a connection manager, which is to bring them into the form in
// which they are judged. Other filters are left as they are.
func guardRequests(f *listenerv3.Filter, mesh snapshot.Mesh) (guarded bool, err error) {
	manager := &hcmv3.HttpConnectionManager{}
	if !f.GetTypedConfig().MessageIs(manager) {
		return false, nil
	}
	if err := f.GetTypedConfig().UnmarshalTo(manager); err != nil {
		return false, err
	}
	manager.HttpFilters = append(requestGuards(), manager.GetHttpFilters()...)
	answerUnauthenticated(manager)
	if err := normalize(manager, requestNormalization(mesh)); err != nil {
		return false, err
	}
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: mustAny(manager)}
	return true, nil
}

// ownListener reads the listener that an operator wrote for an upstream; nil if there is none.
func ownListener(u *snapshot.Upstream) (*listenerv3.Listener, error) {
	text := u.Config.String(listenerJSON)
	if text == "" {
		return nil, nil
	}
	if err := replaceable(u, listenerJSON); err != nil {
		return nil, err
	}
	listener := &listenerv3.Listener{}
	if err := unmarshal(text, listener); err != nil {
		return nil, fmt.Errorf("%s: %w", listenerJSON, err)
	}
	if listener.GetName() == "" {
		listener.Name = upstreamName(u)
	}
	return listener, nil
}

// ownCluster reads the cluster that an operator wrote for an upstream; nil if there is none. Its name is the one that the listener
// leads to, and its TLS that of the mesh.
func ownCluster(s *snapshot.Snapshot, u *snapshot.Upstream, e *snapshot.Endpoints) (*clusterv3.Cluster, error) {
	text := u.Config.String(clusterJSON)
	if text == "" {
		return nil, nil
	}
	if err := replaceable(u, clusterJSON); err != nil {
		return nil, err
	}
	cluster := &clusterv3.Cluster{}
	if err := unmarshal(text, cluster); err != nil {
		return nil, fmt.Errorf("%s: %w", clusterJSON, err)
	}
	cluster.Name = e.SNI
	cluster.TransportSocket = tlsSocket(mustAny(upstreamTLS(s, e, alpn(u.Chain.Protocol))))
	if eds := cluster.GetEdsClusterConfig(); eds != nil && eds.GetServiceName() == "" {
		eds.ServiceName = e.SNI
	}
	return cluster, nil
}

// errNotPlain says why a part that an operator wrote is not used.
var errNotPlain = errors.New("it is not used, because config entries say where the upstream's calls go")

// unused notes a part that is not used, and passes on what else is wrong with one.
func (r *Resources) unused(u *snapshot.Upstream, err error) error {
	if errors.Is(err, errNotPlain) {
		r.problem(wrap("upstream "+u.ID, err))
		return nil
	}
	return err
}

// replaceable refuses to replace a part of a chain that config entries made: what they say would be lost without a word.
func replaceable(u *snapshot.Upstream, key string) error {
	if u.Chain.Default {
		return nil
	}
	return fmt.Errorf("%s: %w", key, errNotPlain)
}
