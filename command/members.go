package command

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func membersCommand() *cli.Command {
	return &cli.Command{
		Name: "members", Usage: "list the agents of the datacenter", Category: aboutCluster,
		Description: "The exit status is 2 when there is none to list.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "detailed", Usage: "show their tags"},
			&cli.StringFlag{Name: "filter", Usage: "only those for which this expression holds"},
			&cli.StringFlag{Name: "segment", Usage: "only those of this network segment"},
			&cli.StringFlag{Name: "status", Usage: "only those whose status this pattern matches: alive, leaving, left or failed"},
			&cli.BoolFlag{Name: "wan", Usage: "list the servers of all datacenters"},
			partitionFlag(), formatFlag(),
		),
		Action:      withClient(members),
		Subcommands: []*cli.Command{explainCommand()},
	}
}

func members(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	wanted, err := regexp.Compile(c.String("status"))
	if err != nil {
		return fmt.Errorf("-status %q is no pattern: %w", c.String("status"), err)
	}
	all, _, err := client.Agent().Members(c.Context, c.Bool("wan"), query(c))
	if err != nil {
		return failed(err, "retrieving members")
	}
	segment := c.String("segment")
	all = slices.DeleteFunc(all, func(m api.Member) bool {
		return !wanted.MatchString(m.Status.String()) || segment != "" && m.Tags["segment"] != segment
	})
	slices.SortFunc(all, func(a, b api.Member) int { return strings.Compare(a.Name, b.Name) })
	err = show(c, all, func(w io.Writer) {
		switch {
		case len(all) == 0:
		case c.Bool("detailed"):
			showTags(w, all)
		default:
			showMembers(w, all)
		}
	})
	if err == nil && len(all) == 0 {
		return status(2)
	}
	return err
}

func showTags(w io.Writer, all []api.Member) {
	var rows [][]string
	for _, m := range all {
		rows = append(rows, []string{m.Name, memberAddress(m), m.Status.String(), pairs(m.Tags, ",")})
	}
	table(w, []string{"Node", "Address", "Status", "Tags"}, rows)
}

func showMembers(w io.Writer, all []api.Member) {
	var rows [][]string
	for _, m := range all {
		kind, segment := "client", m.Tags["segment"]
		if m.Tags["role"] == "consul" {
			kind = "server"
			if segment == "" {
				segment = "<all>"
			}
		}
		if segment == "" {
			segment = "<default>"
		}
		build, _, _ := strings.Cut(m.Tags["build"], ":")
		rows = append(rows, []string{
			m.Name, memberAddress(m), m.Status.String(), kind, known(build), known(m.Tags["vsn"]), known(m.Tags["dc"]),
			orDefault(m.Tags["ap"]), segment,
		})
	}
	table(w, []string{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"}, rows)
}

func memberAddress(m api.Member) string { return net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port))) }

func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func orDefault(text string) string {
	if text == "" {
		return api.DefaultTenant
	}
	return text
}

func joinCommand() *cli.Command {
	return &cli.Command{
		Name: "join", Usage: "have the agent join others", ArgsUsage: "ADDRESS...", Category: aboutCluster,
		Flags: clientFlags(
			&cli.BoolFlag{Name: "wan", Usage: "join servers of another datacenter"},
			partitionFlag(), formatFlag(),
		),
		Action: withClient(join),
	}
}

func join(c *cli.Context, client *api.Client) error {
	if c.NArg() == 0 {
		return errors.New("at least one address to join must be given, such as 192.0.2.10 or 192.0.2.10:8301")
	}
	joined, tried := 0, []fields{}
	for _, address := range c.Args().Slice() {
		if err := client.Agent().Join(c.Context, address, c.Bool("wan"), nil); err != nil {
			fmt.Fprintf(c.App.ErrWriter, "Error joining address '%s': %v\n", address, err)
			tried = append(tried, fields{"Address": address, "Joined": false, "Error": err.Error()})
			continue
		}
		tried = append(tried, fields{"Address": address, "Joined": true})
		joined++
	}
	err := show(c, tried, func(w io.Writer) {
		if joined > 0 {
			fmt.Fprintf(w, "Successfully joined cluster by contacting %d nodes.\n", joined)
		}
	})
	if err == nil && joined == 0 {
		return &complaint{line: "Failed to join any nodes."}
	}
	return err
}

func leaveCommand() *cli.Command {
	return &cli.Command{
		Name: "leave", Usage: "have the agent leave the others in good order and stop", Category: aboutCluster, Flags: clientFlags(formatFlag()),
		Action: withClient(func(c *cli.Context, client *api.Client) error {
			if err := takes(c, 0, 0); err != nil {
				return err
			}
			if err := client.Agent().Leave(c.Context, nil); err != nil {
				return failed(err, "leaving")
			}
			return done(c, fields{"Left": true}, "Graceful leave complete")
		}),
	}
}

func forceLeaveCommand() *cli.Command {
	return &cli.Command{
		Name: "force-leave", Usage: "have a failed agent count as one that has left", ArgsUsage: "NODE", Category: aboutCluster,
		Flags: clientFlags(
			&cli.BoolFlag{Name: "prune", Usage: "forget it altogether"},
			&cli.BoolFlag{Name: "wan", Usage: "among the servers of all datacenters"},
			partitionFlag(), formatFlag(),
		),
		Action: withClient(func(c *cli.Context, client *api.Client) error {
			if err := takes(c, 1, 1); err != nil {
				return err
			}
			node, prune := c.Args().First(), c.Bool("prune")
			if err := client.Agent().ForceLeave(c.Context, node, prune, c.Bool("wan"), nil); err != nil {
				return failed(err, "force leaving")
			}
			now := "counts as one that has left"
			if prune {
				now = "is forgotten"
			}
			return done(c, fields{"Node": node, "Pruned": prune}, "Node %s %s", node, now)
		}),
	}
}

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name: "reload", Usage: "have the agent read its configuration again", Category: aboutCluster, Flags: clientFlags(formatFlag()),
		Action: withClient(func(c *cli.Context, client *api.Client) error {
			if err := takes(c, 0, 0); err != nil {
				return err
			}
			if err := client.Agent().Reload(c.Context, nil); err != nil {
				return failed(err, "reloading")
			}
			return done(c, fields{"Reloaded": true}, "Configuration reload triggered")
		}),
	}
}
