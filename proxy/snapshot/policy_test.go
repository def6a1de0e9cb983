package snapshot

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parleymesh/parley/api"
)

func TestTheFirstRuleThatNamesACallerDecides(t *testing.T) {
	p := Policy{TrustDomain: "td", DefaultWhy: "the default says so", Rules: []Rule{
		{ID: "1", Why: "web may", Source: "web", Allow: true},
		{ID: "2", Why: "api may not", Source: "api"},
		{ID: "3", Why: "old may, over HTTP", Source: "old", Allow: true, HTTP: true},
		{ID: "4", Why: "a peer's", Source: "far", Peer: "cloud", Allow: true},
		{ID: "5", Why: "all of another namespace", Source: "*", Namespace: "other", Allow: true},
	}}
	for caller, want := range map[string]api.Decision{
		"spiffe://td/ns/default/dc/dc1/svc/web":  {Allowed: true, Rule: "1", Why: "web may"},
		"spiffe://td/ns/default/dc/dc2/svc/web":  {Allowed: true, Rule: "1", Why: "web may"},
		"spiffe://td/ns/default/dc/dc1/svc/api":  {Rule: "2", Why: "api may not"},
		"spiffe://td/ns/default/dc/dc1/svc/old":  {Rule: "3", Why: "old may, over HTTP, so a connection alone is denied: HTTP permissions and tokens need a proxy and a service that speak HTTP"},
		"spiffe://td/ns/default/dc/dc1/svc/far":  {Why: "the default says so"},
		"spiffe://td/ns/other/dc/dc1/svc/far":    {Allowed: true, Rule: "5", Why: "all of another namespace"},
		"spiffe://else/ns/default/dc/dc1/svc/we": {Why: `the caller is of trust domain "else", not of "td"`},
	} {
		if got := p.Authorize(caller); got != want {
			t.Errorf("%s: got %+v, want %+v", caller, got, want)
		}
	}
	for _, stranger := range []string{"", "web", "spiffe://td/agent/client/dc/dc1/id/n", "spiffe://td/ns/default/dc/dc1/svc/web/", "spiffe://td/ns/default/dc/dc1/svc/w%65b"} {
		p.DefaultAllow = true
		if got := p.Authorize(stranger); got.Allowed || got.Why == "" {
			t.Errorf("%q: got %+v", stranger, got)
		}
	}
}

// Narrows is compared with trying every caller that there is in a small world.
func TestNarrowsIsWhatItSays(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	sources, namespaces := []string{"a", "b", "*"}, []string{"", "default", "x", "*"}
	some := func() *Policy {
		p := &Policy{TrustDomain: "td", DefaultAllow: r.IntN(2) == 0}
		for i := range r.IntN(4) {
			p.Rules = append(p.Rules, Rule{
				ID: fmt.Sprint(i), Source: sources[r.IntN(3)], Namespace: namespaces[r.IntN(4)], Allow: r.IntN(2) == 0,
			})
		}
		return p
	}
	for range 5000 {
		old, next := some(), some()
		want := false
		for _, service := range []string{"a", "b", "c"} {
			for _, namespace := range []string{"", "x", "y"} {
				for _, partition := range []string{"", "p"} {
					caller := Identity{TrustDomain: "td", Datacenter: "dc1", Partition: partition, Namespace: namespace, Service: service}.String()
					want = want || old.Authorize(caller).Allowed && !next.Authorize(caller).Allowed
				}
			}
		}
		if got := next.Narrows(old); got != want {
			t.Fatalf("from %+v to %+v: got %t, want %t", old, next, got, want)
		}
	}
}

func TestThePolicysHashIsOfWhatDecides(t *testing.T) {
	base := Policy{TrustDomain: "td", Rules: []Rule{{ID: "1", Why: "because", Source: "a", Allow: true}}}
	same := base
	same.Rules, same.DefaultWhy = []Rule{{ID: "1", Why: "of another reason", Source: "a", Namespace: "default", Allow: true}}, "why"
	if same.Hash() != base.Hash() {
		t.Error("a description makes another policy")
	}
	for name, change := range map[string]func(p *Policy){
		"default": func(p *Policy) { p.DefaultAllow = true }, "domain": func(p *Policy) { p.TrustDomain = "x" },
		"rule": func(p *Policy) { p.Rules = nil }, "by request": func(p *Policy) { p.Rules = []Rule{{ID: "1", Source: "a", Allow: true, HTTP: true}} },
	} {
		other := base
		change(&other)
		if other.Hash() == base.Hash() {
			t.Errorf("%s: the hash is the same", name)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("spiffe://td/ns/default/dc/dc1/svc/web")
	f.Add("spiffe://td/ap/p/ns/n/dc/dc1/svc/a%2Fb")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := ParseIdentity(text)
		if err == nil && i.String() != text {
			t.Errorf("%q is read as %+v, which is written %q", text, i, i)
		}
	})
}

func TestNamesOfTargets(t *testing.T) {
	for want, target := range map[string]api.Target{
		"db.default.dc1.internal.td":         {Service: "db", Datacenter: "dc1"},
		"v2.db.default.dc1.internal.td":      {Service: "db", ServiceSubset: "v2", Datacenter: "dc1", Namespace: "default", Partition: "default"},
		"db.ns.part.dc1.internal-v1.td":      {Service: "db", Datacenter: "dc1", Namespace: "ns", Partition: "part"},
		"v2.db.ns.part.dc1.internal-v1.td":   {Service: "db", ServiceSubset: "v2", Datacenter: "dc1", Namespace: "ns", Partition: "part"},
		"db.default.part.dc1.internal-v1.td": {Service: "db", Datacenter: "dc1", Partition: "part"},
	} {
		if got := SNI(target, "td"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for want, u := range map[string]api.Upstream{
		"db": {DestinationName: "db", DestinationType: "service", DestinationNamespace: "default", DestinationPartition: "default"},
		"prepared_query:ns/part/db?peer=p?dc=dc2": {
			DestinationName: "db", DestinationType: "prepared_query", DestinationNamespace: "ns", DestinationPartition: "part", DestinationPeer: "p", Datacenter: "dc2",
		},
	} {
		if got := UpstreamID(u); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
