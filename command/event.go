package command

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func eventCommand() *cli.Command {
	return &cli.Command{
		Name: "event", Usage: "tell all agents, or some of them, of something", ArgsUsage: "[PAYLOAD]", Category: aboutCluster,
		Description: "What happens then is for those who watch: see the command watch. An event is for whoever is there; it is kept for nobody.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "name", Usage: "the event's name"},
			&cli.StringFlag{Name: "node", Usage: "only for nodes whose name this pattern matches"},
			&cli.StringFlag{Name: "service", Usage: "only for nodes with a service whose name this pattern matches"},
			&cli.StringFlag{Name: "tag", Usage: "only where that service has a tag that this pattern matches; needs -service"},
			formatFlag(),
		),
		Action: withClient(event),
	}
}

func event(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 1); err != nil {
		return err
	}
	e := api.UserEvent{
		Name: c.String("name"), NodeFilter: c.String("node"), ServiceFilter: c.String("service"), TagFilter: c.String("tag"),
		Payload: []byte(c.Args().First()),
	}
	if e.Name == "" {
		return errors.New("the event needs a -name")
	}
	fired, err := client.Event().Fire(c.Context, e, nil)
	if err != nil {
		return failed(err, "firing event")
	}
	return done(c, fired, "Event ID: %s", fired.ID)
}
