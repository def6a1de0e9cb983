package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func rttCommand() *cli.Command {
	return &cli.Command{
		Name: "rtt", Usage: "estimate the round trip between two nodes", ArgsUsage: "NODE [NODE]", Category: aboutCluster,
		Description: "The second is the agent's own if it is not given. The estimate comes from where gossip places nodes in the network: " +
			"nothing is sent from one to the other.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "wan", Usage: "between servers of any datacenters, each given as NODE.DATACENTER"},
			formatFlag(),
		),
		Action: withClient(rtt),
	}
}

func rtt(c *cli.Context, client *api.Client) error {
	if c.NArg() == 0 {
		return errors.New("one or two node names must be given")
	}
	if err := takes(c, 1, 2); err != nil {
		return err
	}
	first, second := c.Args().Get(0), c.Args().Get(1)
	if second == "" {
		self, _, err := client.Agent().Self(c.Context, nil)
		if err != nil {
			return failed(err, "looking up the agent's own node")
		}
		second = self.Config.NodeName
		if c.Bool("wan") {
			second += "." + self.Config.Datacenter
		}
	}
	find, source := lanPlace, "LAN"
	if c.Bool("wan") {
		find, source = wanPlace, "WAN"
	}
	from, err := find(c, client, first)
	if err != nil {
		return err
	}
	to, err := find(c, client, second)
	if err != nil {
		return err
	}
	d, ok := from.Distance(to)
	if !ok {
		return fmt.Errorf("the coordinates of %q and %q cannot be compared", first, second)
	}
	return done(c, fields{"From": first, "To": second, "RTT": d.String(), "Coordinates": source},
		"Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)", first, second, float64(d)/float64(time.Millisecond), source)
}

func noPlace(node string) error {
	return &complaint{line: fmt.Sprintf("Could not find a coordinate for node %q", node)}
}

// lanPlace finds a node of the datacenter.
func lanPlace(c *cli.Context, client *api.Client, node string) (*api.Coordinate, error) {
	found, _, err := client.Coordinate().Node(c.Context, node, query(c))
	if err != nil {
		return nil, failed(err, "getting coordinates")
	}
	for _, e := range found {
		if e.Segment == "" {
			return e.Coord, nil
		}
	}
	return nil, noPlace(node)
}

// wanPlace finds a server of any datacenter.
func wanPlace(c *cli.Context, client *api.Client, name string) (*api.Coordinate, error) {
	dot := strings.LastIndexByte(name, '.') // a node's name may have some, too
	if dot < 0 {
		return nil, fmt.Errorf("%q: with -wan a server is given as NODE.DATACENTER", name)
	}
	node, dc := name[:dot], name[dot+1:]
	all, _, err := client.Coordinate().Datacenters(c.Context, nil)
	if err != nil {
		return nil, failed(err, "getting coordinates")
	}
	for _, d := range all {
		if d.Datacenter != dc {
			continue
		}
		for _, e := range d.Coordinates {
			if e.Node == node || e.Node == name {
				return e.Coord, nil
			}
		}
	}
	return nil, noPlace(name)
}
