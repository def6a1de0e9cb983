package xds

import (
	"maps"
	"slices"
	"strconv"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parleymesh/parley/proxy/envoy"
)

// order is the one in which types are sent: what decides about callers first, then what a listener needs before the listener.
var order = []string{
	envoy.SecretType, envoy.FilterType, envoy.ClusterType, envoy.EndpointType, envoy.ListenerType, envoy.RouteType,
}

// everything is the name by which a client asks for all resources of a type.
const everything = "*"

// What one client may make us remember.
const (
	maxNames    = 16 << 10 // names, of all types
	maxInFlight = 64       // responses of a type that were not answered; the answers to older ones are not understood
	maxReason   = 1 << 10  // bytes of a rejection's text
)

// client is what one Envoy has asked for, been sent and said of it. It only computes: the same requests and resources give
// the same responses.
type client struct {
	types map[string]*subscription
	nonce uint64
}

func newClient() *client { return &client{types: map[string]*subscription{}} }

// subscription is a client's interest in a type.
type subscription struct {
	wildcard bool
	names    map[string]struct{} // asked for by name
	asked    map[string]struct{} // those of them to be answered even if nothing about them is new
	held     map[string]string   // the versions by name that the client was sent, or came with
	flight   []flight            // what was sent and not answered, oldest first
	verdicts map[string]verdict  // what the client said of what it holds, by name
}

// flight is a response that was not answered yet.
type flight struct {
	nonce    string
	versions map[string]string // by name; of removed ones empty
}

// verdict is what a client said of a version of a resource.
type verdict struct {
	version string
	reason  string // why it was rejected; empty: accepted
}

// holds returns the versions by name that the client holds of a type; nil if it has not asked for that type.
func (c *client) holds(typeURL string) map[string]string {
	if s := c.types[typeURL]; s != nil {
		return s.held
	}
	return nil
}

// request takes in a request and returns what it rejects.
func (c *client) request(r *discoveryv3.DeltaDiscoveryRequest) ([]Resource, error) {
	if !slices.Contains(order, r.GetTypeUrl()) {
		return nil, nil // a type that no proxy of ours is told to ask for, and of which there is nothing
	}
	s := c.types[r.GetTypeUrl()]
	first := s == nil
	if first {
		s = &subscription{
			names: map[string]struct{}{}, asked: map[string]struct{}{}, held: map[string]string{}, verdicts: map[string]verdict{},
		}
		c.types[r.GetTypeUrl()] = s
		maps.Copy(s.held, r.GetInitialResourceVersions())
		s.wildcard = len(r.GetResourceNamesSubscribe()) == 0 && wildcards(r.GetTypeUrl())
	}
	s.subscribe(r.GetResourceNamesSubscribe(), first)
	s.unsubscribe(r.GetResourceNamesUnsubscribe())
	if first && !s.wildcard {
		maps.DeleteFunc(s.held, func(name, _ string) bool { _, ok := s.names[name]; return !ok })
	}
	if c.size() > maxNames {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d resources are asked for on one stream", maxNames)
	}
	return s.answer(r), nil
}

// wildcards tells whether a client that names nothing means everything.
func wildcards(typeURL string) bool {
	return typeURL == envoy.ListenerType || typeURL == envoy.ClusterType
}

// size counts the names that the client makes us remember.
func (c *client) size() int {
	n := 0
	for _, s := range c.types {
		n += len(s.names) + len(s.held)
	}
	return n / 2
}

func (s *subscription) subscribe(names []string, first bool) {
	for _, name := range names {
		if name == everything {
			s.wildcard = true
			continue
		}
		s.names[name] = struct{}{}
		if _, held := s.held[name]; first && held {
			continue // it says that it has it; that it differs is reason enough to send it
		}
		s.asked[name] = struct{}{}
	}
}

func (s *subscription) unsubscribe(names []string) {
	for _, name := range names {
		if name == everything {
			s.wildcard = false
			maps.DeleteFunc(s.held, func(name, _ string) bool { _, ok := s.names[name]; return !ok })
			continue
		}
		delete(s.names, name)
		delete(s.asked, name)
		if !s.wildcard {
			delete(s.held, name)
			delete(s.verdicts, name)
		}
	}
}

// answer takes in what the client says of a response.
func (s *subscription) answer(r *discoveryv3.DeltaDiscoveryRequest) (rejected []Resource) {
	i := slices.IndexFunc(s.flight, func(f flight) bool { return f.nonce == r.GetResponseNonce() })
	if r.GetResponseNonce() == "" || i < 0 {
		return nil
	}
	f := s.flight[i]
	s.flight = slices.Delete(s.flight, i, i+1)
	reason := ""
	if e := r.GetErrorDetail(); e != nil {
		if reason = e.GetMessage(); reason == "" {
			reason = "no reason given"
		}
		reason = reason[:min(len(reason), maxReason)]
	}
	bad := blamed(reason, f.versions)
	for name, version := range f.versions {
		v := verdict{version: version}
		if bad[name] {
			v.reason = reason
			rejected = append(rejected, Resource{Type: r.GetTypeUrl(), Name: name, Version: version, State: Rejected, Reason: reason})
		}
		if held, ok := s.held[name]; ok && held == version {
			s.verdicts[name] = v
		}
	}
	return rejected
}

// blamed returns which of the resources a rejection is about: those that it names, or all if it names none. Envoy applies
// the others.
func blamed(reason string, versions map[string]string) map[string]bool {
	bad := map[string]bool{}
	if reason == "" {
		return bad
	}
	for name := range versions {
		if containsName(reason, name) {
			bad[name] = true
		}
	}
	if len(bad) == 0 {
		for name := range versions {
			bad[name] = true
		}
	}
	return bad
}

// next returns the responses that bring the client to the resources, as far as it may go now. They are taken as sent.
func (c *client) next(r *envoy.Resources) []*discoveryv3.DeltaDiscoveryResponse {
	var out []*discoveryv3.DeltaDiscoveryResponse
	for _, typeURL := range order {
		if s := c.types[typeURL]; s != nil {
			changed, gone := c.changed(typeURL, s, r), s.gone(typeURL, r)
			for ; alone(typeURL) && len(changed) > 1; changed = changed[1:] {
				out = c.respond(out, typeURL, changed[:1], nil)
			}
			out = c.respond(out, typeURL, changed, gone)
			if typeURL == envoy.ClusterType {
				c.refill(changed, r)
			}
		}
	}
	// Last of all, and only when no listener and no route can lead there any more.
	if s := c.types[envoy.ClusterType]; s != nil && c.settled(envoy.ListenerType, r) && c.settled(envoy.RouteType, r) {
		out = c.respond(out, envoy.ClusterType, nil, s.surplus(envoy.ClusterType, r))
	}
	return out
}

// refill has the endpoints of clusters that are sent follow them: Envoy does not use a cluster before it has been sent its endpoints,
// and does not ask for those that it was sent before for another cluster, or for the same one as it was.
func (c *client) refill(clusters []*envoy.Resource, r *envoy.Resources) {
	s := c.types[envoy.EndpointType]
	if s == nil {
		return
	}
	for _, cluster := range clusters {
		name, ok := r.Assignments[cluster.Name]
		if _, subscribed := s.names[name]; ok && subscribed {
			s.asked[name] = struct{}{}
		}
	}
}

// alone tells whether the resources of a type are sent one by one. A rejection is of a whole response, and a certificate that
// Envoy does not take is not to be confused with a policy.
func alone(typeURL string) bool { return typeURL == envoy.SecretType || typeURL == envoy.FilterType }

// changed returns the resources of a type that the client asked for and does not hold, sorted by name.
func (c *client) changed(typeURL string, s *subscription, r *envoy.Resources) []*envoy.Resource {
	var out []*envoy.Resource
	add := func(found *envoy.Resource) {
		_, asked := s.asked[found.Name]
		if held, ok := s.held[found.Name]; (asked || !ok || held != found.Version) && c.ready(r.Needs[envoy.Ref{Type: typeURL, Name: found.Name}]) {
			out = append(out, found)
		}
	}
	if s.wildcard {
		for _, name := range r.Names(typeURL) {
			add(r.ByType[typeURL][name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		found := r.Lookup(typeURL, name)
		if found != nil && !(s.wildcard && r.ByType[typeURL][name] != nil) {
			add(found)
		}
	}
	return out
}

// ready tells whether the client was given what a resource needs.
func (c *client) ready(needs []envoy.Ref) bool {
	return !slices.ContainsFunc(needs, func(n envoy.Ref) bool {
		_, held := c.holds(n.Type)[n.Name]
		return !held
	})
}

// gone returns the names to be told that there is nothing behind them: those just asked for, and listeners that were
// removed, since another may be on its address now.
func (s *subscription) gone(typeURL string, r *envoy.Resources) []string {
	var out []string
	for name := range s.asked {
		if r.Lookup(typeURL, name) == nil {
			out = append(out, name)
		}
	}
	if typeURL != envoy.ClusterType {
		out = append(out, s.surplus(typeURL, r)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// surplus returns what a client that asked for everything holds and should not. What was asked for by name is never taken
// away: Envoy gives it up itself when nothing refers to it any more.
func (s *subscription) surplus(typeURL string, r *envoy.Resources) []string {
	if !s.wildcard {
		return nil
	}
	var out []string
	for name := range s.held {
		if r.ByType[typeURL][name] == nil && !r.Kept[envoy.Ref{Type: typeURL, Name: name}] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// settled tells whether the client holds exactly what it should of a type, and has accepted all of it. A route that Envoy still asks
// for and that is gone belongs to a listener that it drains.
func (c *client) settled(typeURL string, r *envoy.Resources) bool {
	want := r.Names(typeURL)
	s := c.types[typeURL]
	if s == nil {
		return len(want) == 0
	}
	if len(s.flight) > 0 || len(s.surplus(typeURL, r)) > 0 {
		return false
	}
	for kept := range r.Kept {
		if _, held := s.held[kept.Name]; held && kept.Type == typeURL {
			return false // nobody knows what it leads to
		}
	}
	for _, name := range want {
		if s.held[name] != r.ByType[typeURL][name].Version || s.verdicts[name].reason != "" {
			return false
		}
	}
	for name := range s.names {
		if r.Lookup(typeURL, name) == nil {
			return false
		}
	}
	return true
}

// respond appends a response with the resources and removed names, if there are any.
func (c *client) respond(out []*discoveryv3.DeltaDiscoveryResponse, typeURL string, changed []*envoy.Resource, gone []string) []*discoveryv3.DeltaDiscoveryResponse {
	if len(changed) == 0 && len(gone) == 0 {
		return out
	}
	s := c.types[typeURL]
	c.nonce++
	f := flight{nonce: strconv.FormatUint(c.nonce, 10), versions: map[string]string{}}
	response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: f.nonce, SystemVersionInfo: f.nonce, RemovedResources: gone}
	for _, r := range changed {
		response.Resources = append(response.Resources, &discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
		f.versions[r.Name] = r.Version
		s.held[r.Name] = r.Version
		delete(s.asked, r.Name)
		delete(s.verdicts, r.Name)
	}
	for _, name := range gone {
		f.versions[name] = ""
		delete(s.held, name)
		delete(s.asked, name)
		delete(s.verdicts, name)
	}
	if s.flight = append(s.flight, f); len(s.flight) > maxInFlight {
		s.flight = s.flight[1:]
	}
	return append(out, response)
}
