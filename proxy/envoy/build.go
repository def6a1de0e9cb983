package envoy

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// Build translates a snapshot. The generation names what the open connections of the public listener were judged by: while it
// stays, no connection is drained. See Generation.
func (b *Builder) Build(s *snapshot.Snapshot, generation string) *Resources {
	return b.Rebuild(nil, s, generation)
}

// Rebuild is Build for a proxy whose snapshot before was translated to the given resources, which may be nil. Most changes are of
// instances, certificates or rules: what does not depend on them is taken over as it is.
func (b *Builder) Rebuild(before *Resources, s *snapshot.Snapshot, generation string) *Resources {
	r := &Resources{
		ByType: map[string]map[string]*Resource{}, Needs: map[Ref][]Ref{}, Assignments: map[string]string{}, Kept: map[Ref]bool{},
		from: s, generation: generation,
	}
	if !r.takeIdentity(before) {
		r.problem(r.secrets(s, generation))
		r.identityProblems, r.Problems = r.Problems, nil
	}
	if !r.takeFrame(before) {
		r.frame()
		r.frameProblems, r.Problems = r.Problems, nil
	}
	for id := range r.targets {
		assignment, err := b.assignment(s.Endpoints[id])
		if err != nil {
			r.problem(err)
			continue
		}
		r.put(assignment)
	}
	r.Problems = append(append(r.Problems, r.identityProblems...), r.frameProblems...)
	slices.SortFunc(r.Problems, cmp.Compare)
	return r
}

// frame adds all that does not change by the minute: listeners, routes and clusters.
func (r *Resources) frame() {
	s := r.from
	r.targets = map[string]bool{}
	r.problem(r.keep(r.public(s, r.generation), Ref{ListenerType, publicName(s)}, Ref{ClusterType, localAppCluster}))
	r.problem(r.exposed(s))
	r.keySets(s)
	for i := range s.Upstreams {
		r.problem(r.upstream(s, &s.Upstreams[i]))
	}
}

// takeIdentity takes over secrets and what judges callers, if they are made of the same.
func (r *Resources) takeIdentity(before *Resources) bool {
	if before == nil || before.generation != r.generation {
		return false
	}
	was, is := before.from, r.from
	if was.Roots != is.Roots || was.Leaf != is.Leaf || !reflect.DeepEqual(was.Policy, is.Policy) {
		return false
	}
	for _, typeURL := range []string{SecretType, FilterType} {
		r.ByType[typeURL] = before.ByType[typeURL]
	}
	r.identityProblems = before.identityProblems
	return true
}

// takeFrame takes over listeners, routes and clusters, if they are made of the same.
func (r *Resources) takeFrame(before *Resources) bool {
	if before == nil || before.generation != r.generation || !sameFrame(before.from, r.from) {
		return false
	}
	for _, typeURL := range []string{ClusterType, ListenerType, RouteType} {
		r.ByType[typeURL] = before.ByType[typeURL]
	}
	r.Needs, r.Assignments, r.Kept = before.Needs, before.Assignments, before.Kept
	r.targets, r.frameProblems = before.targets, before.frameProblems
	return true
}

// sameFrame compares all of two snapshots but what comes apart from listeners, routes and clusters: certificates and instances. The
// policy is compared, too, since the version of a public listener tells it.
func sameFrame(was, is *snapshot.Snapshot) bool {
	a, b := *was, *is
	a.Roots, a.Leaf, a.Endpoints = b.Roots, b.Leaf, b.Endpoints
	return reflect.DeepEqual(a, b) && maps.EqualFunc(was.Endpoints, is.Endpoints, func(x, y *snapshot.Endpoints) bool {
		return x == y || x.SNI == y.SNI && slices.Equal(x.SPIFFE, y.SPIFFE)
	})
}
