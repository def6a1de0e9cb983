package command

import (
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "show figures of the agent, for people", Category: aboutCluster, Flags: clientFlags(),
		Action: withClient(info),
	}
}

func info(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	self, _, err := client.Agent().Self(c.Context, query(c))
	if err != nil {
		return failed(err, "querying the agent")
	}
	for _, part := range slices.Sorted(maps.Keys(self.Stats)) {
		fmt.Fprintf(c.App.Writer, "%s:\n", part)
		for _, key := range slices.Sorted(maps.Keys(self.Stats[part])) {
			fmt.Fprintf(c.App.Writer, "\t%s = %s\n", key, self.Stats[part][key])
		}
	}
	return nil
}
