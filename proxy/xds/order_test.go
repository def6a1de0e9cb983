package xds

import (
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parleymesh/parley/proxy/envoy"
)

// conversation is one client and what is said.
type conversation struct {
	t *testing.T
	c *client
	r *envoy.Resources
}

// routed returns resources in which a listener's route leads to a cluster.
func routed(cluster, version string) *envoy.Resources {
	r := &envoy.Resources{ByType: map[string]map[string]*envoy.Resource{}, Needs: map[envoy.Ref][]envoy.Ref{}, Assignments: map[string]string{cluster: cluster + "-eds"}}
	for typeURL, name := range map[string]string{
		envoy.ListenerType: "listener", envoy.RouteType: "route", envoy.ClusterType: cluster, envoy.EndpointType: cluster + "-eds",
	} {
		v := "1"
		if typeURL == envoy.RouteType || typeURL == envoy.ClusterType {
			v = version
		}
		r.ByType[typeURL] = map[string]*envoy.Resource{name: {Type: typeURL, Name: name, Version: v, Body: &anypb.Any{}}}
	}
	r.Needs[envoy.Ref{Type: envoy.RouteType, Name: "route"}] = []envoy.Ref{{Type: envoy.ClusterType, Name: cluster}, {Type: envoy.EndpointType, Name: cluster + "-eds"}}
	return r
}

// want sends what is due and wants it to be this: names, and removed ones after a minus.
func (v *conversation) want(want string) []*discoveryv3.DeltaDiscoveryResponse {
	v.t.Helper()
	var said []string
	out := v.c.next(v.r)
	for _, r := range out {
		for _, x := range r.GetResources() {
			said = append(said, x.GetName()+"@"+x.GetVersion())
		}
		for _, name := range r.GetRemovedResources() {
			said = append(said, "-"+name)
		}
	}
	if got := strings.Join(said, " "); got != want {
		v.t.Fatalf("sent %q, want %q", got, want)
	}
	return out
}

func (v *conversation) say(r *discoveryv3.DeltaDiscoveryRequest) {
	v.t.Helper()
	if _, err := v.c.request(r); err != nil {
		v.t.Fatal(err)
	}
}

func (v *conversation) ask(typeURL string, names ...string) {
	v.t.Helper()
	v.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

// accept answers responses.
func (v *conversation) accept(all []*discoveryv3.DeltaDiscoveryResponse) {
	v.t.Helper()
	for _, r := range all {
		v.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
	}
}

// running returns a conversation with an Envoy that has everything.
func running(t *testing.T) *conversation {
	t.Helper()
	v := &conversation{t: t, c: newClient(), r: routed("old", "1")}
	v.ask(envoy.ClusterType)
	v.accept(v.want("old@1"))
	v.ask(envoy.EndpointType, "old-eds")
	v.accept(v.want("old-eds@1"))
	v.ask(envoy.ListenerType)
	v.accept(v.want("listener@1"))
	v.ask(envoy.RouteType, "route")
	v.accept(v.want("route@1"))
	v.want("")
	return v
}

func TestARouteMovesWhenItsClusterIsThereAndTheOldOneGoesLast(t *testing.T) {
	v := running(t)
	v.r = routed("new", "2")
	made := v.want("new@2") // the route waits for the endpoints
	v.accept(made)
	v.want("")
	v.ask(envoy.EndpointType, "new-eds")
	moved := v.want("new-eds@1 route@2")
	v.accept(moved[:1])
	v.want("") // a route that Envoy has not taken may still lead to the old cluster
	v.accept(moved[1:])
	v.accept(v.want("-old"))
	v.want("")
}

func TestARejectedRouteKeepsTheClustersOfTheOneBefore(t *testing.T) {
	v := running(t)
	v.r = routed("new", "2")
	v.accept(v.want("new@2"))
	v.ask(envoy.EndpointType, "new-eds")
	moved := v.want("new-eds@1 route@2")
	v.accept(moved[:1])
	v.say(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: envoy.RouteType, ResponseNonce: moved[1].GetNonce(), ErrorDetail: &status.Status{Message: "no"},
	})
	v.want("")
	v.r = routed("old", "3")
	back := v.want("old@3 old-eds@1 route@3")
	v.accept(back)
	v.want("-new")
}

func TestARouteThatCannotBeTranslatedKeepsItsClusters(t *testing.T) {
	v := running(t)
	v.r = routed("new", "2")
	delete(v.r.ByType, envoy.RouteType)
	v.accept(v.want("new@2"))
	v.want("")
	v.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.RouteType, ResourceNamesUnsubscribe: []string{"route"}})
	v.want("-old")
}

func TestEndpointsFollowTheClusterThatWaitsForThem(t *testing.T) {
	v := running(t)
	v.r = routed("old", "2")
	v.accept(v.want("old@2 old-eds@1 route@2"))
	// Another cluster with the same endpoints.
	v.r = routed("old", "2")
	v.r.ByType[envoy.ClusterType]["twin"] = &envoy.Resource{Type: envoy.ClusterType, Name: "twin", Version: "1", Body: &anypb.Any{}}
	v.r.Assignments["twin"] = "old-eds"
	v.accept(v.want("twin@1 old-eds@1"))
	v.want("")
}

func TestWhatCannotBeTranslatedIsKept(t *testing.T) {
	v := running(t)
	v.r = routed("new", "2")
	delete(v.r.ByType, envoy.ListenerType)
	delete(v.r.ByType, envoy.RouteType)
	v.r.Kept = map[envoy.Ref]bool{{Type: envoy.ListenerType, Name: "listener"}: true}
	v.accept(v.want("new@2"))
	v.want("") // neither the listener goes nor the cluster that it may lead to
	v.r = routed("new", "2")
	v.ask(envoy.EndpointType, "new-eds")
	v.accept(v.want("new-eds@1 route@2"))
	v.accept(v.want("-old"))
}
