// Package envoy translates a proxy's snapshot into Envoy's resources, writes its bootstrap file and runs it.
//
// The translation is a pure function: the same snapshot gives the same bytes. A service whose connections carry bytes is guarded
// twice. The TLS validation context of the public listener names exactly the certificates that may call, so that a caller who is
// denied fails in the handshake and is sent nothing, even by a service that speaks first; an RBAC filter judges again,
// with the rules' ids as the names of its policies. Both are discovered apart from the listener, so that a rule that only lets more callers in
// touches no connection. A rule that takes something away moves the listener to a new generation, and Envoy drains the old one's
// connections. Of a service that speaks HTTP each request is judged, by a filter that is discovered apart, too, so that no rule
// touches a connection.
//
// Delivery is left to proxy/xds, and gathering the snapshot to proxy/snapshot.
package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// The types of resource, as xDS names them.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	FilterType   = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// Resource is one Envoy resource, encoded once and sent to whoever asks for it.
type Resource struct {
	Type    string
	Name    string
	Version string // changes with the content
	Body    *anypb.Any
}

// Resources is everything that one proxy may ask for.
type Resources struct {
	// ByType holds the resources of each type by name.
	ByType map[string]map[string]*Resource
	// Problems are parts of the snapshot that could not be translated.
	Problems []string
	// Kept names what could not be translated: an Envoy that holds it from before keeps it, with all that it leads to.
	Kept map[Ref]bool
	// What follows is for Rebuild.
	from             *snapshot.Snapshot
	generation       string
	targets          map[string]bool // whose endpoints are among the resources
	identityProblems []string        // the Problems of secrets and of what judges callers
	frameProblems    []string        // those of listeners, routes and clusters
	// Needs names what an Envoy must have been given before a resource works there: an upstream's listener that comes before
	// its cluster is ready refuses calls, so it is better late.
	Needs map[Ref][]Ref
	// Assignments holds the names of the load assignments by the clusters that wait for them. Envoy does not ask again for one that
	// it has when the cluster changes, or when another cluster shares it: it is to be sent again.
	Assignments map[string]string
}

// Ref names a resource.
type Ref struct{ Type, Name string }

// Names returns the names of the resources of a type, sorted.
func (r *Resources) Names(typeURL string) []string {
	names := make([]string, 0, len(r.ByType[typeURL]))
	for name := range r.ByType[typeURL] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Lookup returns the resource of a type that a client means by a name. Secrets and filters that carry a policy answer to the
// names of all its generations, so that connections that an outgoing listener still takes are judged by the newest rules, too.
func (r *Resources) Lookup(typeURL, name string) *Resource {
	if found := r.ByType[typeURL][name]; found != nil {
		return found
	}
	stem, ok := policyStem(name)
	if !ok {
		return nil
	}
	for current, resource := range r.ByType[typeURL] {
		if s, ok := policyStem(current); ok && s == stem {
			return renamed(resource, name)
		}
	}
	return nil
}

// problem notes what could not be translated, if anything.
func (r *Resources) problem(err error) {
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
}

// keep notes what is kept from before if it could not be translated.
func (r *Resources) keep(err error, refs ...Ref) error {
	if err != nil {
		for _, ref := range refs {
			r.Kept[ref] = true
		}
	}
	return err
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (r *Resources) add(typeURL, name string, message proto.Message) (*Resource, error) {
	resource, err := encode(typeURL, name, message)
	if err != nil {
		return nil, err
	}
	r.put(resource)
	return resource, nil
}

func (r *Resources) put(resource *Resource) {
	if r.ByType[resource.Type] == nil {
		r.ByType[resource.Type] = map[string]*Resource{}
	}
	r.ByType[resource.Type][resource.Name] = resource
}

func encode(typeURL, name string, message proto.Message) (*Resource, error) {
	if v, ok := message.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return nil, fmt.Errorf("%s is not valid for Envoy: %w", name, err)
		}
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return &Resource{
		Type: typeURL, Name: name, Version: shortHash(body),
		Body: &anypb.Any{TypeUrl: typeURL, Value: body},
	}, nil
}

func shortHash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// mustAny packs a message that this package has just built; the same one gives the same bytes.
func mustAny(message proto.Message) *anypb.Any {
	packed := new(anypb.Any)
	if err := anypb.MarshalFrom(packed, message, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("envoy: " + err.Error()) // only invalid UTF-8 does this, and names come from JSON
	}
	return packed
}
