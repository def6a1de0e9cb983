package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func instance(node string, s api.Service) catalog.Register {
	return catalog.Register{Registration: api.Registration{Node: node, Address: "192.0.2.1", Service: &s}}
}

func sidecar(id, of string) api.Service {
	return api.Service{Kind: api.KindConnectProxy, ID: id, Service: of + "-px", Port: 21000, Proxy: &api.Proxy{DestinationServiceName: of}}
}

// virtualOf are the virtual addresses of services, by their last number.
func virtualOf(t *testing.T, s *nounstore.Store, services ...string) string {
	t.Helper()
	var out []string
	for _, name := range services {
		found := nounstore.Values[*api.VirtualAddress](t, s, catalog.Virtual{Service: name})
		if len(found) == 0 {
			out = append(out, "-")
			continue
		}
		out = append(out, strings.TrimPrefix(found[0].Address, "240.0.0."))
		owners := nounstore.Values[*api.VirtualAddress](t, s, catalog.Virtual{Address: found[0].Address})
		if len(owners) != 1 || !strings.EqualFold(owners[0].Service, name) {
			t.Errorf("%s is %+v's, not %s's", found[0].Address, owners, name)
		}
	}
	return strings.Join(out, " ")
}

func TestVirtualAddresses(t *testing.T) {
	s := nounstore.New()
	register := func(node string, i api.Service) { t.Helper(); nounstore.Do[any](t, s, instance(node, i)) }
	deregister := func(node, id string) {
		t.Helper()
		nounstore.Do[any](t, s, catalog.Deregister{Deregistration: api.Deregistration{Node: node, ServiceID: id}})
	}
	want := func(want string) {
		t.Helper()
		if got := virtualOf(t, s, "web", "db", "own", "plain"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}

	register("n1", api.Service{Service: "plain"})
	register("n1", sidecar("px1", "web"))
	register("n2", sidecar("px1", "WEB"))
	register("n1", sidecar("px2", "db"))
	register("n1", api.Service{Service: "own", Connect: &api.Connect{Native: true}, Port: 7})
	want("1 2 3 -")
	entries := nounstore.Values[*api.ServiceEntry](t, s, catalog.Health{Service: "own", Mesh: true})
	if got := entries[0].Service.TaggedAddresses[api.TaggedVirtual]; got != (api.ServiceAddress{Address: "240.0.0.3", Port: 7}) {
		t.Errorf("the instance shows %v", got)
	}

	// Saying the same again wakes nobody.
	again := instance("n1", sidecar("px1", "web"))
	if woken := s.Wakes(t, again, catalog.Health{Service: "web", Mesh: true}, catalog.Virtual{Service: "web"}); woken[0] || woken[1] {
		t.Errorf("woken: %v", woken)
	}

	deregister("n1", "px1")
	want("1 2 3 -") // one is left
	gone := catalog.Deregister{Deregistration: api.Deregistration{Node: "n2"}}
	if woken := s.Wakes(t, gone, catalog.Virtual{Service: "web"}, catalog.Virtual{Address: "240.0.0.1"}, catalog.Virtual{Service: "db"}); !woken[0] || !woken[1] || woken[2] {
		t.Errorf("woken: %v", woken)
	}
	want("- 2 3 -")
	register("n1", sidecar("px2", "web")) // it answers for another service now
	want("1 - 3 -")
	deregister("n1", "own")
	deregister("n1", "px2")
	want("- - - -")

	// What has been free longest is given out first, also by a server that was started anew.
	loaded := s.Reloaded(t)
	for _, s := range []*nounstore.Store{s, loaded} {
		for i, name := range []string{"a", "b", "c", "d"} {
			nounstore.Do[any](t, s, instance("n1", sidecar(name, name)))
			if got, want := virtualOf(t, s, name), strings.Fields("2 3 1 4")[i]; got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	}
	nounstore.Same(t, s, loaded, catalog.Virtual{Service: "d"}, catalog.Health{Service: "a", Mesh: true})

	for _, address := range []string{"240.0.0.0", "240.0.0.99", "192.0.2.1", "255.255.255.255", "::1", "x"} {
		if rows, _, _ := s.Ask(t, catalog.Virtual{Address: address}); len(rows) > 0 {
			t.Errorf("%s is %v's", address, rows[0].Value)
		}
	}
}

// TestManyVirtualAddresses: addresses go on beyond the last byte, and a node that goes frees all that were its services'.
func TestManyVirtualAddresses(t *testing.T) {
	s := nounstore.New()
	for i := range 300 {
		name := fmt.Sprintf("s%d", i)
		nounstore.Do[any](t, s, instance("n1", sidecar(name, name)))
	}
	if got := virtualOf(t, s, "s299"); got != "240.0.1.44" {
		t.Error(got)
	}
	nounstore.Do[any](t, s, catalog.Deregister{Deregistration: api.Deregistration{Node: "n1"}})
	nounstore.Do[any](t, s, instance("n1", sidecar("x", "x")))
	if got := virtualOf(t, s, "s0", "s299", "x"); got != "- - 1" {
		t.Error(got)
	}
}
