package configentry

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// This file finds out which routes and certificates the listeners of API gateways have. What it finds is shown in the status of
// gateways and routes, and in a bound-api-gateway beside each gateway.

// binds tells whether entries of a kind take part.
func binds(kind string) bool {
	switch kind {
	case api.KindAPIGateway, api.KindHTTPRoute, api.KindTCPRoute, api.KindInlineCertificate, api.KindFileSystemCertificate, api.KindJWTProvider:
		return true
	}
	return false
}

// The types of conditions, their values and their reasons, as the public API has them.
const (
	conditionAccepted   = "Accepted"
	conditionConflicted = "Conflicted"
	conditionResolved   = "ResolvedRefs"
	conditionBound      = "Bound"

	isTrue  = "True"
	isFalse = "False"
)

// status returns what shows an entry's status, nil for a kind that has none.
func status(e api.ConfigEntry) *api.EntryStatus {
	switch e := e.(type) {
	case *api.APIGateway:
		return &e.Status
	case *api.HTTPRoute:
		return &e.Status
	case *api.TCPRoute:
		return &e.Status
	}
	return nil
}

// binder binds everything anew: it is little, and seldom changes.
type binder struct {
	tx       *state.Tx
	now      time.Time
	gateways map[string]*boundGateway
}

// boundGateway is a gateway with what has been found out about it.
type boundGateway struct {
	entry *api.APIGateway
	bound *api.BoundAPIGateway
}

// bind brings statuses and bound gateways up to date. What has not changed is not written.
func bind(tx *state.Tx, now time.Time) {
	b := &binder{tx: tx, now: now, gateways: map[string]*boundGateway{}}
	for e := range state.ConfigEntries(tx, api.KindAPIGateway) {
		g := e.ConfigEntry.(*api.APIGateway)
		bound := &api.BoundAPIGateway{Kind: api.KindBoundAPIGateway, Name: g.Name}
		for _, l := range g.Listeners {
			bound.Listeners = append(bound.Listeners, api.BoundListener{Name: l.Name})
		}
		b.gateways[g.Name] = &boundGateway{entry: g, bound: bound}
	}
	for _, kind := range []string{api.KindHTTPRoute, api.KindTCPRoute} {
		for _, e := range slices.Collect(state.ConfigEntries(tx, kind)) {
			b.route(routeOf(e.ConfigEntry))
		}
	}
	for _, name := range sorted(b.gateways) {
		b.gateway(b.gateways[name])
	}
	for _, e := range slices.Collect(state.ConfigEntries(tx, api.KindBoundAPIGateway)) {
		if b.gateways[e.EntryName()] == nil {
			state.DeleteConfigEntry(tx, api.KindBoundAPIGateway, e.EntryName())
		}
	}
}

// route is what binding needs to know of a route of either kind.
type route struct {
	entry     api.ConfigEntry
	protocol  string
	parents   []api.EntryReference
	hostnames []string
	services  []string
}

func routeOf(e api.ConfigEntry) route {
	switch e := e.(type) {
	case *api.HTTPRoute:
		r := route{entry: e, protocol: "http", parents: e.Parents, hostnames: e.Hostnames}
		for _, rule := range e.Rules {
			for _, s := range rule.Services {
				r.services = append(r.services, s.Name)
			}
		}
		return r
	case *api.TCPRoute:
		r := route{entry: e, protocol: "tcp", parents: e.Parents}
		for _, s := range e.Services {
			r.services = append(r.services, s.Name)
		}
		return r
	}
	return route{entry: e}
}

// route binds a route to the listeners of its parents, and says in its status how that went.
func (b *binder) route(r route) {
	conditions := []api.EntryCondition{{Type: conditionAccepted, Status: isTrue, Reason: "Accepted", Message: "route is valid"}}
	if len(r.services) == 0 {
		conditions[0] = api.EntryCondition{
			Type: conditionAccepted, Status: isFalse, Reason: "NoUpstreamServicesTargeted", Message: "route must target at least one upstream service",
		}
	}
	for _, parent := range r.parents {
		c := api.EntryCondition{Type: conditionBound, Status: isFalse, Resource: parent}
		c.Reason, c.Message = b.attach(r, parent)
		if c.Reason == conditionBound {
			c.Status = isTrue
		}
		conditions = append(conditions, c)
	}
	b.show(r.entry, conditions)
}

// attach binds a route to one parent. It returns the reason and the words of the condition.
func (b *binder) attach(r route, parent api.EntryReference) (reason, message string) {
	g := b.gateways[parent.Name]
	if g == nil {
		return "GatewayNotFound", fmt.Sprintf("gateway %q was not found", parent.Name)
	}
	why := fmt.Sprintf("gateway %q has no listener %q", parent.Name, parent.SectionName)
	if parent.SectionName == "" {
		why = fmt.Sprintf("gateway %q has no listeners", parent.Name)
	}
	reference := api.EntryReference{Kind: r.entry.EntryKind(), Name: r.entry.EntryName()}
	bound := false
	for i, l := range g.entry.Listeners {
		switch {
		case parent.SectionName != "" && parent.SectionName != l.Name:
			continue
		case l.Protocol != r.protocol:
			why = fmt.Sprintf("failed to bind %s to gateway %q: listener %q speaks %s", reference.Kind, parent.Name, l.Name, l.Protocol)
			continue
		case !hostsMeet(l.Hostname, r.hostnames):
			why = fmt.Sprintf("failed to bind %s to gateway %q: listener %q is for %q, which is none of the route's hostnames",
				reference.Kind, parent.Name, l.Name, l.Hostname)
			continue
		}
		bound = true
		listener := &g.bound.Listeners[i]
		if !slices.Contains(listener.Routes, reference) {
			listener.Routes = append(listener.Routes, reference)
		}
	}
	if !bound {
		return "FailedToBind", why
	}
	for _, service := range r.services {
		if g.bound.Services == nil {
			g.bound.Services = map[string][]api.EntryReference{}
		}
		if !slices.Contains(g.bound.Services[service], reference) {
			g.bound.Services[service] = append(g.bound.Services[service], reference)
		}
	}
	return conditionBound, "successfully bound route"
}

// hostsMeet tells whether some host is both a listener's and a route's. None means all.
func hostsMeet(listener string, route []string) bool {
	return listener == "" || len(route) == 0 ||
		slices.ContainsFunc(route, func(h string) bool { return covers(listener, h) || covers(h, listener) })
}

// covers tells whether a name, which may begin with a wildcard, stands for another.
func covers(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	rest, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && strings.HasSuffix(host, rest)
}

// gateway says in a gateway's status what became of its listeners, and writes what is bound to it.
func (b *binder) gateway(g *boundGateway) {
	accepted := api.EntryCondition{Type: conditionAccepted, Status: isTrue, Reason: "Accepted", Message: "gateway is valid"}
	var conditions []api.EntryCondition
	for i, l := range g.entry.Listeners {
		listener := &g.bound.Listeners[i]
		resource := api.EntryReference{Kind: api.KindAPIGateway, Name: g.entry.Name, SectionName: l.Name}
		conflict := api.EntryCondition{Type: conditionConflicted, Status: isFalse, Reason: "NoConflict", Message: "listener has no route conflicts", Resource: resource}
		if l.Protocol == "tcp" && len(listener.Routes) > 1 {
			conflict.Status, conflict.Reason = isTrue, "RouteConflict"
			conflict.Message = "TCP-based listeners currently only support binding a single route"
		}
		resolved := api.EntryCondition{Type: conditionResolved, Status: isTrue, Reason: "ResolvedRefs", Message: "resolved refs", Resource: resource}
		for _, c := range l.TLS.Certificates {
			if state.ConfigEntry(b.tx, c.Kind, c.Name) != nil {
				listener.Certificates = append(listener.Certificates, c)
				continue
			}
			resolved.Status, resolved.Reason = isFalse, "InvalidCertificateRef"
			resolved.Message = fmt.Sprintf("certificate %q not found", c.Name)
			accepted.Status, accepted.Reason, accepted.Message = isFalse, "InvalidCertificates", "gateway references invalid certificates"
		}
		for _, name := range providersOf(l) {
			if state.ConfigEntry(b.tx, api.KindJWTProvider, name) != nil {
				continue
			}
			resolved.Status, resolved.Reason = isFalse, "InvalidJWTProviderRef"
			resolved.Message = fmt.Sprintf("JWT provider %q not found", name)
			accepted.Status, accepted.Reason, accepted.Message = isFalse, "InvalidJWTProviders", "gateway references invalid JWT providers"
		}
		conditions = append(conditions, conflict, resolved)
	}
	b.show(g.entry, append([]api.EntryCondition{accepted}, conditions...))
	state.PutConfigEntry(b.tx, g.bound)
}

// providersOf lists the JWT providers that a listener asks for tokens of.
func providersOf(l api.APIGatewayListener) []string {
	var names []string
	for _, p := range []*api.APIGatewayPolicy{l.Override, l.Default} {
		if p == nil || p.JWT == nil {
			continue
		}
		for _, provider := range p.JWT.Providers {
			names = append(names, provider.Name)
		}
	}
	return names
}

// show writes an entry with a new status. What holds as before holds since then.
func (b *binder) show(e api.ConfigEntry, conditions []api.EntryCondition) {
	var shown api.ConfigEntry
	switch e := e.(type) {
	case *api.APIGateway:
		c := *e
		shown = &c
	case *api.HTTPRoute:
		c := *e
		shown = &c
	case *api.TCPRoute:
		c := *e
		shown = &c
	}
	s := status(shown)
	for i := range conditions {
		c := &conditions[i]
		c.LastTransitionTime = b.now
		for _, was := range s.Conditions {
			if was.Type == c.Type && was.Resource == c.Resource && was.Status == c.Status {
				c.LastTransitionTime = was.LastTransitionTime
			}
		}
	}
	s.Conditions = conditions
	state.PutConfigEntry(b.tx, shown)
}
