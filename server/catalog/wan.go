package catalog

import "github.com/parleymesh/parley/api"

// wanTag marks the address by which other datacenters reach a node or an instance.
const wanTag = "wan"

// WANNode gives a node the address by which other datacenters reach it, where it has one.
func WANNode(n *api.Node) { n.Address = wanAddress(n.Address, n.TaggedAddresses) }

func wanAddress(address string, tagged map[string]string) string {
	if wan := tagged[wanTag]; wan != "" {
		return wan
	}
	return address
}

// WANService does the same for an instance.
func WANService(s *api.Service) {
	if wan, ok := s.TaggedAddresses[wanTag]; ok {
		s.Address, s.Port = wan.Address, wan.Port
	}
}

// WANEntry does the same for an instance and its node.
func WANEntry(e *api.ServiceEntry) {
	WANNode(&e.Node)
	WANService(&e.Service)
}

// WANInstance does the same for both in the form of the catalog.
func WANInstance(i *api.CatalogService) {
	i.Address = wanAddress(i.Address, i.TaggedAddresses)
	if wan, ok := i.ServiceTaggedAddresses[wanTag]; ok {
		i.ServiceAddress, i.ServicePort = wan.Address, wan.Port
	}
}
