package local

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/parleymesh/parley/api"
)

// origin is where a definition comes from.
type origin uint8

const (
	fromAPI  origin = iota // is kept across restarts
	fromFile               // stands in a configuration file, which is read again
)

// service is an instance that is registered here. Which checks it has stands in State.byService.
type service struct {
	// def is the definition without checks, sidecar and token. Nothing that it refers to is changed.
	def    api.ServiceDefinition
	token  string
	origin origin
	parent string // of a sidecar: the id of the service with which it was registered

	// Guarded by State.mu once the service is registered.
	value   *api.Service
	changed chan struct{} // closed when value is replaced; nil: nobody waits
}

// newService makes a service of a definition that is valid.
func newService(def *api.ServiceDefinition, token string, from origin, parent string) *service {
	d := *def
	d.Check, d.Checks, d.Token, d.Namespace, d.Partition = nil, nil, "", "", ""
	if d.ID == "" {
		d.ID = d.Name
	}
	if d.Connect != nil {
		c := *d.Connect
		c.SidecarService = nil
		d.Connect = &c
	}
	if d.Proxy != nil {
		d.Proxy = normalProxy(d.Proxy)
	}
	value := api.Service{
		Kind: d.Kind, ID: d.ID, Service: d.Name, Tags: d.Tags, Address: d.Address, TaggedAddresses: taggedAddresses(&d),
		Meta: d.Meta, Port: d.Port, SocketPath: d.SocketPath, EnableTagOverride: d.EnableTagOverride,
		Proxy: d.Proxy, Connect: d.Connect, Locality: d.Locality,
	}
	if d.Weights != nil {
		value.Weights = *d.Weights
	}
	if value.Meta == nil {
		value.Meta = map[string]string{} // so the public API shows what was registered with an agent
	}
	value = value.Normalized()
	return &service{def: d, token: token, origin: from, parent: parent, value: &value}
}

// root is the id of the service with which this one is kept.
func (sv *service) root() string {
	if sv.parent != "" {
		return sv.parent
	}
	return sv.def.ID
}

// normalProxy fills in what the API shows of upstreams that do not say.
func normalProxy(p *api.Proxy) *api.Proxy {
	q := *p
	q.Upstreams = slices.Clone(p.Upstreams)
	for i := range q.Upstreams {
		if q.Upstreams[i].DestinationType == "" {
			q.Upstreams[i].DestinationType = api.UpstreamService
		}
	}
	return &q
}

// taggedAddresses adds the address by its family where that is not given.
func taggedAddresses(d *api.ServiceDefinition) map[string]api.ServiceAddress {
	ip, err := netip.ParseAddr(d.Address)
	if err != nil {
		return d.TaggedAddresses
	}
	tagged := maps.Clone(d.TaggedAddresses)
	if tagged == nil {
		tagged = map[string]api.ServiceAddress{}
	}
	family := "_ipv4"
	if ip.Is6() && !ip.Is4In6() {
		family = "_ipv6"
	}
	for _, tag := range []string{"lan" + family, "wan" + family} {
		if _, given := tagged[tag]; !given {
			tagged[tag] = api.ServiceAddress{Address: d.Address, Port: d.Port}
		}
	}
	return tagged
}

// warnOfNames tells of the names by which a service that comes through the API will not be found. Those of files have been told
// of with their place.
func (s *State) warnOfNames(old, sv *service) {
	if sv == nil || sv.origin == fromFile || sv.parent != "" ||
		old != nil && old.def.Name == sv.def.Name && slices.Equal(old.def.Tags, sv.def.Tags) {
		return
	}
	for _, w := range sv.def.DNSWarnings() {
		s.log.Warn("a service is registered under a name that is not found through DNS", "service", sv.def.ID, "why", w)
	}
}
