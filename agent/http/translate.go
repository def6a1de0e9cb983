package http

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// Who asks for another datacenter often reaches it by other addresses. With translate_wan_addrs the answers about it show those that
// nodes and services have under this tag.
const wanTag = "wan"

// translates tells whether the addresses of the answer are to be those by which another datacenter is reached, and tells the client.
func (r *request) translates() bool {
	if !r.s.opts.TranslateWANAddrs {
		return false
	}
	r.w.Header().Set("X-Consul-Translate-Addresses", "true")
	dc := r.param("dc")
	return dc != "" && dc != r.s.opts.Datacenter
}

// translated returns rows of which each value was copied and changed. The rows that others share stay as they are.
func translated[T any](r *request, all rows, change func(v *T)) rows {
	if !r.translates() {
		return all
	}
	out := make(rows, len(all))
	for i, row := range all {
		v := *row.Value.(*T)
		change(&v)
		out[i] = &verb.Row{Key: row.Key, Value: &v}
	}
	return out
}

// wanNode shows a node by its address for others.
func wanNode(n *api.Node) { n.Address = wanAddress(n.Address, n.TaggedAddresses) }

func wanAddress(address string, tagged map[string]string) string {
	if wan := tagged[wanTag]; wan != "" {
		return wan
	}
	return address
}

// wanService shows an instance by its address for others.
func wanService(s *api.Service) {
	if wan, ok := s.TaggedAddresses[wanTag]; ok {
		s.Address, s.Port = wan.Address, wan.Port
	}
}

func wanEntry(e *api.ServiceEntry) {
	wanNode(&e.Node)
	wanService(&e.Service)
}

func wanInstance(i *api.CatalogService) {
	i.Address = wanAddress(i.Address, i.TaggedAddresses)
	if wan, ok := i.ServiceTaggedAddresses[wanTag]; ok {
		i.ServiceAddress, i.ServicePort = wan.Address, wan.Port
	}
}

// wanNodeServices shows a node and what is on it, which are copied.
func (r *request) wanNodeServices(n *api.Node, services []*api.Service) (*api.Node, []*api.Service) {
	if n == nil || !r.translates() {
		return n, services
	}
	node := *n
	wanNode(&node)
	out := make([]*api.Service, len(services))
	for i, s := range services {
		service := *s
		wanService(&service)
		out[i] = &service
	}
	return &node, out
}
