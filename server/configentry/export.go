package configentry

import (
	"fmt"

	"github.com/parleymesh/parley/api"
)

func checkExportedServices(e *api.ExportedServices) error {
	if e.Name != api.ExportedServicesDefault {
		return refusal("invalid name (%q), only %q is supported: the entry is called as its partition", e.Name, api.ExportedServicesDefault)
	}
	seen := map[string]bool{}
	return at("Services", e.Services, func(path string, s *api.ExportedService) error {
		if err := api.CheckName(path+".Name", s.Name); err != nil {
			return refusal("%v", err)
		}
		if seen[s.Name] {
			return refusal("%s.Name: %q stands twice", path, s.Name)
		}
		seen[s.Name] = true
		if err := checkPlace(path, s.Namespace, ""); err != nil {
			return err
		}
		if len(s.Consumers) == 0 {
			return refusal("%s.Consumers must name at least one who may use %q", path, s.Name)
		}
		return at(path+".Consumers", s.Consumers, checkConsumer)
	})
}

func checkConsumer(path string, c *api.ServiceConsumer) error {
	switch {
	case count(c.Partition != "", c.Peer != "", c.SamenessGroup != "") != 1:
		return refusal("%s must have exactly one of Peer, Partition, or SamenessGroup", path)
	case c.SamenessGroup != "":
		return refusal("%s.SamenessGroup %q: sameness groups are not known to this release", path, c.SamenessGroup)
	case c.Peer == api.Wildcard || c.Partition == api.Wildcard:
		return refusal("%s: %q names nobody; name each one", path, api.Wildcard)
	}
	return checkPlace(path, "", c.Partition)
}

// checkExport refuses to export what fails over to another datacenter: a peer could not follow it there.
func checkExport(service string, c *api.DiscoveryChain) error {
	for _, id := range sorted(c.Targets) {
		if t := c.Targets[id]; t.Datacenter != c.Datacenter && t.Peer == "" {
			return refusal("peer exported service %q contains cross-datacenter failover: %s", service, fmt.Sprintf("it may be answered from %q", t.Datacenter))
		}
	}
	return nil
}
