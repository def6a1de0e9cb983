package envoy

import (
	"fmt"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

// The resources of a sidecar whose upstream has 100 instances: of a target that nobody else calls, and of one whose endpoints
// have been built for another proxy.
func BenchmarkBuild100(b *testing.B) {
	s := example()
	for _, e := range s.Endpoints {
		e.Instances = nil
		for n := range 100 {
			e.Instances = append(e.Instances, snapshot.Instance{
				ID: fmt.Sprint(n), Address: snapshot.Address{Host: fmt.Sprintf("10.0.1.%d", n), Port: 80}, Health: api.Passing, Weight: 1,
			})
		}
	}
	build := func(b *testing.B, builder *Builder) {
		if r := builder.Build(s, "g"); len(r.Problems) > 0 || len(r.Names(EndpointType)) != 1 {
			b.Fatal(r.Problems)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			build(b, NewBuilder())
		}
	})
	b.Run("shared", func(b *testing.B) {
		builder := NewBuilder()
		b.ReportAllocs()
		for b.Loop() {
			build(b, builder)
		}
	})
}

// The resources of a sidecar whose upstream has routes, splits, subsets and failover, when one of its routes has changed.
func BenchmarkBuildHTTP(b *testing.B) {
	s, builder := httpExample(b, everyFeature("http")), NewBuilder()
	b.ReportAllocs()
	for b.Loop() {
		if r := builder.Build(s, "g"); len(r.Problems) > 0 {
			b.Fatal(r.Problems)
		}
	}
}

// The same when an instance of each of its targets has changed, for a proxy that is not the first whose endpoints are built.
func BenchmarkRebuildHTTP(b *testing.B) {
	s, next := httpExample(b, everyFeature("http")), httpExample(b, everyFeature("http"))
	for _, e := range next.Endpoints {
		e.Instances = e.Instances[1:]
	}
	next.Upstreams = s.Upstreams // as the assembler does: a chain that has not changed is the same
	builder := NewBuilder()
	built := builder.Build(s, "g")
	b.ReportAllocs()
	for b.Loop() {
		if r := builder.Rebuild(built, next, "g"); len(r.Problems) > 0 {
			b.Fatal(r.Problems)
		}
	}
}
