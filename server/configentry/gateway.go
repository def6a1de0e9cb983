package configentry

import (
	"cmp"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
)

func checkIngressGateway(e *api.IngressGateway) error {
	if err := checkGatewayTLS("TLS", &e.TLS); err != nil {
		return err
	}
	if d := e.Defaults; d != nil {
		if err := checkPassive("Defaults.PassiveHealthCheck", d.PassiveHealthCheck); err != nil {
			return err
		}
	}
	ports := map[int]bool{}
	return at("Listeners", e.Listeners, func(path string, l *api.IngressListener) error {
		if ports[l.Port] {
			return refusal("%s.Port %d is another listener's already", path, l.Port)
		}
		ports[l.Port] = true
		return checkIngressListener(path, l)
	})
}

func checkIngressListener(path string, l *api.IngressListener) error {
	if err := checkPort(path+".Port", l.Port); err != nil {
		return err
	}
	if !chain.KnownProtocol(strings.ToLower(l.Protocol)) {
		return refusal("%s.Protocol %q is not known: use tcp, http, http2 or grpc", path, l.Protocol)
	}
	if err := checkGatewayTLS(path+".TLS", l.TLS); err != nil {
		return err
	}
	tcp := l.Protocol == "" || strings.EqualFold(l.Protocol, chain.ProtocolTCP)
	if tcp && len(l.Services) > 1 {
		return refusal("%s.Services: a listener of TCP cannot tell several services apart; it takes one", path)
	}
	if len(l.Services) == 0 {
		return refusal("%s.Services: a listener needs at least one service", path)
	}
	seen, hosts := map[string]bool{}, map[string]bool{}
	return at(path+".Services", l.Services, func(path string, s *api.IngressService) error {
		switch {
		case s.Name == "":
			return refusal("%s.Name is required", path)
		case tcp && s.Name == api.Wildcard:
			return refusal("%s.Name: %q goes with a listener of HTTP only", path, s.Name)
		case tcp && len(s.Hosts) > 0:
			return refusal("%s.Hosts: a listener of TCP does not know which host is meant", path)
		case s.Name == api.Wildcard && len(s.Hosts) > 0:
			return refusal("%s.Hosts: all services share a listener by their own names; leave the hosts out", path)
		case seen[s.Name]:
			return refusal("%s.Name: %q stands twice in one listener", path, s.Name)
		}
		seen[s.Name] = true
		for _, h := range s.Hosts {
			if hosts[h] {
				return refusal("%s.Hosts: %q is another service's already", path, h)
			}
			hosts[h] = true
			if err := checkHost(path+".Hosts", h); err != nil {
				return err
			}
		}
		return checks(
			checkPlace(path, s.Namespace, s.Partition),
			checkModifiers(path+".RequestHeaders", s.RequestHeaders),
			checkModifiers(path+".ResponseHeaders", s.ResponseHeaders),
			checkPassive(path+".PassiveHealthCheck", s.PassiveHealthCheck),
		)
	})
}

// checkHost takes the name of a host, or "*." and such a name for all beneath it, or "*" for all.
func checkHost(path, host string) error {
	name := strings.TrimPrefix(host, "*.")
	if host == api.Wildcard {
		return nil
	}
	for label := range strings.SplitSeq(name, ".") {
		if !api.DNSName(label) {
			return refusal("%s: %q is no name of a host; a wildcard may stand only as the first label", path, host)
		}
	}
	return nil
}

func checkGatewayTLS(path string, t *api.GatewayTLS) error {
	if t == nil {
		return nil
	}
	return checkTLS(path, "TLSMinVersion", t.TLSMinVersion, "TLSMaxVersion", t.TLSMaxVersion, t.CipherSuites)
}

func checkTerminatingGateway(e *api.TerminatingGateway) error {
	seen := map[string]bool{}
	return at("Services", e.Services, func(path string, s *api.LinkedService) error {
		if s.Name == "" {
			return refusal("%s.Name is required", path)
		}
		if seen[s.Name] {
			return refusal("%s.Name: %q was specified more than once within a gateway", path, s.Name)
		}
		seen[s.Name] = true
		if (s.CertFile == "") != (s.KeyFile == "") {
			return refusal("%s: CertFile and KeyFile go together", path)
		}
		return checkPlace(path, s.Namespace, "")
	})
}

func checkAPIGateway(e *api.APIGateway) error {
	if err := checkLimits("Defaults", e.Defaults); err != nil {
		return err
	}
	names := map[string]bool{}
	return at("Listeners", e.Listeners, func(path string, l *api.APIGatewayListener) error {
		if names[l.Name] {
			return refusal("%s.Name: %q is another listener's already", path, l.Name)
		}
		names[l.Name] = true
		if l.Name != "" && !api.DNSName(l.Name) {
			return refusal("%s.Name %q: a listener's name may have letters, digits and inner hyphens, and at most 63 of them", path, l.Name)
		}
		if p := strings.ToLower(l.Protocol); p != "http" && p != chain.ProtocolTCP {
			return refusal("%s.Protocol %q is not known: use http or tcp", path, l.Protocol)
		}
		if l.Hostname != "" {
			if err := checkHost(path+".Hostname", l.Hostname); err != nil {
				return err
			}
		}
		for i, c := range l.TLS.Certificates {
			if c.Kind != api.KindInlineCertificate && c.Kind != api.KindFileSystemCertificate {
				return refusal("%s.TLS.Certificates[%d].Kind %q is none of certificates: use %s or %s",
					path, i, c.Kind, api.KindInlineCertificate, api.KindFileSystemCertificate)
			}
		}
		return checks(
			checkPort(path+".Port", l.Port),
			checkHeaderSize(path+".MaxRequestHeadersKB", l.MaxRequestHeadersKB),
			checkTLS(path+".TLS", "MinVersion", l.TLS.MinVersion, "MaxVersion", l.TLS.MaxVersion, l.TLS.CipherSuites),
		)
	})
}

// normalizeGateway writes protocols as they are shown, and fills in what is meant where there is none.
func normalizeGateway(e api.ConfigEntry) {
	switch e := e.(type) {
	case *api.IngressGateway:
		for i := range e.Listeners {
			e.Listeners[i].Protocol = cmp.Or(strings.ToLower(e.Listeners[i].Protocol), chain.ProtocolTCP)
		}
	case *api.APIGateway:
		for i := range e.Listeners {
			e.Listeners[i].Protocol = strings.ToLower(e.Listeners[i].Protocol)
		}
	case *api.HTTPRoute:
		normalizeParents(e.Parents)
		for _, r := range e.Rules {
			for i := range r.Services {
				r.Services[i].Weight = cmp.Or(r.Services[i].Weight, 1)
			}
		}
	case *api.TCPRoute:
		normalizeParents(e.Parents)
	}
}

func normalizeParents(parents []api.EntryReference) {
	for i := range parents {
		parents[i].Kind = cmp.Or(parents[i].Kind, api.KindAPIGateway)
	}
}

func checkParents(parents []api.EntryReference) error {
	for i, p := range parents {
		switch {
		case p.Kind != "" && p.Kind != api.KindAPIGateway:
			return refusal("Parents[%d].Kind %q: a route's parent is an %s", i, p.Kind, api.KindAPIGateway)
		case p.Name == "":
			return refusal("Parents[%d].Name is required", i)
		case slices.Contains(parents[:i], p):
			return refusal("Parents[%d] is there already", i)
		}
	}
	return nil
}

func checkTCPRoute(e *api.TCPRoute) error {
	if len(e.Services) > 1 {
		return refusal("Services: a tcp-route takes one service")
	}
	return checks(checkParents(e.Parents), at("Services", e.Services, func(path string, s *api.TCPRouteService) error {
		return checks(checkServiceName(path+".Name", s.Name), checkPlace(path, s.Namespace, s.Partition), checkLimits(path+".Limits", s.Limits))
	}))
}
