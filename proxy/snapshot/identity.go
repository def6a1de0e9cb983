package snapshot

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/parleymesh/parley/api"
)

// Identity is a service as its certificate names it.
type Identity struct {
	TrustDomain string
	Partition   string // empty: default
	Namespace   string // empty: default
	Datacenter  string
	Service     string
}

// String returns the SPIFFE id: spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>.
func (i Identity) String() string {
	var b strings.Builder
	b.WriteString("spiffe://" + i.TrustDomain)
	if i.Partition != "" && i.Partition != api.DefaultTenant {
		b.WriteString("/ap/" + url.PathEscape(i.Partition))
	}
	b.WriteString("/ns/" + url.PathEscape(orDefault(i.Namespace)))
	b.WriteString("/dc/" + url.PathEscape(i.Datacenter))
	b.WriteString("/svc/" + url.PathEscape(i.Service))
	return b.String()
}

// ParseIdentity reads a service's SPIFFE id. It accepts exactly what String writes: two ways to write one id would be
// two ways to pass a rule.
func ParseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	if !ok {
		return Identity{}, fmt.Errorf("%q is not a SPIFFE id: it must begin with spiffe://", uri)
	}
	var i Identity
	i.TrustDomain, rest, _ = strings.Cut(rest, "/")
	parts := strings.Split(rest, "/")
	if len(parts) == 8 && parts[0] == "ap" {
		i.Partition, parts = parts[1], parts[2:]
	}
	if len(parts) != 6 || parts[0] != "ns" || parts[2] != "dc" || parts[4] != "svc" {
		return Identity{}, fmt.Errorf("%q is not the SPIFFE id of a service: its path must be /ns/<namespace>/dc/<datacenter>/svc/<service>", uri)
	}
	i.Namespace, i.Datacenter, i.Service = parts[1], parts[3], parts[5]
	for _, field := range []*string{&i.Partition, &i.Namespace, &i.Datacenter, &i.Service} {
		plain, err := url.PathUnescape(*field)
		if err != nil {
			return Identity{}, fmt.Errorf("%q is not a SPIFFE id: %w", uri, err)
		}
		*field = plain
	}
	if i.TrustDomain == "" || i.Namespace == "" || i.Datacenter == "" || i.Service == "" || i.String() != uri {
		return Identity{}, fmt.Errorf("%q is not a service's SPIFFE id in its one spelling, such as %q", uri, i.String())
	}
	return i, nil
}

// SNI returns the server name by which a target is called, which is also the name of its Envoy cluster:
// <service>.<namespace>.<datacenter>.internal.<trust domain>, with a subset in front.
func SNI(t api.Target, trustDomain string) string {
	name := t.Service + "." + orDefault(t.Namespace)
	version := ".internal."
	if t.Partition != "" && t.Partition != api.DefaultTenant {
		name += "." + t.Partition
		version = ".internal-v1."
	}
	if t.ServiceSubset != "" {
		name = t.ServiceSubset + "." + name
	}
	return name + "." + t.Datacenter + version + trustDomain
}

func orDefault(name string) string {
	if name == "" {
		return api.DefaultTenant
	}
	return name
}
