package local

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// What sidecars are called.
const (
	sidecarSuffix   = "-sidecar-proxy"
	localAddress    = "127.0.0.1"
	sidecarInterval = 10 * time.Second
)

func sidecarID(service string) string { return service + sidecarSuffix }

// sidecar returns the whole definition of the sidecar that a service asks for.
func (d *draft) sidecar(sv *service, asked *api.ServiceDefinition) (*api.ServiceDefinition, error) {
	switch {
	case asked.ID != "":
		return nil, invalid("Connect.SidecarService.ID: A SidecarService cannot specify an ID as this is managed by the agent")
	case asked.Connect != nil && asked.Connect.SidecarService != nil:
		return nil, invalid("Connect.SidecarService.Connect: A SidecarService cannot have a nested SidecarService")
	case asked.Kind != "" && asked.Kind != api.KindConnectProxy:
		return nil, invalid("Connect.SidecarService.Kind: a sidecar is a %s, not a %s", api.KindConnectProxy, asked.Kind)
	case sv.def.Kind != api.KindTypical:
		return nil, invalid("Connect.SidecarService: a %s cannot have a sidecar", sv.def.Kind)
	}
	px := *asked
	px.Kind, px.ID, px.Name = api.KindConnectProxy, sidecarID(sv.def.ID), cmp.Or(asked.Name, sidecarID(sv.def.Name))
	if px.Tags == nil {
		px.Tags = sv.def.Tags
	}
	if px.Meta == nil {
		px.Meta = sv.def.Meta
	}
	if px.Locality == nil {
		px.Locality = sv.def.Locality
	}
	px.Proxy = sidecarProxy(sv, asked.Proxy)
	if px.Port == 0 && px.SocketPath == "" {
		var err error
		if px.Port, err = d.sidecarPort(sv); err != nil {
			return nil, err
		}
	}
	if asked.Check == nil && len(asked.Checks) == 0 {
		px.Checks = sidecarChecks(sv, &px)
	}
	if err := d.admit(&px); err != nil {
		return nil, fmt.Errorf("Connect.SidecarService of %q: %w", sv.def.ID, err)
	}
	return &px, nil
}

func sidecarProxy(sv *service, asked *api.Proxy) *api.Proxy {
	p := api.Proxy{}
	if asked != nil {
		p = *asked
	}
	p.DestinationServiceName = cmp.Or(p.DestinationServiceName, sv.def.Name)
	p.DestinationServiceID = cmp.Or(p.DestinationServiceID, sv.def.ID)
	if p.LocalServiceSocketPath == "" && p.LocalServicePort == 0 && sv.def.SocketPath != "" {
		p.LocalServiceSocketPath = sv.def.SocketPath
	}
	if p.LocalServiceSocketPath == "" {
		p.LocalServiceAddress = cmp.Or(p.LocalServiceAddress, localAddress)
		p.LocalServicePort = cmp.Or(p.LocalServicePort, sv.def.Port)
	}
	return &p
}

// sidecarPort is the port that the service's sidecar had, or else the lowest that no service here has.
func (d *draft) sidecarPort(sv *service) (int, error) {
	low, high := d.s.o.SidecarMinPort, d.s.o.SidecarMaxPort
	if low <= 0 || high < low {
		return 0, invalid("Connect.SidecarService.Port of %q is not set, and this agent gives none: set it, or ports.sidecar_min_port and ports.sidecar_max_port", sv.def.ID)
	}
	id := sidecarID(sv.def.ID)
	own := d.service(id)
	old := own
	if old == nil {
		old = d.s.services[id] // it goes and comes again in one draft
	}
	if old != nil && old.def.Port >= low && old.def.Port <= high && old.def.Port != sv.def.Port && !d.usedPort(old.def.Port, own) {
		return old.def.Port, nil
	}
	// At first those are left alone that others had until now: they may come again in this draft.
	for _, had := range []bool{true, false} {
		for port := low; port <= high; port++ {
			if port != sv.def.Port && !d.usedPort(port, own) && !(had && d.s.ports[port] > 0) {
				return port, nil
			}
		}
	}
	return 0, invalid("Connect.SidecarService.Port of %q: all ports from %d to %d are taken; set it, or widen ports.sidecar_min_port to ports.sidecar_max_port",
		sv.def.ID, low, high)
}

// sidecarChecks are those of a sidecar that brings none: it listens, and its service is well.
func sidecarChecks(sv *service, px *api.ServiceDefinition) []api.CheckDefinition {
	alias := api.CheckDefinition{Name: "Connect Sidecar Aliasing " + sv.def.ID, AliasService: sv.def.ID}
	if px.SocketPath != "" {
		return []api.CheckDefinition{alias}
	}
	return []api.CheckDefinition{{
		Name: "Connect Sidecar Listening", TCP: net.JoinHostPort(checkedAddress(px), strconv.Itoa(px.Port)),
		Interval: api.Duration(sidecarInterval),
	}, alias}
}

// checkedAddress is where a sidecar of this host can be reached from this host.
func checkedAddress(px *api.ServiceDefinition) string {
	if bind, ok := px.Proxy.Config["bind_address"].(string); ok && bind != "" {
		if ip, err := netip.ParseAddr(bind); err == nil && !ip.IsUnspecified() {
			return bind
		}
		return localAddress
	}
	if px.Address != "" && !strings.Contains(px.Address, "/") {
		return px.Address
	}
	return localAddress
}
