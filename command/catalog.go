package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func catalogCommand() *cli.Command {
	return &cli.Command{Name: "catalog", Usage: "list services, nodes and datacenters", Category: aboutServices, Subcommands: []*cli.Command{
		{
			Name: "services", Usage: "list the services",
			Flags: tenantFlags(
				&cli.StringFlag{Name: "node", Usage: "only those of the node of this name or id"},
				nodeMetaFlag(),
				&cli.BoolFlag{Name: "tags", Usage: "show their tags"},
				formatFlag(),
			),
			Action: withClient(catalogServices),
		},
		{
			Name: "nodes", Usage: "list the nodes",
			Flags: clientFlags(
				&cli.BoolFlag{Name: "detailed", Usage: "show everything that is known of them"},
				&cli.StringFlag{Name: "filter", Usage: "only those for which this expression holds"},
				&cli.StringFlag{Name: "near", Usage: "sort by the distance from this node; _agent is the agent's own"},
				nodeMetaFlag(),
				&cli.StringFlag{Name: "service", Usage: "only those that have an instance of this service"},
				partitionFlag(), formatFlag(),
			),
			Action: withClient(catalogNodes),
		},
		{
			Name: "datacenters", Usage: "list the datacenters", Flags: clientFlags(formatFlag()),
			Action: withClient(catalogDatacenters),
		},
		whyCommand(),
	}}
}

func nodeMetaFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "node-meta", Usage: "only nodes with this key=value; may be repeated"}
}

func catalogServices(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	services, err := servicesOf(c, client)
	if err != nil {
		return err
	}
	for name, tags := range services { // a list also where there are none
		services[name] = append([]string{}, slices.Compact(slices.Sorted(slices.Values(tags)))...)
	}
	return show(c, services, func(w io.Writer) {
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(services)) {
			row := []string{name}
			if c.Bool("tags") {
				row = append(row, strings.Join(services[name], ","))
			}
			rows = append(rows, row)
		}
		columns(w, 6, rows)
	})
}

// servicesOf returns names of services with their tags: of all, or of a node.
func servicesOf(c *cli.Context, client *api.Client) (map[string][]string, error) {
	q := query(c)
	var err error
	if q.NodeMeta, err = mapOf(c, "node-meta"); err != nil {
		return nil, err
	}
	node := c.String("node")
	if node == "" {
		services, _, err := client.Catalog().Services(c.Context, q)
		if err != nil {
			return nil, failed(err, "listing services")
		}
		return services, nil
	}
	found, _, err := client.Catalog().Node(c.Context, node, q)
	if err != nil {
		return nil, failed(err, "listing services of node %q", node)
	}
	if found == nil || found.Node == nil {
		return nil, fmt.Errorf("there is no node %q; \"%s catalog nodes\" lists the nodes", node, c.App.Name)
	}
	services := map[string][]string{}
	for _, s := range found.Services {
		services[s.Service] = append(services[s.Service], s.Tags...)
	}
	return services, nil
}

func catalogNodes(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	q := query(c)
	q.Near = c.String("near")
	var err error
	if q.NodeMeta, err = mapOf(c, "node-meta"); err != nil {
		return err
	}
	nodes, err := nodesOf(c, client, q)
	if err != nil {
		return failed(err, "listing nodes")
	}
	return show(c, nodes, func(w io.Writer) {
		if len(nodes) == 0 {
			fmt.Fprintln(c.App.ErrWriter, "No nodes match the given query - try expanding your search.")
			return
		}
		showNodeTable(w, nodes, c.Bool("detailed"))
	})
}

func showNodeTable(w io.Writer, nodes []api.Node, detailed bool) {
	heading := []string{"Node", "ID", "Address", "DC"}
	if detailed {
		heading = append(heading, "TaggedAddresses", "Meta")
	}
	var rows [][]string
	for _, n := range nodes {
		id, _, _ := strings.Cut(n.ID, "-")
		row := []string{n.Node, id, n.Address, n.Datacenter}
		if detailed {
			row = []string{n.Node, n.ID, n.Address, n.Datacenter, pairs(n.TaggedAddresses, ", "), pairs(n.Meta, ", ")}
		}
		rows = append(rows, row)
	}
	table(w, heading, rows)
}

// nodesOf returns all nodes, or those that have an instance of a service.
func nodesOf(c *cli.Context, client *api.Client, q *api.QueryOptions) ([]api.Node, error) {
	service := c.String("service")
	if service == "" {
		nodes, _, err := client.Catalog().Nodes(c.Context, q)
		return nodes, err
	}
	instances, _, err := client.Catalog().Service(c.Context, service, nil, q)
	if err != nil {
		return nil, err
	}
	var nodes []api.Node
	seen := map[string]bool{}
	for _, i := range instances {
		if !seen[i.Node] {
			seen[i.Node] = true
			nodes = append(nodes, api.Node{
				ID: i.ID, Node: i.Node, Address: i.Address, Datacenter: i.Datacenter, TaggedAddresses: i.TaggedAddresses, Meta: i.NodeMeta,
			})
		}
	}
	return nodes, nil
}

func catalogDatacenters(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	all, _, err := client.Catalog().Datacenters(c.Context, query(c))
	if err != nil {
		return failed(err, "listing datacenters")
	}
	return show(c, all, func(w io.Writer) { showLines(w, all) })
}
