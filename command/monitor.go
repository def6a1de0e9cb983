package command

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func monitorCommand() *cli.Command {
	return &cli.Command{
		Name: "monitor", Usage: "show what the agent logs, as it does", Category: aboutCluster,
		Description: "Until Ctrl-C. The level is that of what is shown here; what the agent itself writes stays as it is.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "trace, debug, info, warn or error and above"},
			&cli.BoolFlag{Name: "log-json", Usage: "show JSON"},
		),
		Action: withClient(monitor),
	}
}

func monitor(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	err := client.Agent().Monitor(c.Context, c.String("log-level"), c.Bool("log-json"), c.App.Writer, nil)
	switch {
	case c.Context.Err() != nil:
		return nil // whoever watched has seen enough
	case err != nil:
		return failed(err, "starting monitor")
	}
	return errors.New("the agent has ended the log: it has stopped, or somebody in between hung up")
}
