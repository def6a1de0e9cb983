package command

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/command/agent"
)

// runAgent is an agent from its start to its end, and returns the exit status. Tests put another in its place.
var runAgent = func(ctx context.Context, s config.Sources, stdout, stderr io.Writer) int {
	return agent.Run(ctx, s, agent.Build{Version: Version, Commit: commit, Date: buildDate()}, stdout, stderr)
}

func agentCommand(program string) *cli.Command {
	settings := &config.Settings{}
	var flags []cli.Flag
	for _, f := range config.Flags() {
		flags = append(flags, &cli.GenericFlag{Name: f.Name, Usage: f.Usage, Value: settings.Var(f)})
	}
	return &cli.Command{
		Name: "agent", Usage: "run an agent, which with -server is a server as well", Category: aboutThis,
		Description: "\"-dev\" is the quickest way to try everything: a server alone on loopback that keeps nothing.",
		Flags:       flags,
		Action: func(c *cli.Context) error {
			if err := takes(c, 0, 0); err != nil {
				return err
			}
			// The agent heeds signals itself: what they mean depends on its configuration.
			code := runAgent(c.Context, config.Sources{Program: program, Settings: *settings}, c.App.Writer, c.App.ErrWriter)
			if code != 0 {
				return status(code)
			}
			return nil
		},
	}
}
