package ca

import (
	"fmt"
	"net/url"
	"strings"
)

// Kind is what an ID names.
type Kind string

// The kinds of identity.
const (
	Signing Kind = "signing" // the trust domain itself: a CA
	Service Kind = "service"
	Agent   Kind = "agent"
)

// ID is an identity of the mesh, as it stands in the URI of a certificate. Two IDs are the same identity when they are equal:
// the default partition and namespace are empty, and the trust domain is in lower case.
type ID struct {
	Kind        Kind
	TrustDomain string
	Partition   string
	Namespace   string // of a service
	Datacenter  string
	Name        string // of the service or of the agent's node
}

// maxID is the bound that the SPIFFE standard puts on an identifier.
const maxID = 2048

// defaultTenant is how the default partition and namespace are written.
const defaultTenant = "default"

// ServiceID is the identity of a service of the default tenant.
func ServiceID(trustDomain, datacenter, service string) ID {
	return ID{Kind: Service, TrustDomain: strings.ToLower(trustDomain), Datacenter: datacenter, Name: service}
}

// AgentID is the identity of a node's agent.
func AgentID(trustDomain, datacenter, node string) ID {
	return ID{Kind: Agent, TrustDomain: strings.ToLower(trustDomain), Datacenter: datacenter, Name: node}
}

// URI returns the identity as it stands in a certificate.
func (id ID) URI() *url.URL {
	var parts []string
	if id.Partition != "" {
		parts = append(parts, "ap", id.Partition)
	}
	switch id.Kind {
	case Service:
		ns := id.Namespace
		if ns == "" {
			ns = defaultTenant
		}
		parts = append(parts, "ns", ns, "dc", id.Datacenter, "svc", id.Name)
	case Agent:
		parts = append(parts, "agent", "client", "dc", id.Datacenter, "id", id.Name)
	}
	u := &url.URL{Scheme: "spiffe", Host: id.TrustDomain}
	for _, p := range parts {
		u.Path += "/" + p
		u.RawPath += "/" + url.PathEscape(p)
	}
	return u
}

// String returns the identity's URI.
func (id ID) String() string { return id.URI().String() }

// ParseID reads an identity of the kinds that this mesh gives out.
func ParseID(text string) (ID, error) {
	id, err := parseID(text)
	if err != nil {
		return ID{}, fmt.Errorf("SPIFFE id %.200q: %w", text, err)
	}
	return id, nil
}

func parseID(text string) (ID, error) {
	if len(text) > maxID {
		return ID{}, fmt.Errorf("longer than %d bytes", maxID)
	}
	u, err := url.Parse(text)
	if err != nil {
		return ID{}, err
	}
	switch {
	case u.Scheme != "spiffe":
		return ID{}, fmt.Errorf("the scheme is %q, not spiffe", u.Scheme)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return ID{}, fmt.Errorf("it has more than a trust domain and a path")
	case !validTrustDomain(u.Host):
		return ID{}, fmt.Errorf("%q is no trust domain", u.Host)
	}
	id := ID{Kind: Signing, TrustDomain: strings.ToLower(u.Host)}
	parts, err := segments(u.EscapedPath())
	if err != nil || len(parts) == 0 {
		return id, err
	}
	if parts[0] == "ap" && len(parts) > 2 {
		id.Partition = tenantName(parts[1])
		parts = parts[2:]
	}
	switch {
	case len(parts) == 6 && parts[0] == "ns" && parts[2] == "dc" && parts[4] == "svc":
		id.Kind, id.Namespace, id.Datacenter, id.Name = Service, tenantName(parts[1]), parts[3], parts[5]
	case len(parts) == 6 && parts[0] == "agent" && parts[1] == "client" && parts[2] == "dc" && parts[4] == "id":
		id.Kind, id.Datacenter, id.Name = Agent, parts[3], parts[5]
	default:
		return ID{}, fmt.Errorf("it names neither a service nor an agent")
	}
	return id, nil
}

// segments splits a path, each part unescaped. An empty part is an error, for nothing has an empty name.
func segments(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		p, err := url.PathUnescape(p)
		if err != nil {
			return nil, err
		}
		if p == "" {
			return nil, fmt.Errorf("it has an empty part")
		}
		parts[i] = p
	}
	return parts, nil
}

// validTrustDomain tells whether the host of an id is made of the characters that the standard allows.
func validTrustDomain(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

func tenantName(text string) string {
	if text == defaultTenant {
		return ""
	}
	return text
}
