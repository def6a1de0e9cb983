// Package snapshot holds everything that one proxy needs to know, as one plain value: who it is, its certificate, whom it
// trusts, who may call its service, what its service calls, and where those instances are.
//
// The Envoy translation (proxy/envoy), the ADS server (proxy/xds) and the embedded proxy (proxy/builtin) all read this
// value and nothing else, so what the API decides and what a proxy does cannot come apart. Compiling discovery chains,
// ordering intentions and signing certificates are left to the server's packages.
package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"strconv"

	"github.com/parleymesh/parley/api"
)

// Snapshot is one moment of a proxy's world, always complete. It is shared between readers and never changed once it
// has been handed out.
type Snapshot struct {
	ProxyID    string      // the id of the sidecar's registration, which is Envoy's node id
	Proxy      api.Service // the sidecar as it is registered
	Datacenter string

	Service  string  // the service that the proxy stands for
	Protocol string  // "tcp", "http", "http2" or "grpc"
	LocalApp Address // where that service listens
	Public   Address // where the proxy takes calls from the mesh

	TrustDomain string
	Roots       string   // PEM bundle of all roots in force
	Leaf        api.Leaf // key included: a snapshot is a secret

	Mesh      Mesh   `json:",omitzero"` // what holds for all proxies
	Policy    Policy // who may call the service
	Upstreams []Upstream
	Endpoints map[string]*Endpoints // by the id of the target; one for each target of each chain
}

// Mesh is what the mesh's config entry says of proxies.
type Mesh struct {
	TLS  *api.MeshTLS  `json:",omitempty"`
	HTTP *api.MeshHTTP `json:",omitempty"`
}

// Address is a host and a port.
type Address struct {
	Host string
	Port int
}

// String returns "host:port".
func (a Address) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// Upstream is a service that the proxy makes reachable on a local address. Its chain says which targets stand behind it.
type Upstream struct {
	ID    string // unique within the proxy: see UpstreamID
	Name  string // the destination's name
	Local Address
	Chain *api.DiscoveryChain
	// Config are the upstream's own settings as registered, such as connect_timeout_ms.
	Config Config
	// Unsupported, when set, says why the upstream cannot be carried out. Then nothing listens for it.
	Unsupported string `json:",omitempty"`
}

// UpstreamID names an upstream among those of one proxy: the service's name, with what is not the default about it.
func UpstreamID(u api.Upstream) string {
	id := u.DestinationName
	if u.DestinationPartition != "" && u.DestinationPartition != api.DefaultTenant {
		id = u.DestinationPartition + "/" + id
	}
	if u.DestinationNamespace != "" && u.DestinationNamespace != api.DefaultTenant {
		id = u.DestinationNamespace + "/" + id
	}
	if u.DestinationType != "" && u.DestinationType != api.UpstreamService {
		id = u.DestinationType + ":" + id
	}
	if u.DestinationPeer != "" {
		id += "?peer=" + u.DestinationPeer
	}
	if u.Datacenter != "" {
		id += "?dc=" + u.Datacenter
	}
	return id
}

// Endpoints are the instances of one target, healthy or not, sorted by address, and how to call them. The value is
// shared by all proxies that call the target and replaced, not changed.
type Endpoints struct {
	Target    api.Target
	SNI       string   // what the caller asks for in its TLS hello
	SPIFFE    []string // an instance must prove to be one of these
	Instances []Instance
}

// Instance is one place that takes calls for a target.
type Instance struct {
	Node    string
	ID      string // of the proxy or native service, unique on its node
	Address Address
	Health  string // api.Passing, api.Warning or api.Critical
	Weight  int    // for that health; 0 takes no calls
}

// Usable tells whether calls may go to the instance. One in warning still takes them.
func (i Instance) Usable() bool {
	return (i.Health == api.Passing || i.Health == api.Warning) && i.Weight > 0
}

// Hash tells two snapshots of a proxy apart. Equal content gives an equal hash, also after a restart.
func (s *Snapshot) Hash() string {
	encoded, err := json.Marshal(s)
	if err != nil {
		// Registered configuration arrives as JSON, so it can be written as JSON.
		panic("snapshot: " + err.Error())
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}
