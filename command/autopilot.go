package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func autopilotCommand() *cli.Command {
	return &cli.Command{Name: "autopilot", Usage: "how the leader looks after the servers", Subcommands: []*cli.Command{
		{Name: "get-config", Usage: "show by which rules", Flags: clientFlags(formatFlag()), Action: withClient(autopilotGet)},
		{
			Name: "set-config", Usage: "change the rules", Action: withClient(autopilotSet),
			Flags: clientFlags(
				&cli.StringFlag{Name: "cleanup-dead-servers", Usage: "give up servers that failed once others have taken their place: true or false"},
				&cli.StringFlag{Name: "last-contact-threshold", Usage: "how long a healthy server may not have heard from the leader, such as 200ms"},
				&cli.StringFlag{Name: "max-trailing-logs", Usage: "how many entries of the log a healthy server may lack"},
				&cli.StringFlag{Name: "min-quorum", Usage: "the number of servers with a vote below which none is given up"},
				&cli.StringFlag{Name: "server-stabilization-time", Usage: "how long a new server must have been healthy before it gets a vote, such as 10s"},
				&cli.StringFlag{Name: "redundancy-zone-tag", Usage: "kept and shown, without effect"},
				&cli.StringFlag{Name: "disable-upgrade-migration", Usage: "kept and shown, without effect"},
				&cli.StringFlag{Name: "upgrade-version-tag", Usage: "kept and shown, without effect"},
				formatFlag(),
			),
		},
		{
			Name: "state", Usage: "show how the servers are",
			Flags:  clientFlags(formatFlag()),
			Action: withClient(autopilotState),
		},
	}}
}

func autopilotGet(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	a, _, err := client.Operator().Autopilot(c.Context, query(c))
	if err != nil {
		return failed(err, "querying Autopilot configuration")
	}
	return show(c, a, func(w io.Writer) { showRules(w, a) })
}

func showRules(w io.Writer, a api.AutopilotConfiguration) {
	fmt.Fprintf(w, "CleanupDeadServers = %v\n", a.CleanupDeadServers)
	fmt.Fprintf(w, "LastContactThreshold = %v\n", a.LastContactThreshold)
	fmt.Fprintf(w, "MaxTrailingLogs = %v\n", a.MaxTrailingLogs)
	fmt.Fprintf(w, "MinQuorum = %v\n", a.MinQuorum)
	fmt.Fprintf(w, "ServerStabilizationTime = %v\n", a.ServerStabilizationTime)
	fmt.Fprintf(w, "RedundancyZoneTag = %q\n", a.RedundancyZoneTag)
	fmt.Fprintf(w, "DisableUpgradeMigration = %v\n", a.DisableUpgradeMigration)
	fmt.Fprintf(w, "UpgradeVersionTag = %q\n", a.UpgradeVersionTag)
}

// autopilotSet changes what the flags name, and nothing if somebody else changes it at the same time.
func autopilotSet(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	q := query(c)
	q.Mode = api.DefaultMode
	a, _, err := client.Operator().Autopilot(c.Context, q)
	if err != nil {
		return failed(err, "querying Autopilot configuration")
	}
	for _, f := range []struct {
		flag string
		set  func(text string) error
	}{
		{"cleanup-dead-servers", reading(strconv.ParseBool, &a.CleanupDeadServers)},
		{"last-contact-threshold", reading(duration, &a.LastContactThreshold)},
		{"max-trailing-logs", reading(func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 32) }, &a.MaxTrailingLogs)},
		{"min-quorum", reading(func(s string) (uint, error) { n, err := strconv.ParseUint(s, 10, 16); return uint(n), err }, &a.MinQuorum)},
		{"server-stabilization-time", reading(duration, &a.ServerStabilizationTime)},
		{"redundancy-zone-tag", reading(asItIs, &a.RedundancyZoneTag)},
		{"disable-upgrade-migration", reading(strconv.ParseBool, &a.DisableUpgradeMigration)},
		{"upgrade-version-tag", reading(asItIs, &a.UpgradeVersionTag)},
	} {
		if !c.IsSet(f.flag) {
			continue
		}
		if err := f.set(c.String(f.flag)); err != nil {
			return fmt.Errorf("-%s=%s: %w", f.flag, c.String(f.flag), err)
		}
	}
	ok, err := client.Operator().SetAutopilotCAS(c.Context, &a, nil)
	if err != nil {
		return failed(err, "setting Autopilot configuration")
	}
	if !ok {
		return &complaint{line: "Configuration could not be atomically updated, please try again"}
	}
	return done(c, a, "Configuration updated!")
}

// reading returns what reads a flag's text into a field.
func reading[T any](parse func(string) (T, error), to *T) func(string) error {
	return func(text string) (err error) {
		*to, err = parse(text)
		return err
	}
}

func duration(text string) (api.Duration, error) {
	d, err := time.ParseDuration(text)
	return api.Duration(d), err
}

func asItIs(text string) (string, error) { return text, nil }

func autopilotState(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	s, _, err := client.Operator().AutopilotState(c.Context, query(c))
	if err != nil {
		return failed(err, "querying Autopilot state")
	}
	return show(c, s, func(w io.Writer) { showAutopilot(w, s) })
}

func showAutopilot(w io.Writer, s api.AutopilotState) {
	fmt.Fprintf(w, "Healthy:                      %v\n", s.Healthy)
	fmt.Fprintf(w, "Failure Tolerance:            %d\n", s.FailureTolerance)
	fmt.Fprintf(w, "Optimistic Failure Tolerance: %d\n", s.OptimisticFailureTolerance)
	fmt.Fprintf(w, "Leader:                       %s\n", s.Leader)
	fmt.Fprintln(w, "Voters:")
	for _, id := range s.Voters {
		fmt.Fprintf(w, "   %s\n", id)
	}
	fmt.Fprintln(w, "Servers:")
	for _, id := range slices.Sorted(maps.Keys(s.Servers)) {
		is := s.Servers[id]
		fmt.Fprintf(w, "   %s\n", id)
		for _, line := range [][2]string{
			{"Name:", is.Name}, {"Address:", is.Address}, {"Version:", is.Version}, {"Status:", is.Status}, {"Node Type:", is.NodeType},
			{"Node Status:", is.NodeStatus}, {"Healthy:", strconv.FormatBool(is.Healthy)}, {"Last Contact:", is.LastContact.String()},
			{"Last Term:", strconv.FormatUint(is.LastTerm, 10)}, {"Last Index:", strconv.FormatUint(is.LastIndex, 10)},
		} {
			fmt.Fprintf(w, "      %-16s %s\n", line[0], line[1])
		}
		if len(is.Meta) == 0 {
			continue
		}
		fmt.Fprintln(w, "      Meta")
		for _, key := range slices.Sorted(maps.Keys(is.Meta)) {
			fmt.Fprintf(w, "         %q: %q\n", key, is.Meta[key])
		}
	}
}
