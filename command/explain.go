package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "tell what happened to a member of late, and who accused it", ArgsUsage: "NODE",
		Description: "All members are asked what they remember; who does not answer within two seconds is left out. Times are by each teller's own clock.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "wan", Usage: "among the servers of all datacenters"},
			formatFlag(),
		),
		Action: withClient(explainMember),
	}
}

func explainMember(c *cli.Context, client *api.Client) error {
	if c.NArg() == 0 {
		return complain("Missing NODE argument")
	}
	if err := takes(c, 1, 1); err != nil {
		return err
	}
	e, _, err := client.Agent().ExplainMember(c.Context, c.Args().First(), c.Bool("wan"), query(c))
	if err != nil {
		return failed(err, "asking about %q", c.Args().First())
	}
	return show(c, e, func(w io.Writer) { showExplanation(w, e) })
}

func showExplanation(w io.Writer, e api.MemberExplanation) {
	where := ""
	if e.Addr != "" {
		where = " (" + e.Addr + ")"
	}
	fmt.Fprintf(w, "%s%s is %s\n", e.Name, where, e.Status)
	fmt.Fprintf(w, "%d of %d other members answered", e.Answered, e.Asked)
	if len(e.Silent) > 0 {
		fmt.Fprintf(w, "; silent: %s", strings.Join(e.Silent, ", "))
		if more := e.Asked - e.Answered - len(e.Silent); more > 0 {
			fmt.Fprintf(w, " and %d more", more)
		}
	}
	fmt.Fprint(w, "\n\n")
	var rows [][]string
	for _, v := range e.Events {
		teller := v.Node
		if v.Others > 0 {
			teller = fmt.Sprintf("%s and %d more", teller, v.Others)
		}
		rows = append(rows, []string{v.Time.UTC().Format("2006-01-02T15:04:05.000Z"), teller, happened(e.Name, v)})
	}
	table(w, []string{"Time", "Told By", "What Happened"}, rows)
}

// happened puts an event into words.
func happened(member string, v api.MemberEvent) string {
	text := v.What
	switch v.What {
	case api.MemberSuspected:
		text = v.By + " suspected it: no answer to its probes"
	case api.MemberTCPOnly:
		text = "it answers " + v.By + " by TCP and not by UDP: is UDP let through?"
	case api.MemberGivenUp:
		text = v.By + " gave it up: it did not object in time"
	case api.MemberAccused:
		text = v.By + " suspected it, and it objected"
		if v.By == member {
			// Memberlist does not keep from whom that is.
			text = "it learned, when it exchanged all it knows with another, that it was suspected or failed there, and it objected"
		}
	case api.MemberDeclaredDead:
		text = v.By + " said that it had failed, and it objected"
		if v.By == member {
			text = "it was said to leave while it ran, and objected"
		}
	}
	if v.Detail != "" {
		text += " (" + v.Detail + ")"
	}
	if v.Times > 1 {
		text += fmt.Sprintf(", %d times in %s", v.Times, v.Last.Sub(v.Time).Round(time.Second))
	}
	return text
}
