package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func maintCommand() *cli.Command {
	return &cli.Command{
		Name: "maint", Usage: "take a host or one of its services out of service for a while, and back", Category: aboutServices,
		Description: "Without flags it lists what is in maintenance on the agent's host.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "enable", Usage: "begin maintenance"},
			&cli.BoolFlag{Name: "disable", Usage: "end it"},
			&cli.StringFlag{Name: "reason", Usage: "why, for those who see it"},
			&cli.StringFlag{Name: "service", Usage: "id of a service; the whole host if not given"},
			formatFlag(),
		),
		Action: withClient(maint),
	}
}

func maint(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	enable, disable, reason, service := c.Bool("enable"), c.Bool("disable"), c.String("reason"), c.String("service")
	switch {
	case enable && disable:
		return errors.New("only one of -enable and -disable may be given")
	case reason != "" && !enable:
		return errors.New("-reason goes with -enable")
	case service != "" && !enable && !disable:
		return errors.New("-service goes with -enable or -disable")
	case !enable && !disable:
		return listMaintenance(c, client)
	}
	what, on, is := "Node", "", fields{"Enabled": enable}
	var err error
	if service == "" {
		err = client.Agent().NodeMaintenance(c.Context, enable, reason, nil)
	} else {
		what, on = "Service", fmt.Sprintf(" for %q", service)
		is["ServiceID"] = service
		err = client.Agent().ServiceMaintenance(c.Context, service, enable, reason, nil)
	}
	if err != nil {
		return failed(err, "changing maintenance%s", on)
	}
	now := "disabled"
	if enable {
		now = "enabled"
	}
	return done(c, is, "%s maintenance is now %s%s", what, now, on)
}

func listMaintenance(c *cli.Context, client *api.Client) error {
	checks, _, err := client.Agent().Checks(c.Context, query(c))
	if err != nil {
		return failed(err, "listing what is in maintenance")
	}
	maps.DeleteFunc(checks, func(id string, _ api.Check) bool {
		return id != api.NodeMaintenance && !strings.HasPrefix(id, api.ServiceMaintenancePrefix)
	})
	return show(c, checks, func(w io.Writer) { showMaintenance(w, checks) })
}

func showMaintenance(w io.Writer, checks map[string]api.Check) {
	between := ""
	if check, ok := checks[api.NodeMaintenance]; ok {
		fmt.Fprintf(w, "Node:\n  Name:   %s\n  Reason: %s\n", check.Node, check.Notes)
		between = "\n"
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		if service, ok := strings.CutPrefix(id, api.ServiceMaintenancePrefix); ok {
			fmt.Fprintf(w, "%sService:\n  ID:     %s\n  Reason: %s\n", between, service, checks[id].Notes)
			between = "\n"
		}
	}
}
