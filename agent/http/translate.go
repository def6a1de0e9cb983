package http

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// Who asks for another datacenter often reaches it by other addresses. With translate_wan_addrs the answers about it show those that
// nodes and services have for that.

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

// wanNodeServices shows a node and what is on it, which are copied.
func (r *request) wanNodeServices(n *api.Node, services []*api.Service) (*api.Node, []*api.Service) {
	if n == nil || !r.translates() {
		return n, services
	}
	node := *n
	catalog.WANNode(&node)
	out := make([]*api.Service, len(services))
	for i, s := range services {
		service := *s
		catalog.WANService(&service)
		out[i] = &service
	}
	return &node, out
}
