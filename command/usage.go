package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func usageCommand() *cli.Command {
	return &cli.Command{Name: "usage", Usage: "how much there is", Subcommands: []*cli.Command{
		{
			Name: "instances", Usage: "count nodes, services and their instances",
			Flags: clientFlags(
				&cli.BoolFlag{Name: "billable", Usage: "only the instances of services proper"},
				&cli.BoolFlag{Name: "connect", Usage: "only those that take part in the mesh"},
				&cli.BoolFlag{Name: "all-datacenters", Usage: "of all datacenters"},
				formatFlag(),
			),
			Action: withClient(usageInstances),
		},
	}}
}

func usageInstances(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	u, _, err := client.Operator().Usage(c.Context, c.Bool("all-datacenters"), query(c))
	if err != nil {
		return failed(err, "fetching usage information")
	}
	return show(c, u, func(w io.Writer) { showUsage(w, u.Usage, c.Bool("billable"), c.Bool("connect")) })
}

func showUsage(w io.Writer, by map[string]api.ServiceUsage, billable, connect bool) {
	all := billable == connect
	if all || billable {
		showBillable(w, by)
	}
	if all {
		fmt.Fprintln(w)
		showNodes(w, by)
	}
	if all || connect {
		if all {
			fmt.Fprintln(w)
		}
		showConnect(w, by)
	}
}

// gap is that between the columns of these tables.
const gap = 6

func showBillable(w io.Writer, by map[string]api.ServiceUsage) {
	total := 0
	for _, u := range by {
		total += u.BillableServiceInstances
	}
	fmt.Fprintf(w, "Billable Service Instances Total: %d\n", total)
	rows := [][]string{{"Services", "Service instances"}}
	if len(by) > 1 {
		rows[0] = slices.Insert(rows[0], 0, "Datacenter")
	}
	for _, dc := range slices.Sorted(maps.Keys(by)) {
		u := by[dc]
		fmt.Fprintf(w, "%s Billable Service Instances: %d\n", dc, u.BillableServiceInstances)
		row := []string{strconv.Itoa(u.Services), strconv.Itoa(u.BillableServiceInstances)}
		if len(by) > 1 {
			row = slices.Insert(row, 0, dc)
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w, "\nBillable Services")
	columns(w, gap, rows)
	fmt.Fprintln(w)
}

func showNodes(w io.Writer, by map[string]api.ServiceUsage) {
	rows, total := [][]string{{"Datacenter", "Count"}}, 0
	for _, dc := range slices.Sorted(maps.Keys(by)) {
		rows = append(rows, []string{dc, strconv.Itoa(by[dc].Nodes)})
		total += by[dc].Nodes
	}
	fmt.Fprintln(w, "Nodes")
	columns(w, gap, append(rows, []string{""}, []string{"Total", strconv.Itoa(total)}))
	fmt.Fprintln(w)
}

func showConnect(w io.Writer, by map[string]api.ServiceUsage) {
	rows := [][]string{{"Type", "Service instances"}}
	if len(by) > 1 {
		rows[0] = slices.Insert(rows[0], 0, "Datacenter")
	}
	for _, dc := range slices.Sorted(maps.Keys(by)) {
		kinds := by[dc].ConnectServiceInstances
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			row := []string{kind, strconv.Itoa(kinds[kind])}
			if len(by) > 1 {
				row = slices.Insert(row, 0, dc)
			}
			rows = append(rows, row)
		}
	}
	fmt.Fprintln(w, "Connect Services")
	columns(w, gap, rows)
}
