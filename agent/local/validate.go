package local

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/parleymesh/parley/api"
)

// Bounds of what one service may carry. They are the public API's.
const (
	maxMeta      = 64
	maxMetaKey   = 128
	maxMetaValue = 512
	maxWeight    = 65535
	maxCheckID   = 512
)

var kinds = []string{
	api.KindTypical, api.KindConnectProxy, api.KindMeshGateway, api.KindTerminatingGateway, api.KindIngressGateway, api.KindAPIGateway,
}

func invalid(format string, args ...any) error {
	return api.Errorf(http.StatusBadRequest, format, args...)
}

// validateService tells whether a definition makes sense, apart from its checks and its sidecar. The error names the field.
func validateService(d *api.ServiceDefinition) error {
	if err := api.CheckName("service name", d.Name); err != nil {
		return err
	}
	if err := api.CheckName("service ID", cmp.Or(d.ID, d.Name)); err != nil {
		return err
	}
	if !slices.Contains(kinds, d.Kind) {
		return invalid("Kind %q of service %q is none of %s", d.Kind, d.Name, strings.Join(kinds[1:], ", "))
	}
	if err := validatePort("Port", d.Port); err != nil {
		return err
	}
	if err := validateAddress("Address", d.Address); err != nil {
		return err
	}
	for tag, a := range d.TaggedAddresses {
		if err := validateAddress("TaggedAddresses."+tag+".Address", a.Address); err != nil {
			return err
		}
		if err := validatePort("TaggedAddresses."+tag+".Port", a.Port); err != nil {
			return err
		}
	}
	if w := d.Weights; w != nil && *w != (api.Weights{}) && (w.Passing < 1 || w.Passing > maxWeight || w.Warning < 0 || w.Warning > maxWeight) {
		return invalid("Weights: Passing is %d and Warning %d; Passing must be 1 to %d, Warning 0 to %d", w.Passing, w.Warning, maxWeight, maxWeight)
	}
	if err := validateMeta(d.Meta); err != nil {
		return err
	}
	if l := d.Locality; l != nil && l.Zone != "" && l.Region == "" {
		return invalid("Locality.Zone is %q and Locality.Region is empty: a zone is a part of a region", l.Zone)
	}
	return validateMesh(d)
}

func validatePort(field string, port int) error {
	if port < 0 || port > 65535 {
		return invalid("%s %d is out of range: 0 to 65535", field, port)
	}
	return nil
}

func validateAddress(field, address string) error {
	if ip, err := netip.ParseAddr(address); err == nil && ip.IsUnspecified() {
		return invalid("Invalid service address: %s %s means every address of a host; give the one at which others call the service", field, address)
	}
	if len(address) > 255 || strings.ContainsFunc(address, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return invalid("Invalid service address: %s %.40q is neither an IP address nor a name", field, address)
	}
	return nil
}

func validateMeta(meta map[string]string) error {
	if len(meta) > maxMeta {
		return invalid("Meta has %d keys, at most %d are allowed", len(meta), maxMeta)
	}
	for k, v := range meta {
		switch {
		case k == "" || len(k) > maxMetaKey || strings.ContainsFunc(k, notMetaKey):
			return invalid("Meta key %.40q must be 1 to %d letters, digits, - and _", k, maxMetaKey)
		case len(v) > maxMetaValue:
			return invalid("Meta value of %q is %d bytes long, at most %d are allowed", k, len(v), maxMetaValue)
		}
	}
	return nil
}

func notMetaKey(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// validateMesh tells whether the parts that concern the mesh fit the kind of service.
func validateMesh(d *api.ServiceDefinition) error {
	native := d.Connect != nil && d.Connect.Native
	switch d.Kind {
	case api.KindTypical:
		return nil
	case api.KindConnectProxy:
		switch {
		case d.Proxy == nil || strings.TrimSpace(d.Proxy.DestinationServiceName) == "":
			return invalid("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
		case d.Proxy.DestinationServiceName == "*":
			return invalid("Proxy.DestinationServiceName must not be a wildcard for Connect proxy services")
		case d.Port == 0 && d.SocketPath == "":
			return invalid("Port or SocketPath must be set for a %s", d.Kind)
		case native:
			return invalid("Connect.Native: a proxy cannot be native, only the service that it stands for")
		}
		return validateProxy(d.Proxy)
	}
	if native {
		return invalid("Connect.Native: a %s cannot be native", d.Kind)
	}
	if d.Proxy == nil {
		return nil
	}
	wrong := ""
	switch p := d.Proxy; {
	case p.DestinationServiceName != "":
		wrong = "DestinationServiceName"
	case p.DestinationServiceID != "":
		wrong = "DestinationServiceID"
	case p.LocalServiceAddress != "":
		wrong = "LocalServiceAddress"
	case p.LocalServicePort != 0:
		wrong = "LocalServicePort"
	case p.LocalServiceSocketPath != "":
		wrong = "LocalServiceSocketPath"
	case len(p.Upstreams) != 0:
		wrong = "Upstreams"
	default:
		return nil
	}
	return invalid("The Proxy.%s configuration is invalid for a %s", wrong, d.Kind)
}

func validateProxy(p *api.Proxy) error {
	if !slices.Contains([]string{"", "direct", "transparent"}, p.Mode) {
		return invalid("Proxy.Mode %q is neither direct nor transparent", p.Mode)
	}
	if err := validatePort("Proxy.LocalServicePort", p.LocalServicePort); err != nil {
		return err
	}
	bound := map[string]bool{}
	for i := range p.Upstreams {
		u := &p.Upstreams[i]
		if err := validateUpstream(u, p.Mode == "transparent"); err != nil {
			return err
		}
		at := u.LocalBindSocketPath
		if at == "" {
			at = net.JoinHostPort(cmp.Or(u.LocalBindAddress, "127.0.0.1"), strconv.Itoa(u.LocalBindPort))
		}
		if (u.LocalBindPort != 0 || u.LocalBindSocketPath != "") && bound[at] {
			return invalid("upstreams cannot contain duplicates by local bind address and port or unix path; %q is specified twice", at)
		}
		bound[at] = true
	}
	for _, path := range p.Expose.Paths {
		if err := validatePort("Proxy.Expose.Paths.ListenerPort", path.ListenerPort); err != nil {
			return err
		}
		if err := validatePort("Proxy.Expose.Paths.LocalPathPort", path.LocalPathPort); err != nil {
			return err
		}
	}
	return nil
}

func validateUpstream(u *api.Upstream, transparent bool) error {
	switch {
	case u.DestinationName == "":
		return invalid("upstream destination name cannot be empty")
	case !slices.Contains([]string{"", api.UpstreamService, api.UpstreamPreparedQuery}, u.DestinationType):
		return invalid("upstream %q: DestinationType %q is neither service nor prepared_query", u.DestinationName, u.DestinationType)
	case u.LocalBindPort == 0 && u.LocalBindSocketPath == "" && !u.CentrallyConfigured && !transparent:
		return invalid("upstream local bind port or local socket path must be defined and nonzero, for %q", u.DestinationName)
	case u.LocalBindPort != 0 && u.LocalBindSocketPath != "":
		return invalid("upstream %q: only one of LocalBindPort and LocalBindSocketPath may be set", u.DestinationName)
	}
	return validatePort("upstream "+strconv.Quote(u.DestinationName)+": LocalBindPort", u.LocalBindPort)
}

// validateCheckID tells whether an id can be that of a check: names are allowed blanks, and ids are often names.
func validateCheckID(id string) error {
	switch {
	case len(id) > maxCheckID:
		return invalid("check ID %.20q... is %d bytes long, at most %d are allowed", id, len(id), maxCheckID)
	case strings.ContainsFunc(id, unicode.IsControl):
		return invalid("check ID %q must not contain control characters", id)
	case id == api.SerfHealth:
		return invalid("check ID %q is reserved for the node's health in gossip", id)
	case id == api.NodeMaintenance, strings.HasPrefix(id, api.ServiceMaintenancePrefix):
		return invalid("check ID %q is reserved for maintenance; use the maintenance endpoints", id)
	}
	return nil
}
