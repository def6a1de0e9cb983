package configentry

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
)

// sorted lists a map's keys in order, so that of several mistakes the same one is told each time.
func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func checkResolver(e *api.ServiceResolver) error {
	for _, name := range sorted(e.Subsets) {
		path := fmt.Sprintf("Subsets[%s]", name)
		if name == "" {
			return refusal("%s: a subset needs a name", path)
		}
		if err := checks(checkSubsetName(path, name), checkInstanceFilter(path+".Filter", e.Subsets[name].Filter)); err != nil {
			return err
		}
	}
	if err := checkOwnSubset("DefaultSubset", e, e.DefaultSubset); err != nil {
		return err
	}
	if err := checkRedirect("Redirect", e); err != nil {
		return err
	}
	for _, subset := range sorted(e.Failover) {
		if err := checkFailover(e, subset, e.Failover[subset]); err != nil {
			return err
		}
	}
	if p := e.PrioritizeByLocality; p != nil {
		if err := oneOf("PrioritizeByLocality.Mode", p.Mode, "none", "failover"); err != nil {
			return err
		}
	}
	return checks(
		checkDuration("ConnectTimeout", time.Duration(e.ConnectTimeout)),
		checkDuration("RequestTimeout", time.Duration(e.RequestTimeout)),
		checkBalancer("LoadBalancer", e.LoadBalancer),
	)
}

// checkOwnSubset wants a subset of the resolver's own service to be there.
func checkOwnSubset(path string, e *api.ServiceResolver, subset string) error {
	if _, ok := e.Subsets[subset]; subset != "" && !ok {
		return refusal("%s %q is not a valid subset: Subsets does not have it", path, subset)
	}
	return nil
}

func checkRedirect(path string, e *api.ServiceResolver) error {
	r := e.Redirect
	if r == nil {
		return nil
	}
	if *r == (api.ResolverRedirect{}) {
		return refusal("%s is empty: say where to, or leave it out", path)
	}
	if r.SamenessGroup != "" {
		return refusal("%s.SamenessGroup %q: sameness groups are not known to this release", path, r.SamenessGroup)
	}
	if r.ServiceSubset != "" && r.Service == "" {
		return refusal("%s.ServiceSubset is of another service: %s.Service is required beside it", path, path)
	}
	if r.Service == e.Name && r.ServiceSubset == "" && r.Datacenter == "" && r.Peer == "" {
		return refusal("%s leads from %q to itself", path, e.Name)
	}
	if len(e.Failover) > 0 {
		return refusal("%s and Failover exclude each other: who is redirected to fails over as the resolver there says", path)
	}
	return checks(
		checkOptionalName(path+".Service", r.Service),
		checkSubsetName(path+".ServiceSubset", r.ServiceSubset),
		checkPlace(path, r.Namespace, r.Partition),
		checkPeer(path, r.Peer, r.Datacenter, r.ServiceSubset, r.Partition),
	)
}

// checkPeer refuses beside a peer what only the peer can say.
func checkPeer(path, peer, datacenter, subset, partition string) error {
	if peer == "" {
		return nil
	}
	for _, f := range []struct{ name, value string }{{"Datacenter", datacenter}, {"ServiceSubset", subset}, {"Partition", partition}} {
		if f.value != "" {
			return refusal("%s.Peer and %s.%s exclude each other", path, path, f.name)
		}
	}
	return nil
}

func checkFailover(e *api.ServiceResolver, subset string, f api.ResolverFailover) error {
	path := fmt.Sprintf("Failover[%s]", subset)
	if subset != api.Wildcard {
		if err := checkOwnSubset(path, e, subset); err != nil || subset == "" {
			return checks(err, refusal("%s: name a subset, or %q for all others", path, api.Wildcard))
		}
	}
	if f.SamenessGroup != "" {
		return refusal("%s.SamenessGroup %q: sameness groups are not known to this release", path, f.SamenessGroup)
	}
	single := f.Service != "" || f.ServiceSubset != "" || f.Namespace != "" || len(f.Datacenters) > 0
	switch {
	case !single && len(f.Targets) == 0:
		return refusal("%s is empty: it needs at least one of Service, ServiceSubset, Namespace, Datacenters, or Targets", path)
	case single && len(f.Targets) > 0:
		return refusal("%s.Targets excludes Service, ServiceSubset, Namespace and Datacenters beside it", path)
	case f.Service == "" || f.Service == e.Name:
		if err := checkOwnSubset(path+".ServiceSubset", e, f.ServiceSubset); err != nil {
			return err
		}
	}
	for i, dc := range f.Datacenters {
		if dc == "" || slices.Contains(f.Datacenters[:i], dc) {
			return refusal("%s.Datacenters[%d] %q is empty, or there already", path, i, dc)
		}
	}
	if p := f.Policy; p != nil {
		if err := oneOf(path+".Policy.Mode", p.Mode, "sequential", "order-by-locality"); err != nil {
			return err
		}
	}
	err := checks(
		checkOptionalName(path+".Service", f.Service),
		checkSubsetName(path+".ServiceSubset", f.ServiceSubset),
		checkPlace(path, f.Namespace, ""),
	)
	if err != nil {
		return err
	}
	return at(path+".Targets", f.Targets, func(path string, t *api.FailoverTarget) error {
		if *t == (api.FailoverTarget{}) {
			return refusal("%s is empty: it is the service that fails itself", path)
		}
		if (t.Service == "" || t.Service == e.Name) && t.Peer == "" {
			if err := checkOwnSubset(path+".ServiceSubset", e, t.ServiceSubset); err != nil {
				return err
			}
		}
		return checks(
			checkOptionalName(path+".Service", t.Service),
			checkSubsetName(path+".ServiceSubset", t.ServiceSubset),
			checkPlace(path, t.Namespace, t.Partition),
			checkPeer(path, t.Peer, t.Datacenter, t.ServiceSubset, t.Partition),
		)
	})
}
