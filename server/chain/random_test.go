package chain

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

// dice makes entries by numbers that it is given: at random, or by a fuzzer.
type dice struct {
	roll func(n int) int // 0 to n-1
	wild bool            // entries that nobody would let pass
}

var (
	services    = []string{"a", "b", "c", "d", "e"}
	subsets     = []string{"v1", "v2"}
	datacenters = []string{"dc1", "dc2", "dc3"}
)

// one reports true in one case of n.
func (d dice) one(n int) bool { return d.roll(n) == 0 }

func (d dice) of(names []string) string {
	if d.wild && d.one(8) {
		return []string{"", "*", "a.b", "\x00", "resolver:a"}[d.roll(5)]
	}
	return names[d.roll(len(names))]
}

// maybe is empty, or, in one case of n, one of the names.
func (d dice) maybe(n int, names []string) string {
	if d.one(n) {
		return d.of(names)
	}
	return ""
}

func (d dice) entries() memory {
	m := memory{}
	put := func(e api.ConfigEntry) { m[key(e.EntryKind(), e.EntryName())] = e }
	if !d.one(8) {
		put(&api.ProxyDefaults{Name: api.ProxyDefaultsGlobal, Config: map[string]any{"protocol": "http"}})
	}
	for _, s := range services {
		if d.one(4) {
			put(&api.ServiceDefaults{Name: s, Protocol: []string{"http", "http", "http", "http", "http", "tcp", "grpc", ""}[d.roll(8)]})
		}
		if d.one(2) {
			put(d.router(s))
		}
		// Four deep, tenths make whole hundredths of a percent.
		if s != "e" && d.one(2) {
			put(d.splitter(s))
		}
		if !d.one(3) {
			put(d.resolver(s))
		}
	}
	return m
}

func (d dice) router(service string) *api.ServiceRouter {
	e := &api.ServiceRouter{Name: service}
	for range d.roll(4) {
		r := api.ServiceRoute{}
		switch d.roll(4) {
		case 0:
			r.Match = &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: []string{"/", "/a", "/a/b"}[d.roll(3)]}}
		case 1:
			r.Match = &api.RouteMatch{HTTP: &api.RouteHTTPMatch{Methods: []string{"PUT"}}}
		case 2:
			r.Match = &api.RouteMatch{HTTP: &api.RouteHTTPMatch{Header: []api.RouteHeaderMatch{{Name: "h", Exact: "1", Invert: d.one(2)}}}}
		}
		if !d.one(4) {
			r.Destination = &api.RouteDestination{Service: d.maybe(2, services), ServiceSubset: d.maybe(5, subsets)}
		}
		e.Routes = append(e.Routes, r)
	}
	return e
}

func (d dice) splitter(service string) *api.ServiceSplitter {
	e := &api.ServiceSplitter{Name: service}
	for left := 10; left > 0; {
		w := d.roll(left + 1)
		left -= w
		s := api.ServiceSplit{Weight: float32(10 * w), Service: d.maybe(2, services), ServiceSubset: d.maybe(6, subsets)}
		if d.wild {
			s.Weight = []float32{0, 100, 50.005, -1, float32(math.NaN()), float32(math.Inf(1)), 1e30}[d.roll(7)]
			left--
		}
		s.RequestHeaders, s.ResponseHeaders = d.modifiers(service), d.modifiers(service)
		e.Splits = append(e.Splits, s)
		if len(e.Splits) == 8 {
			e.Splits[7].Weight += float32(10 * left)
			break
		}
	}
	return e
}

func (d dice) modifiers(service string) *api.HeaderModifiers {
	if d.one(2) {
		return nil
	}
	h := &api.HeaderModifiers{Add: map[string]string{"x-" + service: fmt.Sprint(d.roll(9))}}
	switch name := []string{"x", "y", "X"}[d.roll(3)]; d.roll(3) {
	case 0:
		h.Set = map[string]string{name: service}
	case 1:
		h.Remove = []string{name}
	}
	return h
}

func (d dice) resolver(service string) *api.ServiceResolver {
	e := &api.ServiceResolver{Name: service}
	if !d.one(4) {
		e.Subsets = map[string]api.Subset{"v1": {}, "v2": {}}
		e.DefaultSubset = d.maybe(3, subsets)
	}
	if d.one(5) {
		e.Redirect = &api.ResolverRedirect{Service: d.maybe(2, services), ServiceSubset: d.maybe(4, subsets), Datacenter: d.maybe(4, datacenters), Peer: d.maybe(8, []string{"p"})}
	}
	if d.one(3) {
		f := api.ResolverFailover{Service: d.maybe(2, services), ServiceSubset: d.maybe(5, subsets)}
		for range d.roll(3) {
			f.Datacenters = append(f.Datacenters, d.of(datacenters))
		}
		for range max(0, d.roll(6)-3) {
			f.Targets = append(f.Targets, api.FailoverTarget{Service: d.maybe(2, services), Datacenter: d.maybe(2, datacenters), Peer: d.maybe(6, []string{"p"})})
		}
		e.Failover = map[string]api.ResolverFailover{[]string{"*", "v1", "v2", ""}[d.roll(4)]: f}
	}
	return e
}

// FuzzCompile: whatever is written, compiling ends, and its graph can be walked.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x00", 64)))
	f.Add([]byte(strings.Repeat("\x07\x01\x02\x03\x05", 40)))
	f.Add([]byte("the quick brown fox jumps over the lazy dog, and the dog resolves to be another fox one day"))
	f.Fuzz(func(t *testing.T, data []byte) {
		i := -1
		m := dice{wild: true, roll: func(n int) int {
			if i++; i >= len(data) {
				return i % n // also when there are no more numbers, all ends
			}
			return int(data[i]) % n
		}}.entries()
		for _, s := range append(slices.Clone(services), "", "other") {
			for _, protocol := range []string{"", "tcp", "http"} {
				c, err := Compile(Options{Service: s, Datacenter: "dc1", Overrides: Overrides{Protocol: protocol}}, m)
				if err != nil {
					if !strings.HasPrefix(err.Error(), "discovery chain of") || api.StatusOf(err) != 500 {
						t.Fatal(err)
					}
					continue
				}
				if err := wellFormed(c); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
	})
}
