package http

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
)

var catalogRoutes = []route{
	on("/v1/catalog/register", put(catalogRegister)),
	on("/v1/catalog/deregister", put(catalogDeregister)),
	on("/v1/catalog/nodes", get(catalogNodes)),
	on("/v1/catalog/services", get(catalogServices)),
	on("/v1/catalog/service/", get(func(r *request) (any, error) { return catalogInstances(r, false) })),
	on("/v1/catalog/connect/", get(func(r *request) (any, error) { return catalogInstances(r, true) })),
	on("/v1/catalog/node/", get(catalogNode)),
	on("/v1/catalog/node-services/", get(catalogNodeServices)),
	on("/v1/catalog/gateway-services/", get(gatewayServices)),
}

func catalogRegister(r *request) (any, error) {
	var c catalog.Register
	if err := r.decode(&c.Registration); err != nil {
		return nil, err
	}
	// A node is where it is registered.
	c.Datacenter = cmp.Or(c.Datacenter, r.param("dc"), r.s.opts.Datacenter)
	if _, err := r.applyAt(c.Datacenter, c); err != nil {
		return nil, err
	}
	return true, nil
}

func catalogDeregister(r *request) (any, error) {
	var c catalog.Deregister
	if err := r.decode(&c.Deregistration); err != nil {
		return nil, err
	}
	if _, err := r.applyAt(c.Datacenter, c); err != nil {
		return nil, err
	}
	return true, nil
}

func catalogNodes(r *request) (any, error) {
	var keep func(*api.Node) bool
	if meta := r.nodeMeta(); meta != nil {
		keep = func(n *api.Node) bool { return meta(n.Meta) }
	}
	rows, err := list(r, catalog.Nodes{}, keep)
	if err != nil {
		return nil, err
	}
	return near(r, translated(r, rows, catalog.WANNode), func(n *api.Node) string { return n.Node })
}

// catalogServices answers with an object of names and tags. What selects services selects their instances, of which the
// names are then those that remain.
func catalogServices(r *request) (any, error) {
	meta := r.nodeMeta()
	if r.param("filter") == "" && meta == nil {
		a, err := r.discover(catalog.Services{})
		if err != nil {
			return nil, err
		}
		services := make(map[string][]string, len(a.Rows))
		for _, row := range a.Rows {
			s := row.Value.(*catalog.ServiceName)
			services[s.Name] = s.Tags
		}
		return services, nil
	}
	var keep func(*api.CatalogService) bool
	if meta != nil {
		keep = func(i *api.CatalogService) bool { return meta(i.NodeMeta) }
	}
	instances, err := list(r, catalog.Instances{}, keep)
	if err != nil {
		return nil, err
	}
	return tagsByName(instances), nil
}

func tagsByName(instances rows) map[string][]string {
	services := map[string][]string{}
	for _, row := range instances {
		i := row.Value.(*api.CatalogService)
		tags := services[i.ServiceName]
		if tags == nil {
			tags = []string{}
		}
		for _, t := range i.ServiceTags {
			if at, there := slices.BinarySearch(tags, t); !there {
				tags = slices.Insert(tags, at, t)
			}
		}
		services[i.ServiceName] = tags
	}
	return services
}

// central tells whether proxies are to be shown with the defaults merged in that hold for them.
func (r *request) central() bool { return r.flag("merge-central-config") }

// gatewayServices lists the services that a gateway serves. There are no gateways in this release, so there are none; who waits
// is woken when something of the gateway's name is registered.
func gatewayServices(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing gateway name")
	}
	if _, err := r.discover(catalog.Instances{Name: r.name}); err != nil {
		return nil, err
	}
	return rows{}, nil
}

func catalogInstances(r *request, mesh bool) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing service name")
	}
	var ofNode, tagged func(*api.CatalogService) bool
	if meta := r.nodeMeta(); meta != nil {
		ofNode = func(i *api.CatalogService) bool { return meta(i.NodeMeta) }
	}
	if tags := r.tags(); tags != nil {
		tagged = func(i *api.CatalogService) bool { return tags(i.ServiceTags) }
	}
	rows, err := list(r, catalog.Instances{Name: r.name, Mesh: mesh, Central: r.central()}, ofNode, tagged)
	if err != nil {
		return nil, err
	}
	return near(r, translated(r, rows, catalog.WANInstance), func(i *api.CatalogService) string { return i.Node })
}

// tags returns what ?tag, which may be given several times, wants of an instance's tags; nil: all. The case of a tag does
// not matter.
func (r *request) tags() func(have []string) bool {
	var want []string
	for _, t := range r.params["tag"] {
		if t != "" {
			want = append(want, t)
		}
	}
	if len(want) == 0 {
		return nil
	}
	return func(have []string) bool {
		for _, t := range want {
			if !catalog.HasTag(have, t) {
				return false
			}
		}
		return true
	}
}

// onNode reads a node and those of its services that the request's filter wants. The node is nil when there is none.
func onNode(r *request) (*api.Node, []*api.Service, error) {
	if r.name == "" {
		return nil, nil, api.Errorf(http.StatusBadRequest, "Missing node name")
	}
	keep, err := withFilter[*api.Service](r, nil)
	if err != nil {
		return nil, nil, err
	}
	a, err := r.discover(catalog.Node{Name: r.name, Central: r.central()})
	if err != nil {
		return nil, nil, err
	}
	var node *api.Node
	var services []*api.Service
	for _, row := range a.Rows {
		part := row.Value.(*catalog.NodePart)
		if part.Node != nil {
			node = part.Node
		}
		if s := part.Service; s != nil && (keep == nil || keep[0](s)) {
			services = append(services, s)
		}
	}
	node, services = r.wanNodeServices(node, services)
	return node, services, nil
}

func catalogNode(r *request) (any, error) {
	node, services, err := onNode(r)
	if err != nil {
		return nil, err
	}
	if node == nil {
		return json.RawMessage("null"), nil
	}
	out := api.NodeServices{Node: node, Services: map[string]api.Service{}}
	for _, s := range services {
		out.Services[s.ID] = *s
	}
	return out, nil
}

func catalogNodeServices(r *request) (any, error) {
	node, services, err := onNode(r)
	if err != nil {
		return nil, err
	}
	out := api.NodeServiceList{Node: node}
	if node != nil {
		out.Services = []api.Service{}
	}
	for _, s := range services {
		out.Services = append(out.Services, *s)
	}
	return out, nil
}
