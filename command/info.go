package command

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "show figures of the agent, for people", Category: aboutCluster, Flags: clientFlags(formatFlag()),
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
	return show(c, self.Stats, func(w io.Writer) { showFigures(w, self.Stats) })
}

func showFigures(w io.Writer, stats map[string]map[string]string) {
	for _, part := range slices.Sorted(maps.Keys(stats)) {
		fmt.Fprintf(w, "%s:\n", part)
		for _, key := range slices.Sorted(maps.Keys(stats[part])) {
			fmt.Fprintf(w, "\t%s = %s\n", key, stats[part][key])
		}
	}
}
