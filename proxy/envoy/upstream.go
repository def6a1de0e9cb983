package envoy

import (
	"fmt"
	"slices"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// upstream adds what an upstream needs: its listener, the routes of it, and the clusters and endpoints that they lead to.
func (r *Resources) upstream(s *snapshot.Snapshot, u *snapshot.Upstream) error {
	if u.Unsupported != "" {
		return fmt.Errorf("upstream %s: %s", u.ID, u.Unsupported)
	}
	if u.Chain == nil {
		return fmt.Errorf("upstream %s: no discovery chain", u.ID)
	}
	t := &upstreamTranslation{r: r, s: s, u: u, clusters: map[string]string{}}
	return wrap("upstream "+u.ID, r.keep(t.build(), Ref{ListenerType, upstreamName(u)}))
}

// upstreamTranslation is one upstream on its way into resources.
type upstreamTranslation struct {
	r        *Resources
	s        *snapshot.Snapshot
	u        *snapshot.Upstream
	clusters map[string]string // by the resolver that leads there
	needs    []Ref             // what must be there before anything leads to the clusters
}

func (t *upstreamTranslation) build() error {
	if isHTTP(t.u.Chain.Protocol) {
		return t.http()
	}
	cluster, err := t.resolved(t.u.Chain.StartNode)
	if err != nil {
		return err
	}
	logs, filterLogs, err := connectionLogs(t.s.Proxy.Proxy, t.u.ID)
	t.r.problem(err)
	return t.listen(logs, networkFilter("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{
		StatPrefix:       t.stats(),
		AccessLog:        filterLogs,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
	}), t.needs)
}

// http adds the routes before the listener, which refers to them by name.
func (t *upstreamTranslation) http() error {
	routes, err := chainRoutes(t.u.ID, t.u.Chain, t.resolved)
	if err != nil {
		return err
	}
	t.r.Needs[Ref{RouteType, t.u.ID}] = t.needs
	if _, err := t.r.add(RouteType, t.u.ID, routes); err != nil {
		return err
	}
	return t.listen(nil, httpNetworkFilter(t.r.connectionManager(t.s, managerOptions{
		name: t.stats(), routes: t.u.ID, protocol: t.u.Chain.Protocol,
	})), nil)
}

func (t *upstreamTranslation) stats() string { return "upstream." + t.u.ID }

// listen adds the listener on the upstream's local address.
func (t *upstreamTranslation) listen(logs []*accesslogv3.AccessLog, filter *listenerv3.Filter, needs []Ref) error {
	t.r.problem(strategyProblem("balance_outbound_connections", t.u.Config))
	own, err := ownListener(t.u)
	if err = t.r.unused(t.u, err); err != nil {
		return err
	}
	if own != nil {
		_, err := t.r.add(ListenerType, own.GetName(), own)
		return err
	}
	name := upstreamName(t.u)
	if len(needs) > 0 {
		t.r.Needs[Ref{ListenerType, name}] = needs
	}
	_, err = t.r.add(ListenerType, name, &listenerv3.Listener{
		Name:                    name,
		Address:                 socketAddress(t.u.Local),
		TrafficDirection:        corev3.TrafficDirection_OUTBOUND,
		AccessLog:               logs,
		ConnectionBalanceConfig: connectionBalance(t.u.Config.String("balance_outbound_connections")),
		FilterChains:            []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}},
	})
	return err
}

func upstreamName(u *snapshot.Upstream) string { return fmt.Sprintf("%s:%s", u.ID, u.Local) }

// resolved returns the cluster behind a resolver of the chain, and adds it when it is the first to ask.
func (t *upstreamTranslation) resolved(resolver string) (string, error) {
	if name, ok := t.clusters[resolver]; ok {
		return name, nil
	}
	node, ok := t.u.Chain.Nodes[resolver]
	if !ok || node.Type != api.DiscoveryNodeResolver || node.Resolver == nil {
		return "", fmt.Errorf("its discovery chain leads to %q, of type %q, where a resolver must be", resolver, node.Type)
	}
	ladder := []string{node.Resolver.Target}
	if f := node.Resolver.Failover; f != nil {
		ladder = append(ladder, f.Targets...)
	}
	var names []string
	for _, target := range ladder {
		name, err := t.r.target(t.s, t.u, target, node.Resolver, node.LoadBalancer)
		if err != nil {
			return "", err
		}
		names = append(names, name)
		t.needs = append(t.needs, Ref{ClusterType, name}, Ref{EndpointType, t.r.Assignments[name]})
	}
	name := names[0]
	if len(names) > 1 {
		var err error
		if name, err = t.failover(names, node.Resolver); err != nil {
			return "", err
		}
	}
	t.needs = append(t.needs, Ref{SecretType, leafSecret}, Ref{SecretType, rootsSecret})
	t.clusters[resolver] = name
	return name, nil
}

// failover adds a cluster that calls the first of others that has a healthy instance. It is one of clusters, not of priorities: each
// target keeps its own name, identity and connections, and a ladder that changes is another cluster, to which the routes
// move when it is there.
func (t *upstreamTranslation) failover(names []string, resolver *api.DiscoveryResolver) (string, error) {
	cluster := &clusterv3.Cluster{
		ConnectTimeout:                durationpb.New(t.u.ConnectTimeout(time.Duration(resolver.ConnectTimeout))),
		LbPolicy:                      clusterv3.Cluster_CLUSTER_PROVIDED,
		CommonLbConfig:                noPanic(),
		TypedExtensionProtocolOptions: upstreamProtocol(t.u.Chain.Protocol),
		ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
			Name: "envoy.clusters.aggregate", TypedConfig: mustAny(&aggregatev3.ClusterConfig{Clusters: names}),
		}},
	}
	content, err := encode(ClusterType, "failover", named(cluster, "failover"))
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("failover.%s~%s", content.Version, names[0])
	if _, err := t.r.cluster(named(cluster, name)); err != nil {
		return "", err
	}
	t.r.Needs[Ref{ClusterType, name}] = slices.Clone(t.needs)
	t.needs = append(t.needs, Ref{ClusterType, name})
	return name, nil
}

func named(c *clusterv3.Cluster, name string) *clusterv3.Cluster {
	c.Name = name
	return c
}

// connectionBalance spreads connections over Envoy's threads as a setting says.
func connectionBalance(strategy string) *listenerv3.Listener_ConnectionBalanceConfig {
	if strategy != exactBalance {
		return nil
	}
	return &listenerv3.Listener_ConnectionBalanceConfig{
		BalanceType: &listenerv3.Listener_ConnectionBalanceConfig_ExactBalance_{
			ExactBalance: &listenerv3.Listener_ConnectionBalanceConfig_ExactBalance{},
		},
	}
}
